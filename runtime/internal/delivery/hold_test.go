package delivery_test

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/runtime/internal/delivery"
	"auditrelay/runtime/internal/journal"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestHoldIsTold: while the destination rejects all requests of the relay, other failures
// neither hide that nor end it. An operator who reads "degraded" would wait for retries that do
// not happen.
func TestHoldIsTold(t *testing.T) {
	j, err := journal.Open("journal", journal.Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	sink := &simSink{w: &world{}, objects: map[string]auditrelay.Payload{}, seen: map[string]string{}, bad: func(uint64) bool { return false }}
	place := delivery.Place{Callback: "c", Sink: sink}
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	tx := new(journal.Tx)
	state, err := delivery.Create(j, tx, delivery.State{Callback: "c"}, 1, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"a", "b", "c", "d"} {
		tx.Append(auditrelay.Event{Namespace: "x", ID: id, Data: []byte(`{}`)})
	}
	if _, err := j.Commit(tx); err != nil {
		t.Fatal(err)
	}
	lane, err := delivery.Open(j, state, delivery.Options{Sink: sink, Concurrency: 2}, rand.New(rand.NewPCG(1, 2)))
	if err != nil {
		t.Fatal(err)
	}
	events, _, err := j.Read(1, 4, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	batch := delivery.Batch{From: 1, To: 5}
	for i := range events {
		batch.Judged = append(batch.Judged, delivery.Judged{Event: &events[i], Outcome: auditrelay.Delivered, Data: events[i].Data})
	}
	assembled, err := delivery.Assemble(batch, place)
	if err != nil {
		t.Fatal(err)
	}
	tx = new(journal.Tx)
	if err := lane.Seal(tx, now, assembled, place); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Commit(tx); err != nil {
		t.Fatal(err)
	}
	for range 2 { // both payloads are in flight
		if a := lane.Next(now, j.Head(), time.Time{}); a.Kind != delivery.Deliver {
			t.Fatalf("the lane wants %+v, want a delivery", a)
		}
	}
	settle := func(number uint64, err error) {
		t.Helper()
		if _, err := lane.Settle(new(journal.Tx), now, delivery.Sent{Number: number, Err: err}); err != nil {
			t.Fatal(err)
		}
	}
	settle(1, &auditrelay.DeliveryError{Kind: auditrelay.Unauthorized, Err: errors.New("who are you")})
	settle(2, &auditrelay.DeliveryError{Kind: auditrelay.Throttled, Err: errors.New("slow down")})
	if c := lane.Condition(); c.State != delivery.AuthError || c.Reason != "who are you" || c.LastError != "slow down" {
		t.Errorf("the lane shows %+v", c)
	}
	if a := lane.Next(now.Add(20*time.Second), j.Head(), time.Time{}); a.Kind != delivery.Wait {
		t.Errorf("the hold was cut short: the lane wants %+v", a)
	}
}
