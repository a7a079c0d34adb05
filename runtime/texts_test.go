package runtime

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"auditrelay"
)

// TestTextsStayAsLongAsReceipts: a text that is no longer in force is removed with the last
// receipt of its time, not earlier.
func TestTextsStayAsLongAsReceipts(t *testing.T) {
	c := Callback{Name: "archive", Sink: &bucket{}, Chunk: auditrelay.Chunking{Age: time.Millisecond}}
	r := begin(t, Options{Callbacks: []Callback{c}})
	deliver := func(ids ...string) {
		t.Helper()
		for _, id := range ids { // each in its own chunk
			accept(t, r, id)
			if err := r.Settled(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	put := func(texts ...Text) {
		t.Helper()
		var digests []string
		for _, one := range texts {
			digests = append(digests, one.Digest)
		}
		if err := errors.Join(r.Texts().Keep(texts...), r.Texts().InForce(digests...)); err != nil {
			t.Fatal(err)
		}
	}
	kept := func() (all []string) {
		for _, one := range r.Texts().List() {
			all = append(all, one.Digest)
		}
		return all
	}
	old := Text{Digest: "aaaa1111", Kind: "policy", Name: "house", Text: "mask"}
	now := Text{Digest: "aaaa2222", Kind: "policy", Name: "house", Text: "remove"}
	put(old)
	deliver("1", "2")
	put(now)
	deliver("3", "4")

	if got, err := r.Texts().Get("aaaa1"); err != nil || got.Text != "mask" || got.Until.IsZero() || got.Head != 3 || got.Since.IsZero() {
		t.Errorf("the old one: %+v, %v", got, err)
	}
	if got, err := r.Texts().Get("aaaa2222"); err != nil || got.Text != "remove" || !got.Until.IsZero() {
		t.Errorf("the one in force: %+v, %v", got, err)
	}
	for prefix, want := range map[string]error{"aaaa": ErrTextPrefix, "bbbb": ErrNoText} {
		if _, err := r.Texts().Get(prefix); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", prefix, err, want)
		}
	}

	trimTo := func(sequence uint64) {
		t.Helper()
		e, err := r.Event(t.Context(), sequence)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.trim(e.Received.Add(r.retention.Age)); err != nil {
			t.Fatal(err)
		}
	}
	trimTo(3) // the receipt of 2 stays: it belongs to the previous chunk
	if got := kept(); !slices.Equal(got, []string{"aaaa1111", "aaaa2222"}) {
		t.Errorf("with a receipt from its time: %v", got)
	}
	trimTo(4)
	if got := kept(); !slices.Equal(got, []string{"aaaa2222"}) {
		t.Errorf("without one: %v", got)
	}

	// A returning text is in force again. If it is still stored, it keeps its first time.
	put(old)
	put(now)
	if got, err := r.Texts().Get("aaaa2222"); err != nil || !got.Until.IsZero() || got.Head != 0 {
		t.Errorf("the one in force again: %+v, %v", got, err)
	}
	if err := r.Texts().Keep(Text{Digest: "cccc", Text: string(make([]byte, MaxOneText+1))}); err == nil {
		t.Error("a text over the limit was kept")
	}
}

// TestTextsAreBounded: beyond the limit, texts no longer in force are removed, the oldest
// first, and never one in force.
func TestTextsAreBounded(t *testing.T) {
	r := begin(t, Options{})
	texts := r.Texts()
	texts.most, texts.mostBytes = 4, 1000
	for round, size := range []int{1, 400} {
		digest := func(i int) string { return string([]byte{'a' + byte(round), '0' + byte(i)}) }
		for i := range 8 {
			one := Text{Digest: digest(i), Text: strings.Repeat("x", size)}
			if err := errors.Join(texts.Keep(one), texts.InForce(one.Digest, digest(0))); err != nil {
				t.Fatal(err)
			}
		}
		var left []string
		for _, one := range texts.List() {
			left = append(left, one.Digest)
		}
		want := [][]string{{"a5", "a6", "a0", "a7"}, {"b6", "b0", "b7"}}[round]
		if !slices.Equal(left, want) {
			t.Errorf("texts of %d bytes: %v are kept, want %v", size, left, want)
		}
	}
}
