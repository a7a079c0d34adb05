package runtime

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"auditrelay"
	"auditrelay/runtime/internal/delivery"
	"auditrelay/runtime/internal/journal"
)

// Encryption encrypts the events in the journal. Each key serves for one period;
// destroying the key erases the period. The zero value is off. See
// docs/operators/encryption.md.
type Encryption struct {
	// Key is the master key: at least 32 bytes of high entropy. It is required to open a journal with
	// encrypted events.
	Key auditrelay.Secret
	// PreviousKey is the master key that Key replaces. Open wraps the period keys again with Key.
	PreviousKey auditrelay.Secret
	// Period is how long one period key is used. Default: 24 h.
	Period time.Duration
	// Off: the journal does not encrypt new events. Encrypted events stay readable.
	Off bool
}

func (e *Encryption) options() journal.Encryption {
	return journal.Encryption{Key: []byte(e.Key.Reveal()), Previous: []byte(e.PreviousKey.Reveal()), Period: e.Period, Off: e.Off}
}

// ErrErased: the event cannot be read because its period's key was destroyed.
var ErrErased = journal.ErrErased

// ErrNoKey: the journal contains encrypted events, but the options have no master key.
var ErrNoKey = journal.ErrNoKey

// ErrWrongKey: the master key is not the journal's.
var ErrWrongKey = journal.ErrWrongKey

// ErrNoPeriod: the keyring has no period with this number.
var ErrNoPeriod = journal.ErrNoPeriod

// PeriodState says whether the events of a period are readable.
type PeriodState string

const (
	PeriodCurrent   PeriodState = "current"   // new events get this period
	PeriodKept      PeriodState = "kept"      // its key exists
	PeriodDestroyed PeriodState = "destroyed" // its events are erased
	PeriodPlain     PeriodState = "plain"     // encryption was off, so there is no key
)

// Period is a range of the journal whose events share one key.
type Period struct {
	Number    uint64      `json:"number"`
	State     PeriodState `json:"state"`
	From      uint64      `json:"from"` // the first sequence
	To        uint64      `json:"to"`   // the sequence after the last so far
	Began     time.Time   `json:"began"`
	Until     time.Time   `json:"until,omitzero"`
	Destroyed time.Time   `json:"destroyed,omitzero"`
}

func (r *Runtime) period(p journal.Period) Period {
	out := Period{Number: p.Number, State: PeriodKept, From: p.From, To: p.To, Began: p.Began, Until: p.Until, Destroyed: p.Destroyed}
	switch {
	case p.Erased():
		out.State = PeriodDestroyed
	case p.Plain:
		out.State = PeriodPlain
	case p.Current():
		out.State = PeriodCurrent
	}
	if p.Current() {
		out.To = r.journal.Head().Next
	}
	return out
}

// Keyring returns the periods that the journal knows, oldest first. It is empty if
// nothing was ever encrypted.
func (r *Runtime) Keyring() []Period {
	list := []Period{}
	for _, p := range r.journal.Periods() {
		list = append(list, r.period(p))
	}
	return list
}

// HeldPeriodError says why a period's key was not destroyed: some events of the period are still needed.
type HeldPeriodError struct {
	Period  uint64
	Holders []string
	// DeadLetters: only dead letters still need the period.
	DeadLetters bool
	// Current: the period is the current one, so new events use it.
	Current bool
}

func (e *HeldPeriodError) Error() string {
	if e.Current {
		return fmt.Sprintf("period %d is the current one, to which new events belong; it can be destroyed once the next has begun", e.Period)
	}
	hint := "let it be delivered, or give it up, first"
	if e.DeadLetters {
		hint = "replay or discard the dead letters first, or have them discarded along with it"
	}
	return fmt.Sprintf("period %d is still needed: %s; %s", e.Period, strings.Join(e.Holders, "; "), hint)
}

// tableKeyring is the table_name of own records about the keyring.
const tableKeyring = "auditrelay_keyring"

// DestroyPeriod destroys the key of a finished period. Afterwards nobody can read the journal's copies of
// its events. An own record announces the destruction, and another reports the result; by is the user. When
// DestroyPeriod returns nil, the destruction is durable. If the period is already destroyed, DestroyPeriod
// returns it unchanged.
//
// DestroyPeriod loses no undelivered event. If a callback has pending events or dead letters of the period,
// it returns a *HeldPeriodError. With deadLetters it first discards the dead letters. Other errors:
// *NeedsApprovalError if other principals must approve first; ErrNoPeriod if there is no such period.
func (r *Runtime) DestroyPeriod(ctx context.Context, number uint64, by By, deadLetters bool) (Period, error) {
	p, err := r.destroyable(number)
	if err != nil || p.Erased() {
		return r.period(p), err
	}
	if err := r.askDestroy(p, by, deadLetters); err != nil {
		return r.period(p), err
	}
	if deadLetters {
		if err := r.discardPeriod(ctx, p, by); err != nil {
			return r.period(p), err
		}
	}
	// Under this lock no callback is configured and no replay starts. So once nothing needs the period,
	// nothing will need it later.
	r.applying.Lock()
	defer r.applying.Unlock()
	if err := r.held(p, false); err != nil {
		return r.period(p), err
	}
	r.signAll(ctx) // after the destruction nobody can publish the outcomes of its events
	// The state read above may belong to a commit that is not durable yet. This commit makes it durable.
	if _, err := r.journal.Commit(new(journal.Tx)); err != nil {
		return r.period(p), unavailable(err)
	}
	act, err := r.begin(Change{By: by, Act: "destroy", Action: auditrelay.ActionDeleted, Table: tableKeyring, Object: fmt.Sprint("period ", number),
		Before: changedPeriod(p), MakesRoom: true}, fmt.Sprint(number))
	if err != nil {
		return r.period(p), err
	}
	gone, err := r.journal.Destroy(number)
	if err != nil {
		err = fmt.Errorf("destroy period %d: %w", number, err)
		return r.period(p), errors.Join(err, act.End(map[string]any{"state": PeriodKept}, err))
	}
	if err := act.End(map[string]any{"state": PeriodDestroyed}, nil); err != nil {
		// The period is destroyed. The next Open records the result.
		r.log.Error("the end of a destruction is recorded at the next start", "period", number, "error", err)
	}
	r.forgetTexts()
	r.log.Info("a period was erased", "period", number, "from", gone.From, "to", gone.To, "by", by.Principal)
	return r.period(gone), nil
}

