package runtime

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"auditrelay"
	"auditrelay/runtime/internal/journal"
)

// Approvals says how many principals must agree to an act that gives up events: the principal who requests
// it and those who approve it. With 0 or 1, one authorized principal suffices.
type Approvals struct {
	Detach  int // detaching a callback
	Discard int // discarding dead letters
	// DeleteQuarantine applies to deleting quarantine items. With 2 or more, no item can be replayed with
	// changed content.
	DeleteQuarantine int
	DestroyPeriod    int
	// Within limits the time that a request stays open. Default: 24 h.
	Within time.Duration
}

// The acts that may need approvals.
const (
	ActDetach           = "detach"
	ActDiscard          = "discard"
	ActDeleteQuarantine = "quarantine delete"
	ActDestroyPeriod    = "keyring destroy"
)

// The states of an Approval.
const (
	ApprovalPending  = "pending"
	ApprovalApproved = "approved" // approved by all; the act is running
	ApprovalDone     = "done"
	ApprovalFailed   = "failed" // approved, but the act failed
	ApprovalRejected = "rejected"
	ApprovalExpired  = "expired"
	ApprovalVoid     = "void" // the configuration no longer requires approvals for the act
)

// ApprovedAct describes exactly the requested act. Only this runs, without anything that was added since
// the request.
type ApprovedAct struct {
	Act    string `json:"act"`
	Object string `json:"object,omitempty"` // the callback, or the period's number
	// Items lists the sequences of dead letters or the numbers of quarantine items, as in 3-5,9.
	Items       string `json:"items,omitempty"`
	DeadLetters bool   `json:"dead_letters,omitempty"` // the act first discards the period's dead letters
	// Version is the version of the object at the time of the request. If it has changed, the act is not
	// done.
	Version string `json:"version,omitempty"`
}

// Approver is a principal who requests an act or approves it.
type Approver struct {
	Name       string    `json:"name"`
	Subject    string    `json:"subject,omitempty"`
	Credential string    `json:"credential,omitempty"`
	Address    string    `json:"address,omitempty"`
	Reason     string    `json:"reason,omitempty"`
	At         time.Time `json:"at"`
}

func approverOf(by By, now time.Time) Approver {
	return Approver{Name: by.Principal, Subject: by.Subject, Credential: by.Credential, Address: by.Address, Reason: by.Reason, At: now.UTC()}
}

// same reports whether two credentials belong to one principal. It ignores case, since issuers and people
// write names in different case.
func (s *Approver) same(other *Approver) bool {
	return strings.EqualFold(s.Name, other.Name) || s.Subject != "" && s.Subject == other.Subject
}

// named reports whether the principal can be identified. Everyone who uses the socket without a token is
// "local".
func (s *Approver) named() bool { return s.Name != "" && s.Name != "local" }

// Approval is a request for an act that needs several principals, and its state.
type Approval struct {
	ID       string      `json:"id"`
	Act      ApprovedAct `json:"act"`
	Digest   string      `json:"digest"` // SHA-256 of Act, in hexadecimal
	By       Approver    `json:"by"`
	Approved []Approver  `json:"approved,omitempty"`
	Need     int         `json:"need"` // number of principals, including By
	Expires  time.Time   `json:"expires"`
	State    string      `json:"state"`
	Ended    time.Time   `json:"ended,omitzero"`
	Result   string      `json:"result,omitempty"` // a text about the result
	// Changed: the object has changed since the request, so the act would fail.
	Changed bool `json:"-"`
}

// NeedsApprovalError says that an act was not done because other principals must approve it.
type NeedsApprovalError struct{ Approval Approval }

func (e *NeedsApprovalError) Error() string {
	a := &e.Approval
	return fmt.Sprintf("%s needs %d principals and was not done; request %s of %s waits for %d more until %s",
		strings.TrimSpace(a.Act.Act+" "+a.Act.Object), a.Need, a.ID, a.By.Name, a.Need-1-len(a.Approved), a.Expires.UTC().Format(time.RFC3339))
}

