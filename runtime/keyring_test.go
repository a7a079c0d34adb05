package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/filter"
	"auditrelay/runtime"
)

// periods returns encryption in which every submission begins a period.
func periods() runtime.Encryption {
	return runtime.Encryption{Key: auditrelay.Secret(strings.Repeat("k", 32)), Period: time.Nanosecond}
}

// periodOf returns the period of an event.
func periodOf(t *testing.T, r *runtime.Runtime, sequence uint64) runtime.Period {
	t.Helper()
	for _, p := range r.Keyring() {
		if p.From <= sequence && sequence < p.To {
			return p
		}
	}
	t.Fatalf("no period has event %d: %+v", sequence, r.Keyring())
	return runtime.Period{}
}

// secretive fails on events whose id begins with "bad".
func secretive(c *filter.Call) (auditrelay.Verdict, error) {
	if strings.HasPrefix(c.Event.ID, "bad") {
		return auditrelay.NoVerdict, &filter.Error{Cause: auditrelay.CauseFail, Err: errDown}
	}
	return auditrelay.Keep, nil
}

func heldBy(t *testing.T, err error, text string) {
	t.Helper()
	held, ok := errors.AsType[*runtime.HeldPeriodError](err)
	if !ok || !strings.Contains(held.Error(), text) {
		t.Errorf("got %v, want one that says %q", err, text)
	}
}

func TestAnErasedPeriod(t *testing.T) {
	sink := &memorySink{}
	o := runtime.Options{Dir: t.TempDir(), Journal: runtime.JournalOptions{Encryption: periods()}, Callbacks: []runtime.Callback{
		quick(runtime.Callback{Name: "archive", Sink: sink, Steps: []runtime.Step{{Name: "f", Filter: fn(secretive).filter()}}})}}
	r := start(t, o)
	submit(t, r, event("good", "created"))
	submit(t, r, event("bad", "deleted"))
	submit(t, r, event("later", "created"))
	settle(t, r)

	for _, n := range []uint64{0, 99} {
		if _, err := r.DestroyPeriod(t.Context(), n, runtime.By{Principal: "ann"}, false); !errors.Is(err, runtime.ErrNoPeriod) {
			t.Errorf("period %d: %v", n, err)
		}
	}
	_, err := r.DestroyPeriod(t.Context(), periodOf(t, r, 3).Number, runtime.By{Principal: "ann"}, true)
	heldBy(t, err, "current")
	_, err = r.DestroyPeriod(t.Context(), periodOf(t, r, 2).Number, runtime.By{Principal: "ann"}, false)
	heldBy(t, err, "archive has 1 dead letters")
	if len(sink.lines()) != 3 {
		t.Errorf("what was refused left an audit event: %v", sink.lines())
	}

	// The dead letter is discarded, and the account balances.
	p, err := r.DestroyPeriod(t.Context(), periodOf(t, r, 2).Number, runtime.By{Principal: "ann"}, true)
	if err != nil || p.State != runtime.PeriodDestroyed {
		t.Fatalf("%+v, %v", p, err)
	}
	if p, err = r.DestroyPeriod(t.Context(), periodOf(t, r, 1).Number, runtime.By{Principal: "ann"}, false); err != nil || p.State != runtime.PeriodDestroyed {
		t.Fatalf("%+v, %v", p, err)
	}
	if again, err := r.DestroyPeriod(t.Context(), p.Number, runtime.By{Principal: "bob"}, false); err != nil || again != p {
		t.Errorf("once more: %+v, %v", again, err)
	}
	settle(t, r)
	if got, want := account(t, r, "archive"), (runtime.Account{Assigned: 8, Delivered: 7, Discarded: 1, Balanced: true}); got != want {
		t.Errorf("account\n got %+v\nwant %+v", got, want)
	}
	if line := sink.lines()[5]; !strings.Contains(line, `"table_name":"auditrelay_keyring"`) || !strings.Contains(line, `"changed_by":"ann"`) || !strings.Contains(line, `"action":"deleted"`) {
		t.Errorf("the audit event: %s", line)
	}

	for range 2 { // now, and after a restart
		for sequence, id := range []string{1: "good", 2: "bad"} {
			if sequence == 0 {
				continue
			}
			if _, err := r.Explain(t.Context(), "", id); !errors.Is(err, runtime.ErrErased) {
				t.Errorf("explain %s: %v", id, err)
			}
			if _, err := r.Event(t.Context(), uint64(sequence)); !errors.Is(err, runtime.ErrErased) {
				t.Errorf("event %d: %v", sequence, err)
			}
		}
		if _, err := r.DeadLetter(t.Context(), "archive", 2); !errors.Is(err, runtime.ErrErased) {
			t.Errorf("dead letter: %v", err)
		}
		if list, err := r.DeadLetters(t.Context(), "archive", 0, 0); len(list) != 0 || err != nil {
			t.Errorf("dead letters: %v, %v", list, err)
		}
		if events, next, err := r.Stored(1, 100); err != nil || len(events) != 1 || events[0].ID != "later" || next != 4 {
			t.Errorf("stored: %d events, next %d, %v", len(events), next, err)
		}
		for _, receipt := range receiptsOf(t, r, runtime.ReceiptQuery{}) {
			if receipt.Sequence < 3 {
				t.Errorf("a receipt of what is erased: %+v", receipt)
			}
		}
		if end := ending(t, r, "later", "archive"); end.Outcome != auditrelay.Delivered {
			t.Errorf("explain later: %+v", end)
		}
		// For a repeated event nobody can say whether it is the same.
		results, err := r.Submit(t.Context(), runtime.Submission{Data: []byte(event("good", "created"))})
		if err != nil || !errors.Is(results[0].Err, runtime.ErrConflict) {
			t.Errorf("the erased event once more: %+v, %v", results, err)
		}
		r = reopen(t, r, o)
	}

	// A replay skips it, and so does a callback that begins at the beginning.
	if _, err := r.Replay(t.Context(), runtime.ReplayRequest{Callback: "archive", From: 1, To: 4, By: runtime.By{Principal: "ann"}}); err != nil {
		t.Fatal(err)
	}
	late := &memorySink{}
	if err := r.Apply(t.Context(), append(o.Callbacks, quick(runtime.Callback{Name: "late", Sink: late, From: auditrelay.From{Kind: auditrelay.FromBeginning}})), nil); err != nil {
		t.Fatal(err)
	}
	settle(t, r)
	statuses, err := r.Callbacks()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range statuses {
		if s.Name == "late" || s.Replay != "" {
			if s.Account.Skipped != 2 || s.Causes["erased"] != 2 || !s.Account.Balanced || s.Account.Pending != 0 {
				t.Errorf("%s %s: %+v %v", s.Name, s.Replay, s.Account, s.Causes)
			}
		}
	}
	if _, ok := late.lines()[3]; !ok || late.lines()[1] != "" {
		t.Errorf("delivered late: %v", late.lines())
	}
}

