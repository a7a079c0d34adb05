package delivery_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/internal/ndjson"
	"auditrelay/runtime/internal/delivery"
	"auditrelay/runtime/internal/journal"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// lineSink sends one record per line and nothing else.
type lineSink struct{}

func (lineSink) Render(c auditrelay.Chunk) ([]auditrelay.Payload, error) {
	body, sequences := ndjson.Join(c.Records)
	return []auditrelay.Payload{{Key: fmt.Sprint(c.From), Body: body, Sequences: sequences, Sum: sha256.Sum256(body)}}, nil
}

func (lineSink) Deliver(context.Context, auditrelay.Payload) (auditrelay.Receipt, error) {
	return auditrelay.Receipt{}, nil
}

// TestAJoinedPayloadHoldsItsEvents seals two payloads that consist of their events, forgets
// everything that the lane does not need, and finds the second one complete after a restart.
func TestAJoinedPayloadHoldsItsEvents(t *testing.T) {
	o := journal.Options{FS: vfs.NewMem()}
	j, err := journal.Open("journal", o)
	if err != nil {
		t.Fatal(err)
	}
	commit := func(fn func(tx *journal.Tx) error) {
		t.Helper()
		tx := new(journal.Tx)
		if err := fn(tx); err != nil {
			t.Fatal(err)
		}
		if _, err := j.Commit(tx); err != nil {
			t.Fatal(err)
		}
	}
	place := delivery.Place{Callback: "c", Sink: lineSink{}, Proofs: j, Lane: "c"}
	var state *delivery.State
	commit(func(tx *journal.Tx) (err error) {
		for i := range 10 {
			tx.Append(auditrelay.Event{Namespace: "x", ID: fmt.Sprint(i), Data: fmt.Appendf(nil, `{"n":%d}`, i)})
		}
		state, err = delivery.Create(j, tx, delivery.State{Callback: "c"}, 1, time.Now())
		return err
	})
	lane, err := delivery.Open(j, state, delivery.Options{Sink: lineSink{}}, rand.New(rand.NewPCG(1, 2)))
	if err != nil {
		t.Fatal(err)
	}
	for from := uint64(1); from < 11; from += 5 {
		events, to, err := j.Read(from, 5, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		b := delivery.Batch{From: from, To: to}
		for i := range events {
			b.Judged = append(b.Judged, delivery.Judged{Event: &events[i], Outcome: auditrelay.Delivered, Data: events[i].Data})
		}
		a, err := delivery.Assemble(b, place)
		if err != nil {
			t.Fatal(err)
		}
		commit(func(tx *journal.Tx) error { return lane.Seal(tx, time.Now(), a, place) })
	}
	if _, stored, err := j.Get(journal.BodyKey("c", 2)); stored || err != nil {
		t.Errorf("the body is stored: %v, %v", stored, err)
	}
	commit(func(tx *journal.Tx) error {
		_, err := lane.Settle(tx, time.Now(), delivery.Sent{Number: 1})
		return err
	})
	if err := j.Trim(lane.Floor()); err != nil {
		t.Fatal(err)
	}
	if got := j.Oldest(); got != 6 {
		t.Errorf("the oldest event is %d, want that of the payload that is not settled", got)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if j, err = journal.Open("journal", o); err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	p, err := delivery.Load(j, "c", 2)
	if want := "{\"n\":5}\n{\"n\":6}\n{\"n\":7}\n{\"n\":8}\n{\"n\":9}\n"; err != nil || string(p.Body) != want {
		t.Errorf("%q, %v; want %q", p.Body, err, want)
	}
}

// TestScatteredEventsAreNoBody: the body of a payload of every other event is stored, since
// reading it would take one read of the journal per event and attempt. A payload with few gaps
// has no stored body.
func TestScatteredEventsAreNoBody(t *testing.T) {
	for name, c := range map[string]struct {
		out    func(sequence uint64) bool // processed by another filter
		stored bool
	}{
		"every other": {func(s uint64) bool { return s%2 == 0 }, true},
		"one gap":     {func(s uint64) bool { return s == 7 }, false},
		"few gaps":    {func(s uint64) bool { return s%40 == 0 }, false},
	} {
		t.Run(name, func(t *testing.T) {
			j, err := journal.Open("journal", journal.Options{FS: vfs.NewMem()})
			if err != nil {
				t.Fatal(err)
			}
			defer j.Close()
			place := delivery.Place{Callback: "c", Sink: lineSink{}, Proofs: j, Lane: "c"}
			tx := new(journal.Tx)
			for i := range 200 {
				tx.Append(auditrelay.Event{Namespace: "x", ID: fmt.Sprint(i), Data: fmt.Appendf(nil, `{"n":%d}`, i)})
			}
			state, err := delivery.Create(j, tx, delivery.State{Callback: "c"}, 1, time.Now())
			if err == nil {
				_, err = j.Commit(tx)
			}
			if err != nil {
				t.Fatal(err)
			}
			lane, err := delivery.Open(j, state, delivery.Options{Sink: lineSink{}}, rand.New(rand.NewPCG(1, 2)))
			if err != nil {
				t.Fatal(err)
			}
			events, to, err := j.Read(1, 200, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			b, want := delivery.Batch{From: 1, To: to}, ""
			for i := range events {
				one := delivery.Judged{Event: &events[i], Outcome: auditrelay.Delivered, Data: events[i].Data}
				if c.out(events[i].Sequence) {
					one.Outcome, one.Data = auditrelay.Filtered, nil
				} else {
					want += string(events[i].Data) + "\n"
				}
				b.Judged = append(b.Judged, one)
			}
			a, err := delivery.Assemble(b, place)
			if err != nil {
				t.Fatal(err)
			}
			tx = new(journal.Tx)
			if err = lane.Seal(tx, time.Now(), a, place); err == nil {
				_, err = j.Commit(tx)
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, stored, err := j.Get(journal.BodyKey("c", 1)); stored != c.stored || err != nil {
				t.Errorf("stored: %v, %v", stored, err)
			}
			if p, err := delivery.Load(j, "c", 1); err != nil || string(p.Body) != want {
				t.Errorf("%v: %.80q", err, p.Body)
			}
		})
	}
}