var (
	// ErrNoApproval: no request has this id.
	ErrNoApproval = errors.New("no such request for approval")
	// ErrSamePrincipal: the approving principal requested or already approved the act, perhaps with another
	// credential.
	ErrSamePrincipal = errors.New("another principal has to approve it")
	// ErrNobody: the caller has no credential that identifies a principal, so it may be the requester.
	ErrNobody = errors.New("it takes principals that can be told apart, and this caller may be any of them")
	// ErrReplaces: a replay with other content would delete the quarantined item without the approvals that
	// deletion requires.
	ErrReplaces = errors.New("approvals asks for other principals before items are deleted from the quarantine, and this would delete what came in")
)

// tableApproval is the table_name of own records about requests for approval.
const tableApproval = "auditrelay_approval"

const (
	approvalPrefix = "approval/"
	// mostPending limits the open requests, keptApprovals the closed ones.
	mostPending   = 100
	keptApprovals = 200
	// maxItems limits ApprovedAct.Items, in bytes, since own records repeat it.
	maxItems        = 32 << 10
	approvalDefault = 24 * time.Hour
)

func approvalKey(id string) journal.Key { return journal.MetaKey(approvalPrefix + id) }

// approvals holds the requests of one runtime. It mirrors the journal.
type approvals struct {
	mu  sync.Mutex
	cfg Approvals
	all map[string]Approval
	now func() time.Time
}

// need returns how many principals an act needs now.
func (c *Approvals) need(act *ApprovedAct) int {
	switch act.Act {
	case ActDetach:
		return c.Detach
	case ActDiscard:
		return c.Discard
	case ActDeleteQuarantine:
		return c.DeleteQuarantine
	case ActDestroyPeriod:
		if act.DeadLetters { // discarding by period must not bypass the approvals for discarding
			return max(c.DestroyPeriod, c.Discard)
		}
		return c.DestroyPeriod
	}
	return 0
}

func (a *ApprovedAct) digest() string {
	text, _ := json.Marshal(a) // never fails: texts and booleans only
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// put adds the request and an own record of its change to tx.
func (a *Approval) put(tx *journal.Tx, by By, act string, action auditrelay.Action) error {
	value, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("encode request %s for approval: %w", a.ID, err)
	}
	tx.Set(approvalKey(a.ID), value)
	approved := []string{}
	for i := range a.Approved {
		approved = append(approved, a.Approved[i].Name)
	}
	c := Change{By: by, Act: act, Action: action, Table: tableApproval, Object: a.ID, MakesRoom: true, Failed: a.State == ApprovalFailed,
		After: map[string]any{"act": a.Act, "digest": a.Digest, "requested_by": a.By.Name, "approved_by": approved, "need": a.Need, "expires": a.Expires, "state": a.State, "result": a.Result}}
	return c.append(tx)
}

// commitApproval stores a request. The caller must hold mu.
func (r *Runtime) commitApproval(a Approval, by By, act string, action auditrelay.Action) error {
	r.accepting.RLock()
	defer r.accepting.RUnlock()
	if r.ctx.Err() != nil {
		return ErrClosed
	}
	tx := new(journal.Tx)
	if err := a.put(tx, by, act, action); err != nil {
		return err
	}
	r.forgetApprovals(tx)
	if _, err := r.journal.Commit(tx); err != nil {
		return unavailable(err)
	}
	r.approvals.all[a.ID] = a
	return nil
}

// forgetApprovals deletes the oldest closed requests beyond keptApprovals.
func (r *Runtime) forgetApprovals(tx *journal.Tx) {
	var ended []Approval
	for _, a := range r.approvals.all {
		if !a.Ended.IsZero() {
			ended = append(ended, a)
		}
	}
	slices.SortFunc(ended, func(a, b Approval) int { return a.Ended.Compare(b.Ended) })
	for len(ended) > keptApprovals {
		tx.Delete(approvalKey(ended[0].ID))
		delete(r.approvals.all, ended[0].ID)
		ended = ended[1:]
	}
}