// changedPeriod describes a period in an own record.
func changedPeriod(p journal.Period) any {
	return map[string]any{"period": p.Number, "from": p.From, "to": p.To, "began": p.Began, "until": p.Until, "events": p.To - p.From}
}

func (r *Runtime) destroyable(number uint64) (p journal.Period, err error) {
	for _, p := range r.journal.Periods() {
		if p.Number != number {
			continue
		}
		switch {
		case p.Current():
			return p, &HeldPeriodError{Period: number, Current: true}
		case p.Plain:
			return p, fmt.Errorf("period %d has no key, since encryption was off: %w", number, ErrNoPeriod)
		}
		return p, nil
	}
	return p, fmt.Errorf("period %d: %w", number, ErrNoPeriod)
}

// held returns a *HeldPeriodError if something needs a period. With butDead it ignores dead letters.
func (r *Runtime) held(p journal.Period, butDead bool) error {
	held := &HeldPeriodError{Period: p.Number, DeadLetters: true}
	err := r.holders(p, func(s *delivery.State, h delivery.Held) {
		name := "callback " + s.LaneName()
		if h.Waiting > 0 {
			held.Holders = append(held.Holders, fmt.Sprintf("%s has %d events of it before it", name, h.Waiting))
		}
		if h.Sealed {
			held.Holders = append(held.Holders, name+" has payloads of it that are not delivered")
		}
		held.DeadLetters = held.DeadLetters && h.Nothing()
		if n := len(h.Dead); n > 0 && !butDead {
			held.Holders = append(held.Holders, fmt.Sprintf("%s has %d dead letters of it", name, n))
		}
	})
	if err != nil {
		return err
	}
	from, to := journal.All(journal.KindQuarantine)
	_, quarantined, err := r.journal.HeldBy(p.Number, from, to)
	if err != nil {
		return err
	}
	if quarantined {
		held.DeadLetters = false
		held.Holders = append(held.Holders, "the quarantine has items of it")
	}
	if len(held.Holders) > 0 {
		return held
	}
	return nil
}

func (r *Runtime) holders(p journal.Period, each func(*delivery.State, delivery.Held)) error {
	states, err := delivery.States(r.journal)
	if err != nil {
		return err
	}
	for _, s := range states {
		h, err := delivery.HoldsOf(r.journal, s, p)
		if err != nil {
			return err
		}
		each(s, h)
	}
	return nil
}

// discardPeriod discards the dead letters of a period, unless something else needs it.
func (r *Runtime) discardPeriod(ctx context.Context, p journal.Period, by By) error {
	if err := r.held(p, true); err != nil {
		return err
	}
	for discarded := true; discarded; {
		dead := map[string][]uint64{}
		err := r.holders(p, func(s *delivery.State, h delivery.Held) {
			if len(h.Dead) > 0 {
				dead[s.LaneName()] = h.Dead // may be incomplete if there are very many
			}
		})
		if err != nil {
			return err
		}
		discarded = false
		for name, sequences := range dead {
			n, err := r.DiscardDeadLetters(ctx, name, by, sequences...)
			if err != nil {
				return err
			}
			discarded = discarded || n > 0
		}
	}
	return nil
}

// forgetPeriods destroys the keys of periods whose events retention has removed and nothing needs. The
// caller must hold applying.
func (r *Runtime) forgetPeriods() error {
	below := uint64(0)
	for _, p := range r.journal.Periods() {
		if p.Current() || p.To > r.journal.Oldest() {
			break
		}
		if err := r.held(p, false); err != nil {
			if _, ok := errors.AsType[*HeldPeriodError](err); ok {
				break
			}
			return err
		}
		below = p.Number + 1
	}
	if below == 0 || !r.signAll(r.ctx) {
		return nil // the next round retries: an erased event cannot be published
	}
	if _, err := r.journal.Commit(new(journal.Tx)); err != nil { // as for DestroyPeriod
		return err
	}
	defer r.forgetTexts()
	return r.journal.ForgetPeriods(below)
}
