package runtime_test

import (
	"fmt"
	"slices"
	"testing"

	"auditrelay/runtime"
)

func TestPositionsOutliveARestart(t *testing.T) {
	dir := t.TempDir()
	r, err := runtime.Open(t.Context(), runtime.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if p, err := r.Position("postgres"); p != nil || err != nil {
		t.Errorf("at first: %q, %v", p, err)
	}
	for _, p := range []string{"one", "two"} {
		if err := r.SetPosition(t.Context(), "postgres", []byte(p)); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.SetPosition(t.Context(), "postgres", nil); err == nil {
		t.Error("a closed runtime kept a position")
	}
	if r, err = runtime.Open(t.Context(), runtime.Options{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p, err := r.Position("postgres")
	if string(p) != "two" || err != nil {
		t.Errorf("%q, %v", p, err)
	}
	if p, err := r.Position("other"); p != nil || err != nil {
		t.Errorf("another source's: %q, %v", p, err)
	}
}

func TestFindAndSame(t *testing.T) {
	r, err := runtime.Open(t.Context(), runtime.Options{Journal: runtime.JournalOptions{Window: 2}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for i := range 5 {
		event := fmt.Appendf(nil, `{"id":"e%d","action":"created","before_value":"{\"n\":%d}"}`, i, i)
		if _, err := r.Submit(t.Context(), runtime.Submission{Data: event}); err != nil {
			t.Fatal(err)
		}
	}
	ids := []string{"e4", "none", "e0"}
	if got, err := r.Find(t.Context(), "", ids); err != nil || !slices.Equal(got, []uint64{5, 0, 1}) {
		t.Errorf("all: %v, %v", got, err)
	}
	if got, err := r.FindEarlier(t.Context(), "", ids); err != nil || !slices.Equal(got, []uint64{0, 0, 1}) {
		t.Errorf("beyond the window: %v, %v", got, err)
	}
	for data, want := range map[string]bool{
		`{"action":"created","id":"e0","before_value":{"n":0}}`: true,
		`{"action":"created","id":"e0","before_value":{"n":1}}`: false,
	} {
		if got, err := r.Same(t.Context(), 1, []byte(data)); got != want || err != nil {
			t.Errorf("%s: %v, %v", data, got, err)
		}
	}
}

// Of an erased event only the hash of its id remains: it is found, and looks like no event.
func TestFindAnErasedEvent(t *testing.T) {
	for _, window := range []int{1, 100} {
		r, err := runtime.Open(t.Context(), runtime.Options{Dir: t.TempDir(), Journal: runtime.JournalOptions{Window: window, Encryption: periods()}})
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"a", "b", "c"} {
			if _, err := r.Submit(t.Context(), runtime.Submission{Data: []byte(`{"id":"` + id + `","action":"created"}`)}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := r.DestroyPeriod(t.Context(), periodOf(t, r, 1).Number, runtime.By{Principal: "somebody"}, false); err != nil {
			t.Fatal(err)
		}
		if got, err := r.Find(t.Context(), "", []string{"a", "b", "none"}); err != nil || !slices.Equal(got, []uint64{1, 2, 0}) {
			t.Errorf("window %d: %v, %v", window, got, err)
		}
		if same, err := r.Same(t.Context(), 1, []byte(`{"id":"a","action":"created"}`)); same || err != nil {
			t.Errorf("window %d: %v, %v", window, same, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}