// askApproval creates a request for an act that needs approvals, and returns *NeedsApprovalError. It
// returns nil if the act needs no approvals, or if by carries them.
func (r *Runtime) askApproval(act ApprovedAct, by By) error {
	if by.approval != "" {
		return nil
	}
	r.approvals.mu.Lock()
	defer r.approvals.mu.Unlock()
	need := r.approvals.cfg.need(&act)
	if need < 2 {
		return nil
	}
	if me := approverOf(by, r.approvals.now()); !me.named() {
		return fmt.Errorf("%s: %w", strings.TrimSpace(act.Act+" "+act.Object), ErrNobody)
	}
	if len(act.Items) > maxItems {
		return fmt.Errorf("%w: %d bytes of sequences for one request, at most %d: choose fewer", ErrTooLarge, len(act.Items), maxItems)
	}
	now, digest, pending := r.approvals.now(), act.digest(), 0
	for _, a := range r.approvals.all {
		if a.State != ApprovalPending || now.After(a.Expires) {
			continue
		}
		if pending++; a.Digest == digest {
			a.Need = max(a.Need, need)
			return &NeedsApprovalError{a}
		}
	}
	if pending >= mostPending {
		return conflict("%d requests for approval wait already: approve or reject some", pending)
	}
	id := make([]byte, 6)
	rand.Read(id)
	a := Approval{ID: hex.EncodeToString(id), Act: act, Digest: digest, By: approverOf(by, now), Need: need,
		Expires: now.Add(cmp.Or(r.approvals.cfg.Within, approvalDefault)).UTC(), State: ApprovalPending}
	if err := r.commitApproval(a, by, "request", auditrelay.ActionCreated); err != nil {
		return err
	}
	r.log.Info("an act waits for approval", "request", a.ID, "act", act.Act, "object", act.Object, "by", by.Principal, "need", need)
	return &NeedsApprovalError{a}
}

// Approvals lists the requests for approval, oldest first: all open ones, and the last 200 closed ones.
func (r *Runtime) Approvals() []Approval {
	r.approvals.mu.Lock()
	list := make([]Approval, 0, len(r.approvals.all))
	now := r.approvals.now()
	for _, a := range r.approvals.all {
		if a.State == ApprovalPending && now.After(a.Expires) {
			a.State, a.Ended = ApprovalExpired, a.Expires // its own record follows within a minute
		}
		if a.State == ApprovalPending {
			a.Need = max(a.Need, r.approvals.cfg.need(&a.Act))
		}
		list = append(list, a)
	}
	r.approvals.mu.Unlock()
	for i := range list {
		if a := &list[i]; a.State == ApprovalPending {
			version, err := r.versionOf(&a.Act)
			a.Changed = err != nil || version != a.Act.Version
		}
	}
	slices.SortFunc(list, func(a, b Approval) int { return cmp.Or(a.By.At.Compare(b.By.At), strings.Compare(a.ID, b.ID)) })
	return list
}

// pendingApproval returns an open request. The caller must hold mu.
func (r *Runtime) pendingApproval(id string, by By) (Approval, error) {
	a, ok := r.approvals.all[id]
	switch {
	case !ok:
		return a, fmt.Errorf("request %q: %w", id, ErrNoApproval)
	case a.State == ApprovalPending && r.approvals.now().After(a.Expires):
		return a, conflict("request %s: its time is over; ask for the act again", id)
	case a.State != ApprovalPending:
		return a, conflict("request %s: it is %s already", id, a.State)
	}
	if err := by.Check(a.Digest); err != nil {
		return a, fmt.Errorf("request %s: %w", id, err)
	}
	return a, nil
}

// Approve adds by's approval to a request. By.Seen is the request's digest. The last required approval runs
// the act exactly as requested; the returned Approval contains the result.
//
// Errors: ErrNoApproval; ErrSamePrincipal; ErrNobody; ErrConflict if the request is closed; ErrChanged.
func (r *Runtime) Approve(ctx context.Context, id string, by By) (Approval, error) {
	a, err := r.approve(id, by)
	if err != nil || a.State != ApprovalApproved {
		return a, err
	}
	// An approved act runs to its end even if the caller disconnects.
	return r.carryOut(context.WithoutCancel(ctx), a)
}

