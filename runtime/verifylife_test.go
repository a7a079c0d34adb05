package runtime_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/builtin/s3"
	"auditrelay/filter"
	"auditrelay/internal/verify"
	"auditrelay/runtime"

	"golang.org/x/mod/sumdb/note"
)

// TestProofsOutliveAJournalsLife: after a period's erasure, retention, a backup, and a restore
// that continues to deliver to the same bucket, the journals, the backup and the bucket all
// verify, with pins of every earlier moment.
func TestProofsOutliveAJournalsLife(t *testing.T) {
	signing, public, err := note.GenerateKey(rand.Reader, "relay.example")
	if err != nil {
		t.Fatal(err)
	}
	encryption, objects, base, pins := periods(), place{}, t.TempDir(), [][]byte(nil)
	dir, backup, again := filepath.Join(base, "data"), filepath.Join(base, "backup"), filepath.Join(base, "again")
	var b *bucket
	options := func(dir string) runtime.Options {
		sink, err := s3.New(s3.Options{Bucket: "audit", Prefix: "logs", Region: "r"})
		if err != nil {
			t.Fatal(err)
		}
		b = &bucket{Sink: sink, objects: objects}
		return runtime.Options{Dir: dir, Journal: runtime.JournalOptions{Encryption: encryption, Retention: runtime.Retention{Age: -1}},
			Proofs:    runtime.ProofOptions{Key: signing},
			Callbacks: []runtime.Callback{{Name: "bucket", Digest: "1", Sink: b, Chunk: auditrelay.Chunking{Age: time.Millisecond}}}}
	}
	send := func(r *runtime.Runtime, from, to int) {
		t.Helper()
		for i := from; i < to; i++ {
			submit(t, r, fmt.Sprintf(`{"id":"e%d","action":"created"}`, i))
		}
		settle(t, r)
	}
	check := func(what string, r *verify.Report, err error, logs int) {
		t.Helper()
		if err != nil || r.FaultCount > 0 || len(r.Unattested) > 0 || len(r.Logs) != logs {
			t.Fatalf("%s: %v %s, %d logs\n%v\n%v", what, err, r.Verdict(), len(r.Logs), r.Faults, r.Unattested)
		}
	}
	o := verify.Options{Keys: []string{public}}
	inBucket := func(what string, logs int) {
		t.Helper()
		o := o
		for i, pin := range pins {
			if i%2 == 1 { // of what was delivered
				o.Pins = append(o.Pins, pin)
			}
		}
		check(what+", the bucket", verified(t, b.snapshot(), o), nil, logs)
	}
	inJournal := func(what, dir string, logs int) {
		t.Helper()
		o := o
		o.Pins = pins
		report, err := runtime.VerifyJournal(dir, encryption, o)
		check(what, report, err, logs)
		for _, l := range report.Logs[len(report.Logs)-2:] {
			pins = append(pins, []byte(l.Checkpoint))
		}
	}

	r := start(t, options(dir))
	send(r, 1, 5)
	if err := r.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	inJournal("at first", dir, 2)
	inBucket("at first", 1)

	r = start(t, options(dir))
	for sequence := range uint64(2) {
		if _, err := r.DestroyPeriod(t.Context(), periodOf(t, r, 1+sequence).Number, runtime.By{Principal: "ann"}, false); err != nil {
			t.Fatal(err)
		}
	}
	send(r, 5, 8)
	if err := r.Backup(t.Context(), backup, runtime.By{Principal: "ann"}, nil); err != nil {
		t.Fatal(err)
	}
	inJournal("after an erasure, a backup", backup, 2)
	send(r, 8, 10)
	if err := r.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	inJournal("after an erasure", dir, 2)
	inBucket("after an erasure", 1)

	// Retention removes delivered events.
	short := options(dir)
	short.Journal.Retention = runtime.Retention{Bytes: 1}
	r = start(t, short)
	send(r, 10, 12)
	if err := runtime.Trim(r, time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := r.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	report, err := runtime.VerifyJournal(dir, encryption, verify.Options{Keys: []string{public}})
	if err != nil || report.Records > 8 {
		t.Fatalf("nothing was forgotten: %d records, %v", report.Records, err)
	}
	inJournal("after retention", dir, 2)
	inBucket("after retention", 1)

	// The backup is restored elsewhere, and delivers to the same bucket. It has its own logs.
	if err := runtime.Restore(backup, again, runtime.By{Principal: "ann"}, nil); err != nil {
		t.Fatal(err)
	}
	r = start(t, options(again))
	send(r, 20, 23)
	if err := r.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	pins = pins[:4] // those before the backup and of it: the restored journal has no more
	inJournal("after a restore", again, 4)
	inBucket("after a restore", 2)
}

// heldBucket blocks its first delivery until it is released.
type heldBucket struct {
	*bucket
	begun, free chan struct{}
	once        sync.Once
}

func (b *heldBucket) Deliver(ctx context.Context, p auditrelay.Payload) (auditrelay.Receipt, error) {
	b.once.Do(func() { close(b.begun) })
	<-b.free
	return b.bucket.Deliver(ctx, p)
}

// TestAPayloadOfTwoLives: a backup made while a payload was in flight delivers it once more
// after its restore. Both logs state the one object. An event filtered beside it was already
// stated, only in the first log.
func TestAPayloadOfTwoLives(t *testing.T) {
	signing, public, err := note.GenerateKey(rand.Reader, "relay.example")
	if err != nil {
		t.Fatal(err)
	}
	sink, err := s3.New(s3.Options{Bucket: "audit", Prefix: "logs", Region: "r"})
	if err != nil {
		t.Fatal(err)
	}
	held := &heldBucket{bucket: &bucket{Sink: sink, objects: place{}}, begun: make(chan struct{}), free: make(chan struct{})}
	options := func(dir string) runtime.Options {
		return runtime.Options{Dir: dir, Proofs: runtime.ProofOptions{Key: signing},
			Callbacks: []runtime.Callback{{Name: "bucket", Digest: "1", Sink: held, Chunk: auditrelay.Chunking{Age: time.Millisecond},
				Steps: []runtime.Step{{Name: "drops", Filter: fn(func(c *filter.Call) (auditrelay.Verdict, error) {
					if c.Event.ID == "dropped" {
						return auditrelay.Drop, nil
					}
					return auditrelay.Keep, nil
				}).filter()}}}}}
	}
	base := t.TempDir()
	backup, again := filepath.Join(base, "backup"), filepath.Join(base, "again")
	r := start(t, options(filepath.Join(base, "data")))
	submit(t, r, `{"id":"a","action":"created"}`, `{"id":"dropped","action":"created"}`)
	<-held.begun
	if err := r.Backup(t.Context(), backup, runtime.By{Principal: "ann"}, nil); err != nil {
		t.Fatal(err)
	}
	close(held.free)
	settle(t, r)
	if err := r.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := runtime.Restore(backup, again, runtime.By{Principal: "ann"}, nil); err != nil {
		t.Fatal(err)
	}
	r = start(t, options(again))
	settle(t, r)
	if err := r.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	report := verified(t, held.snapshot(), verify.Options{Keys: []string{public}})
	if report.FaultCount > 0 || len(report.Unattested) > 0 || len(report.Logs) != 2 {
		t.Errorf("%s, %d logs\n%v\n%v", report.Verdict(), len(report.Logs), report.Faults, report.Unattested)
	}
	report, err = runtime.VerifyJournal(again, runtime.Encryption{}, verify.Options{Keys: []string{public}})
	if err != nil || report.FaultCount > 0 {
		t.Errorf("the restored journal: %s\n%v, %v", report.Verdict(), report.Faults, err)
	}
}

// heldReplay is a bucket that blocks the first payload of a replay.
type heldReplay struct {
	*bucket
	once        sync.Once
	begun, free chan struct{}
}

func (b *heldReplay) Deliver(ctx context.Context, p auditrelay.Payload) (auditrelay.Receipt, error) {
	if strings.Contains(p.Key, "replay=") {
		b.once.Do(func() { close(b.begun) })
		<-b.free
	}
	return b.bucket.Deliver(ctx, p)
}

// TestACancelledReplayLeavesProofs: everything delivered before the cancellation is proved at
// its destination.
func TestACancelledReplayLeavesProofs(t *testing.T) {
	sink, err := s3.New(s3.Options{Bucket: "audit", Prefix: "logs", Region: "r"})
	if err != nil {
		t.Fatal(err)
	}
	held := &heldReplay{bucket: &bucket{Sink: sink, objects: place{}}, begun: make(chan struct{}), free: make(chan struct{})}
	signing, public, err := note.GenerateKey(rand.Reader, "relay.example")
	if err != nil {
		t.Fatal(err)
	}
	o, _ := withSigner(runtime.Options{Dir: t.TempDir()}, signing)
	o.Callbacks = []runtime.Callback{quick(runtime.Callback{Name: "bucket", Digest: "1", Sink: held})}
	r := start(t, o)
	submit(t, r, event("a", "created"), event("b", "created"))
	settle(t, r)
	started, err := r.Replay(t.Context(), runtime.ReplayRequest{Callback: "bucket", By: runtime.By{Principal: "u"}})
	if err != nil {
		t.Fatal(err)
	}
	<-held.begun
	if _, err := r.CancelReplay(t.Context(), "bucket", started.ID, runtime.By{Principal: "u"}); err != nil {
		t.Fatal(err)
	}
	close(held.free)
	settle(t, r)
	if err := r.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	once := held.snapshot()
	report := verified(t, once, verify.Options{Keys: []string{public}})
	if report.FaultCount > 0 || len(report.Logs) != 2 || len(report.Unattested) > 0 {
		t.Errorf("%s, %d logs\n%v\n%v", report.Verdict(), len(report.Logs), report.Faults, report.Unattested)
	}
	again := start(t, o)
	settle(t, again)
	if err := again.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name := range held.snapshot() {
		if strings.Contains(name, "replay=") && once[name] == nil {
			t.Errorf("a restart delivered %s", name)
		}
	}
}
