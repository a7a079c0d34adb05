package runtime

import (
	"context"
	"strings"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/filter"
)

// TestRetentionDestroysKeys: the keys of everything that retention removed are destroyed,
// except those that dead letters still need.
func TestRetentionDestroysKeys(t *testing.T) {
	c := Callback{Name: "archive", Sink: &bucket{}, Chunk: auditrelay.Chunking{Age: time.Millisecond}, Steps: []Step{{Name: "f", Filter: failing{}}}}
	r := begin(t, Options{Callbacks: []Callback{c}, Journal: JournalOptions{
		Encryption: Encryption{Key: auditrelay.Secret(strings.Repeat("k", 32)), Period: time.Nanosecond}}})
	accept(t, r, "a", "b", "fails", "c", "d")
	if err := r.Settled(t.Context()); err != nil {
		t.Fatal(err)
	}
	numbers := func() (n []uint64) {
		for _, p := range r.Keyring() {
			n = append(n, p.Number)
		}
		return n
	}
	later := time.Now().Add(30 * 24 * time.Hour)
	if err := r.trim(time.Now().Add(-time.Hour)); err != nil || len(numbers()) != 5 {
		t.Errorf("what is young: %v, %v", numbers(), err)
	}
	if err := r.trim(later); err != nil || len(numbers()) != 3 || numbers()[0] != 3 {
		t.Errorf("with a dead letter of the third: %v, %v", numbers(), err)
	}
	if d, err := r.DeadLetter(t.Context(), "archive", 3); err != nil || d.ID != "fails" || len(d.Data) == 0 {
		t.Errorf("the dead letter: %+v, %v", d, err)
	}
	if _, err := r.DiscardDeadLetters(t.Context(), "archive", By{Principal: "ann"}); err != nil {
		t.Fatal(err)
	}
	if err := r.trim(later); err != nil || len(numbers()) != 1 || numbers()[0] != 6 {
		t.Errorf("once it is discarded: %v, %v", numbers(), err)
	}
	accept(t, r, "e")
	if err := r.Settled(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s, err := r.Callback("archive"); err != nil || !s.Account.Balanced || s.Account.Delivered != 6 {
		t.Errorf("status: %+v, %v", s, err)
	}
}

// failing fails on the event "fails".
type failing struct{}

func (failing) Open(context.Context) (filter.Instance, error) { return failing{}, nil }
func (failing) Close() error                                  { return nil }
func (failing) Apply(_ context.Context, c *filter.Call) (auditrelay.Verdict, error) {
	if c.Event.ID == "fails" {
		return auditrelay.NoVerdict, &filter.Error{Cause: auditrelay.CauseFail}
	}
	return auditrelay.Keep, nil
}

// TestRetentionGoesOnPastWhatIsErased: the last chunk that retention checks may belong to an
// erased period.
func TestRetentionGoesOnPastWhatIsErased(t *testing.T) {
	c := Callback{Name: "archive", Sink: &bucket{}, Chunk: auditrelay.Chunking{Age: time.Millisecond}, Steps: []Step{{Name: "f", Filter: failing{}}}}
	r := begin(t, Options{Callbacks: []Callback{c}, Journal: JournalOptions{
		Encryption: Encryption{Key: auditrelay.Secret(strings.Repeat("k", 32)), Period: time.Nanosecond}}})
	for _, id := range []string{"a", "fails", "c", "d"} { // each in its own chunk
		accept(t, r, id)
		if err := r.Settled(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.DestroyPeriod(t.Context(), 2, By{Principal: "ann"}, true); err != nil {
		t.Fatal(err)
	}
	if err := r.Settled(t.Context()); err != nil {
		t.Fatal(err)
	}
	third, err := r.Event(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	fourth, err := r.Event(t.Context(), 4)
	if err != nil {
		t.Fatal(err)
	}
	const age = 7 * 24 * time.Hour
	for _, e := range []auditrelay.Event{third, fourth} {
		if err := r.trim(e.Received.Add(age)); err != nil || r.Stats().Oldest != e.Sequence {
			t.Errorf("trim to %d: the oldest is %d, %v", e.Sequence, r.Stats().Oldest, err)
		}
	}
	if first := r.Keyring()[0]; first.Number != 4 {
		t.Errorf("the first period is %+v", first)
	}
	x, err := r.Explain(t.Context(), "", "d")
	if err != nil || len(x.Callbacks) != 1 || x.Callbacks[0].Outcome != auditrelay.Delivered || len(x.Callbacks[0].Receipts) != 1 {
		t.Errorf("explain: %+v, %v", x, err)
	}
}