func TestWhatIsPendingIsNotErased(t *testing.T) {
	sink := &memorySink{}
	sink.set(func(auditrelay.Payload) error { return refuse(auditrelay.Transient) })
	o := runtime.Options{Dir: t.TempDir(), Journal: runtime.JournalOptions{Encryption: periods()}, Callbacks: []runtime.Callback{
		quick(runtime.Callback{Name: "sealed", Sink: sink, InFlight: 1}), quick(runtime.Callback{Name: "paused", Sink: &memorySink{}})}}
	r := start(t, o)
	if err := r.Pause(t.Context(), "paused", runtime.By{Principal: "ann"}); err != nil {
		t.Fatal(err)
	}
	submit(t, r, event("a", "created"))
	await(t, r, "sealed", "sealed", func(s runtime.CallbackStatus) bool { return s.InFlight == 1 && s.Attempts > 0 })
	submit(t, r, event("b", "created"))
	for _, dead := range []bool{false, true} {
		_, err := r.DestroyPeriod(t.Context(), 1, runtime.By{Principal: "ann"}, dead)
		heldBy(t, err, "sealed has payloads")
		heldBy(t, err, "paused has 1 events")
	}
	r = reopen(t, r, o)
	_, err := r.DestroyPeriod(t.Context(), 1, runtime.By{Principal: "ann"}, true)
	heldBy(t, err, "sealed has payloads")
	sink.set(nil)
	if err := r.Resume(t.Context(), "paused", runtime.By{Principal: "ann"}); err != nil {
		t.Fatal(err)
	}
	settle(t, r)
	if p, err := r.DestroyPeriod(t.Context(), 1, runtime.By{Principal: "ann"}, false); err != nil || p.State != runtime.PeriodDestroyed {
		t.Errorf("once it is delivered: %+v, %v", p, err)
	}
	settle(t, r)
	if got, want := account(t, r, "sealed"), (runtime.Account{Assigned: 6, Delivered: 6, Balanced: true}); got != want {
		t.Errorf("account\n got %+v\nwant %+v", got, want)
	}
}

