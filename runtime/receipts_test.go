package runtime_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/filter"
	"auditrelay/runtime"

	"github.com/google/go-cmp/cmp"
)

func receiptsOf(t *testing.T, r *runtime.Runtime, q runtime.ReceiptQuery) []runtime.Receipt {
	t.Helper()
	var all []runtime.Receipt
	err := r.Receipts(t.Context(), q, func(one runtime.Receipt) error {
		all = append(all, one)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// described is a filter that describes itself.
type described struct {
	fnFilter
	version atomic.Int64
}

func (d *described) Open(context.Context) (filter.Instance, error) { return d, nil }
func (d *described) Describe() filter.Description {
	return filter.Description{Kind: "redact", Digest: strings.Repeat("ab", 32), Version: fmt.Sprint(d.version.Load())}
}

// editing masks secret and reports it. It drops and fails by the event's id.
func editing() *described {
	touched := []filter.Touch{{}}
	return &described{fnFilter: fnFilter{func(c *filter.Call) (auditrelay.Verdict, error) {
		touched = append(touched[:0], filter.Touch{Path: "secret", Operation: "mask", Count: 1})
		c.Touched = touched
		switch c.Event.ID {
		case "dropped":
			c.Reason = "another team's"
			return auditrelay.Drop, nil
		case "failed":
			return auditrelay.NoVerdict, &filter.Error{Cause: auditrelay.CauseTrap, Err: errDown}
		case "plain":
			c.Touched = nil
			return auditrelay.Keep, nil
		}
		for n := c.Document.Child(0, -1); n != -1; n = c.Document.Child(0, n) {
			if string(c.Document.AppendKey(nil, n)) == "secret" {
				return auditrelay.Keep, c.Document.SetString(n, []byte("***"))
			}
		}
		return auditrelay.Keep, nil
	}}}
}

func TestEveryEventHasItsReceipt(t *testing.T) {
	dir := t.TempDir()
	f, looking := editing(), fn(keep)
	open := func() *runtime.Runtime {
		return start(t, runtime.Options{Dir: dir, Workers: 1, Callbacks: []runtime.Callback{
			quick(runtime.Callback{Name: "archive", Digest: strings.Repeat("1f", 32), Sink: &memorySink{}, When: &auditrelay.When{Fields: map[string][]string{"action": {"created", "deleted"}}},
				Steps: []runtime.Step{{Name: "no-secrets", Filter: f}, {Name: "watch", Filter: looking.filter(), Role: auditrelay.RoleObserve}}})}})
	}
	r := open()
	submit(t, r, event("masked", "created"), event("plain", "created"), event("dropped", "created"), event("failed", "deleted"), event("elsewhere", "updated"))
	settle(t, r)
	f.version.Store(1)
	submit(t, r, event("later", "created"))
	settle(t, r)
	// They are as durable as everything else.
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r = open()
	all := receiptsOf(t, r, runtime.ReceiptQuery{})
	if len(all) != 6 {
		t.Fatalf("%d receipts: %+v", len(all), all)
	}
	visit := runtime.ReceiptFilter{Name: "no-secrets", Kind: "redact", Digest: strings.Repeat("ab", 32), Version: "0"}
	masked := visit
	masked.Touched = []runtime.ReceiptTouch{{Path: "secret", Operation: "mask", Count: 1}}
	later := masked
	later.Version = "1"
	watch := runtime.ReceiptFilter{Name: "watch"}
	want := []runtime.Receipt{
		{ID: "masked", Outcome: auditrelay.Delivered, Filters: []runtime.ReceiptFilter{masked, watch}},
		{ID: "plain", Outcome: auditrelay.Delivered, Filters: []runtime.ReceiptFilter{visit, watch}},
		{ID: "dropped", Outcome: auditrelay.Filtered, Cause: auditrelay.CauseDrop, Filter: "no-secrets", Reason: "another team's", Filters: []runtime.ReceiptFilter{masked}},
		{ID: "failed", Outcome: auditrelay.DeadLettered, Cause: auditrelay.CauseTrap, Filter: "no-secrets", Filters: []runtime.ReceiptFilter{visit}},
		{ID: "elsewhere", Outcome: auditrelay.Filtered, Cause: auditrelay.CauseWhen},
		{ID: "later", Outcome: auditrelay.Delivered, Filters: []runtime.ReceiptFilter{later, watch}},
	}
	for i := range all {
		got := all[i]
		w := want[i]
		w.Now = w.Outcome
		if len(got.Input) != 32 || (got.Output != "") != (w.Outcome == auditrelay.Delivered) || (got.Output == got.Input) != (w.ID == "plain") {
			t.Errorf("%s: digests %q and %q", got.ID, got.Input, got.Output)
		}
		if got.At.IsZero() || time.Since(got.At) > time.Minute || got.Sequence != uint64(i+1) || got.Config != strings.Repeat("1f", 32) || got.Callback != "archive" {
			t.Errorf("%+v", got)
		}
		got.Input, got.Output, got.At, got.Sequence, got.Config, got.Callback, got.Namespace = "", "", time.Time{}, 0, "", "", ""
		if diff := cmp.Diff(w, got); diff != "" {
			t.Errorf("%s: %s", w.ID, diff)
		}
	}

	// Selections.
	for _, c := range []struct {
		q    runtime.ReceiptQuery
		want string
	}{
		{runtime.ReceiptQuery{Callback: "archive", From: 2, To: 4}, "plain dropped"},
		{runtime.ReceiptQuery{From: 6}, "later"},
		{runtime.ReceiptQuery{To: 2}, "masked"},
		{runtime.ReceiptQuery{ID: "failed"}, "failed"},
		{runtime.ReceiptQuery{ID: "failed", From: 5}, ""},
		{runtime.ReceiptQuery{FromTime: time.Now().Add(time.Hour)}, ""},
		{runtime.ReceiptQuery{ToTime: time.Now().Add(time.Hour), From: 5}, "elsewhere later"},
	} {
		var ids []string
		for _, one := range receiptsOf(t, r, c.q) {
			ids = append(ids, one.ID)
		}
		if got := strings.Join(ids, " "); got != c.want {
			t.Errorf("%+v: %s, want %s", c.q, got, c.want)
		}
	}
	none := func(runtime.Receipt) error { t.Error("a receipt"); return nil }
	if err := r.Receipts(t.Context(), runtime.ReceiptQuery{Callback: "nobody"}, none); err == nil {
		t.Error("an unknown callback is no error")
	}
	if err := r.Receipts(t.Context(), runtime.ReceiptQuery{ID: "nothing"}, none); err == nil {
		t.Error("an unknown event is no error")
	}
	if end := ending(t, r, "masked", "archive"); len(end.Receipts) != 1 || end.Receipts[0].Output == "" {
		t.Errorf("explained: %+v", end.Receipts)
	}
}

// TestReceiptsOfWhatWasJudgedAgain: a replayed dead letter has one more receipt, which shows a
// refusal by the destination after the seal.
func TestReceiptsOfWhatWasJudgedAgain(t *testing.T) {
	var mended atomic.Bool
	f := fn(func(c *filter.Call) (auditrelay.Verdict, error) {
		if c.Event.ID == "failed" && !mended.Load() {
			return auditrelay.NoVerdict, errDown
		}
		return auditrelay.Keep, nil
	})
	sink := &memorySink{}
	sink.set(func(p auditrelay.Payload) error {
		if strings.Contains(string(p.Body), `"refused"`) {
			return refuse(auditrelay.Refused)
		}
		return nil
	})
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: sink, Steps: []runtime.Step{{Name: "rules", Filter: f.filter()}}})}})
	submit(t, r, event("failed", "created"), event("refused", "created"), event("well", "created"))
	settle(t, r)
	mended.Store(true)
	if n, err := r.ReplayDeadLetters(t.Context(), "archive", runtime.By{Principal: "ops"}, 1); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	settle(t, r)
	await(t, r, "archive", "delivered", func(s runtime.CallbackStatus) bool { return s.Account.Delivered == 3 })
	started, err := r.Replay(t.Context(), runtime.ReplayRequest{Callback: "archive", From: 3, To: 4})
	if err != nil {
		t.Fatal(err)
	}
	settle(t, r)
	var got []string
	for _, one := range receiptsOf(t, r, runtime.ReceiptQuery{Callback: "archive"}) {
		if one.Namespace == auditrelay.NamespaceRelay {
			continue
		}
		got = append(got, strings.TrimSpace(fmt.Sprint(one.ID, " ", one.Outcome, " ", one.Cause, one.Refused, " again=", one.Again, " replay=", one.Replay == started.ID)))
	}
	want := []string{
		"failed dead_lettered fail again=false replay=false",
		"refused delivered refused again=false replay=false",
		"well delivered  again=false replay=false",
		"failed delivered  again=true replay=false",
		"well delivered  again=false replay=true",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if end := ending(t, r, "failed", "archive"); len(end.Receipts) != 2 || !end.Receipts[1].Again {
		t.Errorf("explained: %+v", end.Receipts)
	}
}