func (r *Runtime) approve(id string, by By) (Approval, error) {
	r.approvals.mu.Lock()
	defer r.approvals.mu.Unlock()
	a, err := r.pendingApproval(id, by)
	if err != nil {
		return a, err
	}
	now := r.approvals.now()
	me := approverOf(by, now)
	if !me.named() {
		return a, fmt.Errorf("request %s: %w", id, ErrNobody)
	}
	if me.same(&a.By) || slices.ContainsFunc(a.Approved, func(s Approver) bool { return me.same(&s) }) {
		return a, fmt.Errorf("request %s of %s: %w", id, a.By.Name, ErrSamePrincipal)
	}
	version, err := r.versionOf(&a.Act)
	if err == nil && version != a.Act.Version {
		err = &actError{"its object changed after it was asked for", ErrChanged}
	}
	if err != nil {
		a.State, a.Ended, a.Result = ApprovalFailed, now.UTC(), err.Error()
		return a, errors.Join(fmt.Errorf("request %s: %w", id, err), r.commitApproval(a, by, "approve", auditrelay.ActionBlocked))
	}
	a.Approved = append(slices.Clone(a.Approved), me)
	a.Need = max(a.Need, r.approvals.cfg.need(&a.Act)) // a stricter configuration applies at once
	if 1+len(a.Approved) >= a.Need {
		a.State = ApprovalApproved
	}
	return a, r.commitApproval(a, by, "approve", auditrelay.ActionUpdated)
}

// Reject closes a request. The requesting principal uses it to withdraw the request. Errors are those of
// Approve.
func (r *Runtime) Reject(id string, by By) (Approval, error) {
	r.approvals.mu.Lock()
	defer r.approvals.mu.Unlock()
	a, err := r.pendingApproval(id, by)
	if err != nil {
		return a, err
	}
	a.State, a.Ended = ApprovalRejected, r.approvals.now().UTC()
	return a, r.commitApproval(a, by, "reject", auditrelay.ActionBlocked)
}

// SetApprovals replaces the rules. Open requests for acts that no longer need approvals close as void: the
// acts are not done, and one authorized principal can do them.
func (r *Runtime) SetApprovals(c Approvals) {
	r.approvals.mu.Lock()
	r.approvals.cfg = c
	r.approvals.mu.Unlock()
	r.closeApprovals()
}

// closeApprovals closes requests that have expired or are no longer needed.
func (r *Runtime) closeApprovals() {
	r.approvals.mu.Lock()
	defer r.approvals.mu.Unlock()
	now := r.approvals.now()
	for _, a := range r.approvals.all {
		switch {
		case a.State != ApprovalPending:
			continue
		case r.approvals.cfg.need(&a.Act) < 2:
			a.State = ApprovalVoid
		case now.After(a.Expires):
			a.State = ApprovalExpired
		default:
			continue
		}
		a.Ended = now.UTC()
		if err := r.commitApproval(a, By{Principal: "relay"}, "close", auditrelay.ActionBlocked); err != nil && r.ctx.Err() == nil {
			r.log.Error("the end of a request for approval could not be recorded; it is tried again", "request", a.ID, "error", err)
		}
	}
}

// openApprovals reads the requests of earlier runs, and continues approved acts that were not finished.
func (r *Runtime) openApprovals(c Approvals) error {
	r.approvals.all, r.approvals.cfg = map[string]Approval{}, c
	if r.approvals.now == nil {
		r.approvals.now = time.Now
	}
	from, to := journal.All(journal.KindMeta)
	err := r.journal.Scan(from, to, func(k journal.Key, value []byte) error {
		_, name, _, _ := k.Split()
		if !strings.HasPrefix(name, approvalPrefix) {
			return nil
		}
		var a Approval
		if err := json.Unmarshal(value, &a); err != nil {
			return fmt.Errorf("decode a request for approval: %w", err)
		}
		r.approvals.all[a.ID] = a
		return nil
	})
	if err != nil {
		return err
	}
	r.closeApprovals()
	var interrupted []Approval
	for _, a := range r.approvals.all {
		if a.State == ApprovalApproved {
			interrupted = append(interrupted, a)
		}
	}
	for _, a := range interrupted { // outside the loop above, since each of them writes to the map
		r.wg.Go(func() {
			r.log.Warn("an approved act was interrupted; it is done now", "request", a.ID, "act", a.Act.Act, "object", a.Act.Object)
			if _, err := r.carryOut(r.ctx, a); err != nil && r.ctx.Err() == nil {
				r.log.Error("an approved act failed", "request", a.ID, "error", err)
			}
		})
	}
	return nil
}