// TestNothingOfAnErasedPeriodIsInACopy: a copy of the data directory, together with the master
// key, contains nothing of an erased period. No file of the directory contains any plain text
// of an event, including pending ones, dead letters and receipts.
func TestNothingOfAnErasedPeriodIsInACopy(t *testing.T) {
	const planted, later = "planted-alice", "planted-bob"
	for _, test := range []struct {
		name string
		with runtime.Encryption
		want bool
	}{{"encrypted", periods(), false}, {"control: plain", runtime.Encryption{}, true}} {
		t.Run(test.name, func(t *testing.T) {
			down := &memorySink{}
			down.set(func(auditrelay.Payload) error { return refuse(auditrelay.Transient) })
			saying := func(c *filter.Call) (auditrelay.Verdict, error) {
				c.Reason = "it is " + c.Event.ID
				return secretive(c)
			}
			o := runtime.Options{Dir: t.TempDir(), Journal: runtime.JournalOptions{Encryption: test.with}, Callbacks: []runtime.Callback{
				quick(runtime.Callback{Name: "archive", Sink: &memorySink{}, Steps: []runtime.Step{{Name: "f", Filter: fn(saying).filter()}}}),
				quick(runtime.Callback{Name: "late", Sink: down})}}
			r := start(t, o)
			submit(t, r, event("bad-"+planted, "created"), event(planted, "created"))
			submit(t, r, event("bad-"+later, "created"), event(later, "created"))
			await(t, r, "late", "sealed", func(s runtime.CallbackStatus) bool { return s.Attempts > 0 && s.Cursor == 5 })
			await(t, r, "archive", "done", func(s runtime.CallbackStatus) bool { return s.Account.Pending == 0 })
			dir := o.Dir
			if got := grep(t, dir, planted) || grep(t, dir, later); got != test.want {
				t.Errorf("planted text is on disk: %v", got)
			}
			down.set(nil)
			if err := r.Resume(t.Context(), "late", runtime.By{Principal: "ann"}); err != nil {
				t.Fatal(err)
			}
			settle(t, r)
			if !test.want {
				if _, err := r.DestroyPeriod(t.Context(), 1, runtime.By{Principal: "ann"}, true); err != nil {
					t.Fatal(err)
				}
			}
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			copied := filepath.Join(t.TempDir(), "copy")
			if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			if got := grep(t, copied, planted); got != test.want {
				t.Errorf("planted text is in the copy: %v", got)
			}
			o.Dir = copied
			r = start(t, o)
			_, err := r.Event(t.Context(), 1)
			if readable := err == nil; readable != test.want || !readable && !errors.Is(err, runtime.ErrErased) {
				t.Errorf("the event is readable in the copy: %v", err)
			}
			if e, err := r.Event(t.Context(), 4); err != nil || e.ID != later {
				t.Errorf("another period's event in the copy: %v, %v", e.ID, err)
			}
		})
	}
}

