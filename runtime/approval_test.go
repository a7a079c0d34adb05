package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"auditrelay"
	"auditrelay/runtime"
)

var twice = runtime.Approvals{Detach: 2, Discard: 2, DeleteQuarantine: 2, DestroyPeriod: 2}

func person(name string) runtime.By {
	return runtime.By{Principal: name, Credential: "token 00000000", Reason: "TICKET-1"}
}

// asked returns the request created by an act.
func asked(t *testing.T, err error) runtime.Approval {
	t.Helper()
	needs, ok := errors.AsType[*runtime.NeedsApprovalError](err)
	if !ok {
		t.Fatalf("it made no request: %v", err)
	}
	return needs.Approval
}

func approvalRecords(t *testing.T, rt *runtime.Runtime) string {
	t.Helper()
	records, _, err := rt.OwnRecords(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range records {
		all = append(all, string(e.Data))
	}
	return strings.Join(all, "\n")
}

func openApprovals(t *testing.T, dir string, a runtime.Approvals) *runtime.Runtime {
	t.Helper()
	rt, err := runtime.Open(t.Context(), runtime.Options{Dir: dir, Logger: slog.New(slog.DiscardHandler), Approvals: a, Journal: runtime.JournalOptions{UnsafeNoSync: true},
		Callbacks: []runtime.Callback{{Name: "archive", Sink: refusesAll{}}}})
	if err != nil {
		t.Fatal(err)
	}
	return rt
}

// refusesAll makes every event a dead letter.
type refusesAll struct{}

func (refusesAll) Render(c auditrelay.Chunk) (all []auditrelay.Payload, err error) {
	for _, r := range c.Records {
		all = append(all, auditrelay.Payload{Key: fmt.Sprint(r.Sequence), Body: r.Data, Sequences: []uint64{r.Sequence}})
	}
	return all, nil
}

func (refusesAll) Deliver(context.Context, auditrelay.Payload) (auditrelay.Receipt, error) {
	return auditrelay.Receipt{}, &auditrelay.DeliveryError{Kind: auditrelay.Refused, Err: errors.New("no")}
}

// TestASecondPersonApproves: an act waits until another principal approves it, and then runs
// once. No credential of the requester can approve it.
func TestASecondPersonApproves(t *testing.T) {
	rt := openApprovals(t, t.TempDir(), twice)
	defer func() { _ = rt.Close() }()
	ctx := t.Context()
	alice := person("alice@example.com")
	alice.Subject = "https://login.example 1"
	a := asked(t, rt.Detach(ctx, "archive", alice))
	if again := asked(t, rt.Detach(ctx, "archive", person("bob"))); again.ID != a.ID {
		t.Errorf("the same act has two requests: %s, %s", a.ID, again.ID)
	}
	state := func() runtime.State {
		s, err := rt.Callback("archive")
		if err != nil {
			t.Fatal(err)
		}
		return s.State
	}
	other := person("1234") // her token without the claim email
	other.Subject = alice.Subject
	for name, by := range map[string]runtime.By{"herself": alice, "her token": person("alice@example.com"), "her certificate, in capitals": person("Alice@Example.com"), "another name of the same subject": other} {
		if _, err := rt.Approve(ctx, a.ID, by); !errors.Is(err, runtime.ErrSamePrincipal) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := rt.Approve(ctx, a.ID, runtime.By{}); !errors.Is(err, runtime.ErrNobody) {
		t.Errorf("nobody: %v", err)
	}
	wrong := person("bob")
	wrong.Seen = strings.Repeat("0", 64)
	if _, err := rt.Approve(ctx, a.ID, wrong); !errors.Is(err, runtime.ErrChanged) {
		t.Errorf("another digest: %v", err)
	}
	if state() == runtime.StateDetached {
		t.Fatal("it is detached before anybody approved it")
	}
	bob := person("bob")
	bob.Seen = a.Digest
	done, err := rt.Approve(ctx, a.ID, bob)
	if err != nil || done.State != runtime.ApprovalDone || state() != runtime.StateDetached {
		t.Fatalf("%+v, %v, %s", done, err, state())
	}
	if _, err := rt.Approve(ctx, a.ID, person("carol")); !errors.Is(err, runtime.ErrConflict) {
		t.Errorf("a second time: %v", err)
	}
	all := approvalRecords(t, rt)
	for _, want := range []string{`"changed_by":"alice@example.com"`, `"act":"request"`, `"act":"approve"`, `"changed_by":"bob"`, `"approved_by":["bob"]`, `"approval":"` + a.ID + `"`} {
		if !strings.Contains(all, want) {
			t.Errorf("no own record has %s:\n%s", want, all)
		}
	}
}

// TestApprovedIsWhatRuns: dead letters created after the request stay, and a callback changed
// meanwhile is not detached.
func TestApprovedIsWhatRuns(t *testing.T) {
	rt := openApprovals(t, t.TempDir(), twice)
	defer func() { _ = rt.Close() }()
	ctx := t.Context()
	send := func(id string) {
		t.Helper()
		if _, err := rt.Submit(ctx, runtime.Submission{Data: []byte(`{"id":"` + id + `","action":"created"}`)}); err != nil {
			t.Fatal(err)
		}
		if err := rt.Settled(ctx); err != nil {
			t.Fatal(err)
		}
	}
	send("a")
	send("b")
	_, err := rt.DiscardDeadLetters(ctx, "archive", person("alice"))
	a := asked(t, err)
	send("c")
	if done, err := rt.Approve(ctx, a.ID, person("bob")); err != nil || done.Result != "2 of 2 discarded" {
		t.Fatalf("%+v, %v", done, err)
	}
	left, err := rt.DeadLetters(ctx, "archive", 0, 0)
	ids := map[string]bool{}
	for _, l := range left {
		ids[l.ID] = true
	}
	if err != nil || ids["a"] || ids["b"] || !ids["c"] {
		t.Errorf("left are %v, %v", ids, err)
	}

	a = asked(t, rt.Detach(ctx, "archive", person("alice")))
	if err := rt.Pause(ctx, "archive", person("carol")); err != nil {
		t.Fatal(err)
	}
	if list := rt.Approvals(); !list[len(list)-1].Changed {
		t.Errorf("the list does not show that the callback changed: %+v", list[len(list)-1])
	}
	if failed, err := rt.Approve(ctx, a.ID, person("bob")); !errors.Is(err, runtime.ErrChanged) || failed.State != runtime.ApprovalFailed {
		t.Errorf("%+v, %v", failed, err)
	}
	if s, _ := rt.Callback("archive"); s.State == runtime.StateDetached {
		t.Error("it is detached, although it changed")
	}
	if all := approvalRecords(t, rt); !strings.Contains(all, `"act":"approve","outcome":"failed"`) {
		t.Errorf("the failed request is not on record as failed:\n%s", all)
	}
}

// TestApprovalsOutliveTheProcess: requests survive a restart. An approved act that was not
// executed is executed, and a request that needs no approval any more is void.
func TestApprovalsOutliveTheProcess(t *testing.T) {
	dir := t.TempDir()
	rt := openApprovals(t, dir, twice)
	ctx := t.Context()
	detach := asked(t, rt.Detach(ctx, "archive", person("alice")))
	if err := rt.Quarantine(ctx, runtime.Quarantined{Reason: "syntax", Data: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	item := asked(t, rt.DeleteQuarantineItem(ctx, person("alice"), 1))
	// The state after a kill between the approval and the act.
	if err := runtime.ApproveOnly(rt, item.ID, person("bob")); err != nil {
		t.Fatal(err)
	}
	if err := rt.Close(); err != nil {
		t.Fatal(err)
	}
	rt = openApprovals(t, dir, runtime.Approvals{DeleteQuarantine: 2})
	defer func() { _ = rt.Close() }()
	runtime.AwaitApprovals(rt)
	states := map[string]string{}
	for _, a := range rt.Approvals() {
		states[a.ID] = a.State + " " + a.Result
	}
	if states[item.ID] != "done 1 of 1 deleted" || states[detach.ID] != "void " {
		t.Errorf("states are %v", states)
	}
	if _, err := rt.QuarantineItem(ctx, 1); !errors.Is(err, runtime.ErrNoQuarantineItem) {
		t.Errorf("the item: %v", err)
	}
	if _, err := rt.Approve(ctx, detach.ID, person("bob")); !errors.Is(err, runtime.ErrConflict) {
		t.Errorf("a void request: %v", err)
	}
	if s, _ := rt.Callback("archive"); s.State == runtime.StateDetached {
		t.Error("a void request was done")
	}
}

// TestApprovalsEnd: rejection and expiry are recorded. Of many simultaneous approvals, one
// executes the act.
func TestApprovalsEnd(t *testing.T) {
	rt := openApprovals(t, t.TempDir(), twice)
	defer func() { _ = rt.Close() }()
	ctx := t.Context()
	a := asked(t, rt.Detach(ctx, "archive", person("alice")))
	if _, err := rt.Reject(a.ID, person("alice")); err != nil {
		t.Fatal(err)
	}
	if _, err := rt.Approve(ctx, a.ID, person("bob")); !errors.Is(err, runtime.ErrConflict) {
		t.Errorf("after the rejection: %v", err)
	}
	a = asked(t, rt.Detach(ctx, "archive", person("alice")))
	runtime.PassTime(rt, a.Expires.Sub(a.By.At)+1)
	if _, err := rt.Approve(ctx, a.ID, person("bob")); !errors.Is(err, runtime.ErrConflict) || !strings.Contains(err.Error(), "time is over") {
		t.Errorf("after its time: %v", err)
	}
	rt.SetApprovals(twice)
	if all := approvalRecords(t, rt); !strings.Contains(all, `"state":"expired"`) || !strings.Contains(all, `"state":"rejected"`) {
		t.Errorf("the ends are not on record:\n%s", all)
	}
	a = asked(t, rt.Detach(ctx, "archive", person("alice")))
	var done sync.WaitGroup
	results := make([]error, 8)
	for i := range results {
		done.Go(func() { _, results[i] = rt.Approve(ctx, a.ID, person(fmt.Sprint("person ", i))) })
	}
	done.Wait()
	ok := 0
	for _, err := range results {
		if err == nil {
			ok++
		}
	}
	if n := strings.Count(approvalRecords(t, rt), `"act":"detach","outcome":"done"`); ok != 1 || n != 1 {
		t.Errorf("%d approvals counted, detached %d times", ok, n)
	}
}

// TestAReplacementIsNoWayAroundApprovals: if deleting items needs approvals, items cannot be
// replayed with other content. Replaying the original content is free.
func TestAReplacementIsNoWayAroundApprovals(t *testing.T) {
	rt := openApprovals(t, t.TempDir(), runtime.Approvals{DeleteQuarantine: 2})
	defer func() { _ = rt.Close() }()
	ctx := t.Context()
	for _, id := range []string{"a", "b", "c"} {
		if err := rt.Quarantine(ctx, runtime.Quarantined{Reason: "too_large", Data: []byte(event(id, "created"))}); err != nil {
			t.Fatal(err)
		}
	}
	left := func(want int) {
		t.Helper()
		if n := rt.QuarantineStats().Items; n != want {
			t.Fatalf("%d items are left, want %d", n, want)
		}
	}
	for _, other := range []string{event("harmless", "created"), event("a", "deleted"), event("a", "created") + "\n", ""} {
		_, err := rt.ReplayQuarantineItem(ctx, person("alice"), 1, []byte(other))
		if !errors.Is(err, runtime.ErrReplaces) || !strings.Contains(err.Error(), "approvals") {
			t.Errorf("%q in its place: %v", other, err)
		}
	}
	left(3)
	if it, err := rt.QuarantineItem(ctx, 1); err != nil || string(it.Data) != event("a", "created") {
		t.Errorf("%s, %v", it.Data, err)
	}
	if _, err := rt.ReplayQuarantineItem(ctx, person("alice"), 1, nil); err != nil {
		t.Errorf("a plain replay: %v", err)
	}
	if _, err := rt.ReplayQuarantineItem(ctx, person("alice"), 2, []byte(event("b", "created"))); err != nil {
		t.Errorf("what came in, in its own place: %v", err)
	}
	left(1)
	rt.SetApprovals(runtime.Approvals{DeleteQuarantine: 1})
	if _, err := rt.ReplayQuarantineItem(ctx, person("alice"), 3, []byte(event("d", "created"))); err != nil {
		t.Errorf("without approvals: %v", err)
	}
	left(0)
}

// TestAStricterConfigurationAppliesToOpenRequests: the list and a repeated request say so, too.
func TestAStricterConfigurationAppliesToOpenRequests(t *testing.T) {
	rt := openApprovals(t, t.TempDir(), twice)
	defer func() { _ = rt.Close() }()
	ctx := t.Context()
	a := asked(t, rt.Detach(ctx, "archive", person("alice")))
	stricter := twice
	stricter.Detach = 3
	rt.SetApprovals(stricter)
	if again, listed := asked(t, rt.Detach(ctx, "archive", person("bob"))), rt.Approvals()[0]; again.ID != a.ID || again.Need != 3 || listed.Need != 3 {
		t.Errorf("asked again: %+v\nin the list: %+v\nwant that both need 3", again, listed)
	}
	if a, err := rt.Approve(ctx, a.ID, person("bob")); err != nil || a.State != runtime.ApprovalPending {
		t.Errorf("after the second of three: %v %+v", err, a)
	}
	if a, err := rt.Approve(ctx, a.ID, person("carol")); err != nil || a.State != runtime.ApprovalDone {
		t.Errorf("after the third: %v %+v", err, a)
	}
}

// TestNobodyApproves: a caller without a principal's credential could be the requester, and can
// neither request nor approve.
func TestNobodyApproves(t *testing.T) {
	rt := openApprovals(t, t.TempDir(), twice)
	defer func() { _ = rt.Close() }()
	ctx := t.Context()
	local := runtime.By{Principal: "local", Credential: "socket: user 1000"}
	if err := rt.Detach(ctx, "archive", local); !errors.Is(err, runtime.ErrNobody) {
		t.Errorf("local asks: %v", err)
	}
	a := asked(t, rt.Detach(ctx, "archive", person("alice")))
	if _, err := rt.Approve(ctx, a.ID, local); !errors.Is(err, runtime.ErrNobody) {
		t.Errorf("local approves: %v", err)
	}
	if s, _ := rt.Callback("archive"); s.State == runtime.StateDetached {
		t.Error("one person detached it by two doors")
	}
}

// TestNothingToDiscard: if there is nothing to discard, no request is created, and later dead
// letters are not discarded.
func TestNothingToDiscard(t *testing.T) {
	rt := openApprovals(t, t.TempDir(), twice)
	defer func() { _ = rt.Close() }()
	if n, err := rt.DiscardDeadLetters(t.Context(), "archive", person("alice")); n != 0 || err != nil || len(rt.Approvals()) != 0 {
		t.Errorf("%d, %v", n, err)
	}
}
