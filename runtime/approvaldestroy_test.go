package runtime_test

import (
	"errors"
	"strings"
	"testing"

	"auditrelay/runtime"
)

// approvedDestruction returns a relay with three events, each in its own period. The second is
// a dead letter.
func approvedDestruction(t *testing.T, a runtime.Approvals) (*runtime.Runtime, runtime.Options) {
	t.Helper()
	o := runtime.Options{Dir: t.TempDir(), Approvals: a, Journal: runtime.JournalOptions{Encryption: periods()}, Callbacks: []runtime.Callback{
		quick(runtime.Callback{Name: "archive", Sink: &memorySink{}, Steps: []runtime.Step{{Name: "f", Filter: fn(secretive).filter()}}})}}
	r := start(t, o)
	submit(t, r, event("good", "created"))
	submit(t, r, event("bad", "deleted"))
	submit(t, r, event("later", "created"))
	settle(t, r)
	return r, o
}

// askDestroy requests the destruction of an event's period, as ann.
func askDestroy(t *testing.T, r *runtime.Runtime, sequence uint64, deadLetters bool) runtime.Approval {
	t.Helper()
	settle(t, r)
	_, err := r.DestroyPeriod(t.Context(), periodOf(t, r, sequence).Number, person("ann"), deadLetters)
	return asked(t, err)
}

// erased checks whether an event's key is destroyed.
func erased(t *testing.T, r *runtime.Runtime, sequence uint64, want bool) {
	t.Helper()
	_, err := r.Event(t.Context(), sequence)
	if is := errors.Is(err, runtime.ErrErased); is != want || !is && err != nil || (periodOf(t, r, sequence).State == runtime.PeriodDestroyed) != want {
		t.Fatalf("event %d is erased: %v (%v, its period is %s), want %v", sequence, is, err, periodOf(t, r, sequence).State, want)
	}
}

// destructions returns the own records of destroyed keys.
func destructions(t *testing.T, r *runtime.Runtime) (all []string) {
	t.Helper()
	for line := range strings.SplitSeq(approvalRecords(t, r), "\n") {
		if strings.Contains(line, `"table_name":"auditrelay_keyring"`) && strings.Contains(line, `"outcome":"done"`) {
			all = append(all, line)
		}
	}
	return all
}

// TestApprovedDestruction: a period's key is destroyed once, after another principal approved
// it. The record names the requester and the approver. A rejected or expired request destroys
// nothing.
func TestApprovedDestruction(t *testing.T) {
	r, o := approvedDestruction(t, runtime.Approvals{DestroyPeriod: 2})
	ctx := t.Context()
	a := askDestroy(t, r, 1, false)
	if again := askDestroy(t, r, 1, false); again.ID != a.ID {
		t.Errorf("the same destruction has two requests: %s, %s", a.ID, again.ID)
	}
	if _, err := r.Approve(ctx, a.ID, person("ann")); !errors.Is(err, runtime.ErrSamePrincipal) {
		t.Errorf("by who asked: %v", err)
	}
	erased(t, r, 1, false)

	if _, err := r.Reject(a.ID, person("bob")); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Approve(ctx, a.ID, person("bob")); !errors.Is(err, runtime.ErrConflict) {
		t.Errorf("after the rejection: %v", err)
	}
	a = askDestroy(t, r, 1, false)
	runtime.PassTime(r, a.Expires.Sub(a.By.At)+1)
	if _, err := r.Approve(ctx, a.ID, person("bob")); !errors.Is(err, runtime.ErrConflict) {
		t.Errorf("after its time: %v", err)
	}
	erased(t, r, 1, false)
	if all := destructions(t, r); len(all) != 0 {
		t.Fatalf("recorded before anybody approved it: %v", all)
	}

	a = askDestroy(t, r, 1, false)
	if done, err := r.Approve(ctx, a.ID, person("bob")); err != nil || done.State != runtime.ApprovalDone || done.Result != "destroyed" {
		t.Fatalf("%+v, %v", done, err)
	}
	erased(t, r, 1, true)
	erased(t, r, 3, false)
	if _, err := r.Approve(ctx, a.ID, person("carol")); !errors.Is(err, runtime.ErrConflict) {
		t.Errorf("a second time: %v", err)
	}
	all := destructions(t, r)
	if len(all) != 1 {
		t.Fatalf("it is destroyed %d times: %v", len(all), all)
	}
	for _, want := range []string{`"changed_by":"ann"`, `"approval":"` + a.ID + `"`, `"approved_by":["bob"]`, `"action":"deleted"`} {
		if !strings.Contains(all[0], want) {
			t.Errorf("the record lacks %s: %s", want, all[0])
		}
	}

	// The state after a kill between the approval and the act.
	a = askDestroy(t, r, 3, false)
	if err := runtime.ApproveOnly(r, a.ID, person("bob")); err != nil {
		t.Fatal(err)
	}
	erased(t, r, 3, false)
	r = reopen(t, r, o)
	runtime.AwaitApprovals(r)
	erased(t, r, 3, true)
	r = reopen(t, r, o)
	runtime.AwaitApprovals(r)
	if all := destructions(t, r); len(all) != 2 || !strings.Contains(all[1], a.ID) {
		t.Errorf("the second destruction: %v", all)
	}
}

// TestApprovedDestructionDiscards: with dead letters it also needs the approvals of discard,
// and none is discarded before.
func TestApprovedDestructionDiscards(t *testing.T) {
	for name, rules := range map[string]runtime.Approvals{
		"both, discard more":   {DestroyPeriod: 2, Discard: 3},
		"both, the other more": {DestroyPeriod: 3, Discard: 2},
		"discard alone":        {Discard: 3},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := approvedDestruction(t, rules)
			ctx := t.Context()
			_, err := r.DestroyPeriod(ctx, periodOf(t, r, 2).Number, person("ann"), false)
			heldBy(t, err, "archive has 1 dead letters")
			if n := len(r.Approvals()); n != 0 {
				t.Fatalf("%d requests for what cannot be done", n)
			}
			a := askDestroy(t, r, 2, true)
			waiting := func() {
				t.Helper()
				erased(t, r, 2, false)
				if list, err := r.DeadLetters(ctx, "archive", 0, 0); err != nil || len(list) != 1 {
					t.Fatalf("dead letters before it is approved by all: %v, %v", list, err)
				}
			}
			waiting()
			if one, err := r.Approve(ctx, a.ID, person("bob")); err != nil || one.State != runtime.ApprovalPending {
				t.Fatalf("one of two approvals: %+v, %v", one, err)
			}
			waiting()
			if done, err := r.Approve(ctx, a.ID, person("carol")); err != nil || done.State != runtime.ApprovalDone {
				t.Fatalf("%+v, %v", done, err)
			}
			erased(t, r, 2, true)
			if list, err := r.DeadLetters(ctx, "archive", 0, 0); err != nil || len(list) != 0 {
				t.Errorf("dead letters are left: %v, %v", list, err)
			}
			by := `"approval":"` + a.ID + `","approved_by":["bob","carol"]`
			if all := destructions(t, r); len(all) != 1 || !strings.Contains(all[0], by) {
				t.Errorf("the destruction: %v", all)
			}
			discarded := 0
			for line := range strings.SplitSeq(approvalRecords(t, r), "\n") {
				if strings.Contains(line, `"act":"discard"`) && strings.Contains(line, by) && strings.Contains(line, `"changed_by":"ann"`) {
					discarded++
				}
			}
			if discarded != 1 {
				t.Errorf("%d records of the discarding name the request and its approvers", discarded)
			}
		})
	}
}