// TestAReplaysReceiptTellsWhatItEmitted: nothing, unless requested.
func TestAReplaysReceiptTellsWhatItEmitted(t *testing.T) {
	r, _ := alerting(t, t.TempDir())
	submit(t, r, event("a", "blocked"))
	settle(t, r)
	for _, emit := range []bool{false, true} {
		if _, err := r.Replay(t.Context(), runtime.ReplayRequest{Callback: "archive", From: 1, To: 2, Emit: emit}); err != nil {
			t.Fatal(err)
		}
		settle(t, r)
	}
	emitted := 0
	for _, one := range receiptsOf(t, r, runtime.ReceiptQuery{Callback: "archive"}) {
		emitted += one.Emitted
	}
	if emitted != 2 { // by the callback itself, and by the second replay
		t.Errorf("%d records were emitted, say the receipts", emitted)
	}
}

// TestReceiptsOfWhatWasNotJudged: skipped events have a receipt too.
func TestReceiptsOfWhatWasNotJudged(t *testing.T) {
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: &memorySink{}})}})
	if err := r.Detach(t.Context(), "archive", runtime.By{Principal: "ops"}); err != nil {
		t.Fatal(err)
	}
	submit(t, r, event("a", "created"))
	await(t, r, "archive", "skipped", func(s runtime.CallbackStatus) bool { return s.Account.Skipped == 2 })
	all := receiptsOf(t, r, runtime.ReceiptQuery{})
	if len(all) != 2 || all[0].Outcome != auditrelay.Skipped || all[0].Cause != auditrelay.CauseDetached || all[0].Input != "" || all[0].Filters != nil {
		t.Errorf("got %+v", all)
	}
}

// TestALeakHasAReceiptWithoutOutput: nothing of it was delivered.
func TestALeakHasAReceiptWithoutOutput(t *testing.T) {
	sink := deriving{memorySink: &memorySink{}, derive: func(r auditrelay.Record, p *auditrelay.Payload) {
		if r.ID == "derived" {
			p.Key = "AKIAIOSFODNN7ABCDEFG"
		}
	}, each: true}
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: sink,
		MustNotLeave: auditrelay.MustNotLeave{Detectors: []string{"secrets"}, Paths: []string{"secret"}},
		Steps:        []runtime.Step{{Name: "mask", Filter: masking.filter()}}})}})
	submit(t, r, event("leaky", "created"), event("derived", "created"))
	settle(t, r)
	all := receiptsOf(t, r, runtime.ReceiptQuery{})
	for _, one := range all {
		if one.Outcome != auditrelay.DeadLettered || one.Cause != auditrelay.CauseLeak || one.Output != "" || one.Input == "" {
			t.Errorf("got %+v", one)
		}
	}
	if len(all) != 2 {
		t.Errorf("%d receipts", len(all))
	}
}