// grep reports whether a file below dir contains text.
func grep(t *testing.T, dir, text string) (found bool) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(filepath.Join(dir, path))
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the engine removed it meanwhile
		}
		found = found || strings.Contains(string(b), text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// A replayed dead letter belongs to its event's period. Dead letters of several periods are not
// processed together.
func TestDeadLettersOfSeveralPeriods(t *testing.T) {
	sink := &memorySink{}
	failing := true
	o := runtime.Options{Dir: t.TempDir(), Journal: runtime.JournalOptions{Encryption: periods()}, Callbacks: []runtime.Callback{
		quick(runtime.Callback{Name: "archive", Sink: sink, Steps: []runtime.Step{{Name: "f", Filter: fn(func(c *filter.Call) (auditrelay.Verdict, error) {
			if failing {
				return secretive(c)
			}
			return auditrelay.Keep, nil
		}).filter()}}})}}
	r := start(t, o)
	for i := range 3 {
		submit(t, r, event(fmt.Sprint("bad", i), "created"))
	}
	submit(t, r, event("last", "created"))
	settle(t, r)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	failing = false
	r = start(t, o)
	if n, err := r.ReplayDeadLetters(t.Context(), "archive", runtime.By{Principal: "ann"}); n != 3 || err != nil {
		t.Fatal(n, err)
	}
	settle(t, r)
	if got, want := account(t, r, "archive"), (runtime.Account{Assigned: 5, Delivered: 5, Balanced: true}); got != want {
		t.Errorf("account\n got %+v\nwant %+v", got, want)
	}
	if _, err := r.DestroyPeriod(t.Context(), 2, runtime.By{Principal: "ann"}, false); err != nil {
		t.Fatal(err)
	}
	again := map[uint64]int{}
	for _, receipt := range receiptsOf(t, r, runtime.ReceiptQuery{To: 4}) {
		again[receipt.Sequence]++
	}
	if again[1] != 2 || again[2] != 0 || again[3] != 2 {
		t.Errorf("receipts by sequence, where 2 is erased: %v", again)
	}
	for _, id := range []string{"bad0", "bad2"} {
		if end := ending(t, r, id, "archive"); end.Outcome != auditrelay.Delivered || end.Key == "" {
			t.Errorf("%s: %+v", id, end)
		}
	}
}

func TestAKeyIsNeeded(t *testing.T) {
	o := runtime.Options{Dir: t.TempDir(), Journal: runtime.JournalOptions{Encryption: periods()}}
	r := start(t, o)
	submit(t, r, event("a", "created"))
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"": "journal.encryption.key", strings.Repeat("x", 32): "another key", "short": "at least 32"} {
		o.Journal.Encryption.Key = auditrelay.Secret(key)
		_, err := runtime.Open(context.Background(), o)
		if err == nil || !strings.Contains(err.Error(), want) || key != "" && strings.Contains(err.Error(), key) && key != "short" {
			t.Errorf("%d bytes: %v", len(key), err)
		}
	}
}

// TestEncryptionIsTurnedOnOverWhatIsPending: plain-text payloads, dead letters and pending
// events continue, and only the owner can read the keyring.
func TestEncryptionIsTurnedOnOverWhatIsPending(t *testing.T) {
	sink := &memorySink{}
	sink.set(func(auditrelay.Payload) error { return refuse(auditrelay.Transient) })
	o := runtime.Options{Dir: t.TempDir(), Callbacks: []runtime.Callback{
		quick(runtime.Callback{Name: "archive", Sink: sink, InFlight: 1, Steps: []runtime.Step{{Name: "f", Filter: fn(secretive).filter()}}})}}
	r := start(t, o)
	submit(t, r, event("bad", "created"))
	submit(t, r, event("sealed", "created"))
	await(t, r, "archive", "sealed", func(s runtime.CallbackStatus) bool { return s.InFlight > 0 && s.Attempts > 0 })
	submit(t, r, event("waits", "created"))
	o.Journal.Encryption = runtime.Encryption{Key: periods().Key}
	r = reopen(t, r, o)
	submit(t, r, event("new", "created"))
	sink.set(nil)
	if n, err := r.ReplayDeadLetters(t.Context(), "archive", runtime.By{Principal: "ann"}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	settle(t, r)
	if got, want := account(t, r, "archive"), (runtime.Account{Assigned: 5, Delivered: 4, DeadLettered: 1, Balanced: true}); got != want {
		t.Errorf("account\n got %+v\nwant %+v", got, want)
	}
	for _, id := range []string{"sealed", "waits", "new"} {
		if end := ending(t, r, id, "archive"); end.Outcome != auditrelay.Delivered || len(end.Receipts) != 1 {
			t.Errorf("%s: %+v", id, end)
		}
	}
	if p := r.Keyring(); len(p) != 1 || p[0].From != 4 {
		t.Errorf("%+v", p)
	}
	info, err := os.Stat(filepath.Join(o.Dir, "journal", "KEYRING"))
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("the keyring's mode: %v, %v", info.Mode(), err)
	}
}
