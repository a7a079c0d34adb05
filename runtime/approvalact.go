package runtime

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"auditrelay"
	"auditrelay/runtime/internal/delivery"
	"auditrelay/runtime/internal/journal"
)

// carryOut runs an approved act and records the result. It may be called again after a crash: a finished
// act does not run twice.
func (r *Runtime) carryOut(ctx context.Context, a Approval) (Approval, error) {
	by := By{Principal: a.By.Name, Subject: a.By.Subject, Credential: a.By.Credential, Address: a.By.Address, Reason: a.By.Reason, approval: a.ID}
	for i := range a.Approved {
		by.approvedBy = append(by.approvedBy, a.Approved[i].Name)
	}
	result, err := r.doApproved(ctx, &a, by)
	if r.ctx.Err() != nil {
		return a, errors.Join(ErrClosed, err) // the next start continues the act
	}
	r.approvals.mu.Lock()
	defer r.approvals.mu.Unlock()
	if now := r.approvals.all[a.ID]; now.State == ApprovalDone { // the act's own write recorded its end
		return now, nil
	}
	a.State, a.Result, a.Ended = ApprovalDone, result, r.approvals.now().UTC()
	action := auditrelay.ActionUpdated
	if err != nil {
		a.State, a.Result, action = ApprovalFailed, err.Error(), auditrelay.ActionBlocked
	}
	return a, errors.Join(err, r.commitApproval(a, by, "close", action))
}

func (r *Runtime) doApproved(ctx context.Context, a *Approval, by By) (string, error) {
	items, err := parseRanges(a.Act.Items)
	if err != nil {
		return "", err
	}
	switch a.Act.Act {
	case ActDetach:
		by.Seen = a.Act.Version
		return "detached", r.Detach(ctx, a.Act.Object, by)
	case ActDiscard:
		n, err := r.DiscardDeadLetters(ctx, a.Act.Object, by, items...)
		return fmt.Sprintf("%d of %d discarded", n, len(items)), err
	case ActDeleteQuarantine:
		n := 0
		for _, number := range items {
			switch err := r.DeleteQuarantineItem(ctx, by, number); {
			case err == nil:
				n++
			case !errors.Is(err, ErrNoQuarantineItem):
				return "", err
			}
		}
		return fmt.Sprintf("%d of %d deleted", n, len(items)), nil
	case ActDestroyPeriod:
		number, err := strconv.ParseUint(a.Act.Object, 10, 64)
		if err != nil {
			return "", err
		}
		_, err = r.DestroyPeriod(ctx, number, by, a.Act.DeadLetters)
		return "destroyed", err
	}
	return "", fmt.Errorf("request %s is for an act that this version does not know", a.ID)
}

// finishApproved adds the end of an approved act to the act's own write. After a crash, act and record both
// exist or neither.
func (r *Runtime) finishApproved(tx *journal.Tx, by By, result string) (committed func(), err error) {
	if by.approval == "" {
		return func() {}, nil
	}
	r.approvals.mu.Lock()
	defer r.approvals.mu.Unlock()
	a := r.approvals.all[by.approval]
	if a.State != ApprovalApproved {
		return nil, conflict("request %s: it is %s already", by.approval, a.State)
	}
	a.State, a.Result, a.Ended = ApprovalDone, result, r.approvals.now().UTC()
	return func() {
		r.approvals.mu.Lock()
		defer r.approvals.mu.Unlock()
		r.approvals.all[a.ID] = a
	}, a.put(tx, by, "close", auditrelay.ActionUpdated)
}

// versionOf returns the current version of an act's object.
func (r *Runtime) versionOf(act *ApprovedAct) (string, error) {
	switch act.Act {
	case ActDetach:
		s, err := r.laneOf(act.Object)
		if err != nil {
			return "", err
		}
		return laneVersion(*s), nil
	case ActDestroyPeriod:
		number, err := strconv.ParseUint(act.Object, 10, 64)
		if err != nil {
			return "", err
		}
		return r.periodVersion(number)
	}
	return "", nil // the request lists its items, so it needs no version
}

// periodVersion returns a version that changes with a period's state and its dead letters.
func (r *Runtime) periodVersion(number uint64) (string, error) {
	p, err := r.destroyable(number)
	if err != nil {
		return "", err
	}
	var parts []string
	err = r.holders(p, func(s *delivery.State, h delivery.Held) {
		if len(h.Dead) > 0 {
			parts = append(parts, s.LaneName()+" "+ranges(h.Dead))
		}
	})
	slices.Sort(parts)
	sum := sha256.Sum256([]byte(string(r.period(p).State) + "\n" + strings.Join(parts, "\n")))
	return hex.EncodeToString(sum[:8]), err
}

// askDetach, askDiscard, askDelete and askDestroy call askApproval for their acts.
func (r *Runtime) askDetach(callback string, by By) error {
	if !r.approves(ActDetach, by) {
		return nil
	}
	s, err := r.laneOf(callback)
	if err != nil {
		return err
	}
	if err := by.Check(laneVersion(*s)); err != nil {
		return fmt.Errorf("callback %s: %w", callback, err)
	}
	return r.askApproval(ApprovedAct{Act: ActDetach, Object: callback, Version: laneVersion(*s)}, by)
}

// askDiscard also reports whether there is nothing to discard. The request does not cover later dead
// letters.
func (r *Runtime) askDiscard(ctx context.Context, callback string, by By, sequences []uint64) (none bool, err error) {
	if !r.approves(ActDiscard, by) {
		return false, nil
	}
	s, err := r.laneOf(callback)
	if err != nil {
		return false, err
	}
	if len(sequences) == 0 { // all current dead letters, but no later ones
		for after := uint64(0); ; {
			letters, err := r.DeadLetters(ctx, callback, after, 0)
			if err != nil {
				return false, err
			}
			if len(letters) == 0 || len(sequences) > 1_000_000 {
				break
			}
			for i := range letters {
				after = letters[i].Sequence
				if letters[i].Namespace != auditrelay.NamespaceRelay || s.Removed {
					sequences = append(sequences, after)
				}
			}
		}
		if len(sequences) == 0 {
			return true, nil
		}
	}
	return false, r.askApproval(ApprovedAct{Act: ActDiscard, Object: callback, Items: ranges(sorted(sequences))}, by)
}

// AskQuarantineDelete creates one request to delete several items and returns *NeedsApprovalError. It
// returns nil if deletion needs no approvals. DeleteQuarantineItem creates a request for its single item.
func (r *Runtime) AskQuarantineDelete(by By, numbers ...uint64) error {
	if len(numbers) == 0 || !r.approves(ActDeleteQuarantine, by) {
		return nil
	}
	return r.askApproval(ApprovedAct{Act: ActDeleteQuarantine, Items: ranges(sorted(numbers))}, by)
}

func (r *Runtime) askDestroy(p journal.Period, by By, deadLetters bool) error {
	act := ApprovedAct{Act: ActDestroyPeriod, Object: strconv.FormatUint(p.Number, 10), DeadLetters: deadLetters}
	r.approvals.mu.Lock()
	need := r.approvals.cfg.need(&act)
	r.approvals.mu.Unlock()
	if need < 2 || by.approval != "" {
		return nil
	}
	if err := r.held(p, deadLetters); err != nil {
		return err // the request could not be created
	}
	var err error
	if act.Version, err = r.periodVersion(p.Number); err != nil {
		return err
	}
	return r.askApproval(act, by)
}

// approves reports whether an act needs a request first.
func (r *Runtime) approves(act string, by By) bool {
	r.approvals.mu.Lock()
	defer r.approvals.mu.Unlock()
	return by.approval == "" && r.approvals.cfg.need(&ApprovedAct{Act: act}) >= 2
}

func sorted(list []uint64) []uint64 {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}

// parseRanges parses the output of ranges.
func parseRanges(text string) (all []uint64, err error) {
	if text == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		first, last, ok := strings.Cut(part, "-")
		if !ok {
			last = first
		}
		from, err := strconv.ParseUint(first, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("items of a request: %w", err)
		}
		to, err := strconv.ParseUint(last, 10, 64)
		if err != nil || to < from || to-from > 10_000_000 {
			return nil, fmt.Errorf("items of a request: %q is no range", part)
		}
		for n := from; n <= to; n++ {
			all = append(all, n)
		}
	}
	return all, nil
}
