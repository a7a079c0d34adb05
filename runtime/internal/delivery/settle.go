package delivery

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"auditrelay"
	"auditrelay/runtime/internal/journal"
)

// Settle applies the result of an attempt to tx and the lane. It reports whether durable state
// changed, so that the caller must commit tx.
func (l *Lane) Settle(tx *journal.Tx, now time.Time, sent Sent) (changed bool, err error) {
	p := l.find(sent.Number)
	if p == nil {
		return false, fmt.Errorf("settle payload %d of callback %s: it is not sealed", sent.Number, l.state.LaneName())
	}
	p.busy, p.failing = false, false
	if sent.Err == nil {
		l.holdUntil = time.Time{}
		l.recover(now)
		return true, l.settleDelivered(tx, now, p, sent)
	}
	if sent.replacement == nil {
		l.retryLater(now, p, sent.Err)
		return false, nil
	}
	l.failures[auditrelay.KindOf(sent.Err).String()]++
	return true, l.settleRefused(tx, now, p, sent)
}

// Unsettle reports that a delivery could not be tried, or that its rejection could not be
// handled. The lane tries the payload again after a pause.
func (l *Lane) Unsettle(now time.Time, number uint64, err error) {
	if p := l.find(number); p != nil {
		p.busy = false
		l.retryLater(now, p, err)
	}
}

// Abandon reports that the owner cancelled an attempt. This says nothing about the destination.
func (l *Lane) Abandon(number uint64) {
	if p := l.find(number); p != nil {
		p.busy = false
	}
}

func (l *Lane) settleDelivered(tx *journal.Tx, now time.Time, p *pending, sent Sent) error {
	if p.Dead && !p.Manifest {
		if err := l.resolveDelivered(tx, now, p, nil); err != nil {
			return err
		}
	} else {
		l.state.Counts.add(auditrelay.Delivered, int64(p.Events))
	}
	if sent.Receipt.Duplicate {
		l.state.Duplicates++
	}
	if sent.Receipt.Unverified {
		l.state.Unverified++
	}
	if !p.Proof {
		if err := l.stateSettled(tx, p, nil); err != nil {
			return err
		}
	}
	if err := l.close(tx, p, receipt{Number: p.Number, Key: p.Key, Location: sent.Receipt.Location, Version: sent.Receipt.Version,
		Duplicate: sent.Receipt.Duplicate, Unverified: sent.Receipt.Unverified, Attempts: p.attempts, At: now}); err != nil {
		return err
	}
	return l.state.put(tx)
}

// resolveDelivered resolves the dead letters in p, except those that failed.
func (l *Lane) resolveDelivered(tx *journal.Tx, now time.Time, p *pending, failed map[uint64]bool) error {
	sequences, _, err := decodeSequences(p.Records)
	if err != nil {
		return err
	}
	for _, s := range sequences {
		if failed[s] {
			continue
		}
		d, err := loadDeadLetter(l.journal, l.state.ID, s)
		if err != nil {
			return err
		}
		if d == nil || d.Resolved != auditrelay.Pending {
			continue
		}
		l.resolve(d, auditrelay.Delivered, now)
		d.Payload = p.Number
		if err := l.putDeadLetter(tx, d); err != nil {
			return err
		}
	}
	return nil
}

// close removes a payload and stores its receipt.
func (l *Lane) close(tx *journal.Tx, p *pending, r receipt) error {
	r.First, r.Last = p.First, p.Last
	value, err := json.Marshal(&r)
	if err != nil {
		return fmt.Errorf("encode a receipt of callback %s: %w", l.state.LaneName(), err)
	}
	tx.SetAbout(p.of(), journal.ReceiptKey(l.state.ID, p.Number), value)
	tx.Delete(journal.PayloadKey(l.state.ID, p.Number))
	if p.Joined == nil {
		tx.Delete(journal.BodyKey(l.state.ID, p.Number))
	}
	if !p.stated {
		tx.Delete(journal.StatementKey(l.state.ID, p.Number))
	}
	l.remove(p.Number)
	return nil
}

// settleRefused replaces a payload that failed permanently.
func (l *Lane) settleRefused(tx *journal.Tx, now time.Time, p *pending, sent Sent) error {
	r := sent.replacement
	l.note(now, sent.Err)
	halves := len(r.dead) == 0 && !r.given && len(r.payloads) > 0
	failed := map[uint64]bool{}
	if !p.Dead {
		l.countRefused(r.dead)
	}
	for _, j := range r.dead {
		failed[j.Event.Sequence] = true
		l.cause(j.Cause)
		if p.Dead {
			d, err := loadDeadLetter(l.journal, l.state.ID, j.Event.Sequence)
			if err != nil {
				return err
			}
			if d == nil {
				continue
			}
			d.again(j, now)
			if err := l.putDeadLetter(tx, d); err != nil {
				return err
			}
			continue
		}
		l.state.Counts.add(auditrelay.DeadLettered, 1)
		l.state.SetAside++
		if err := l.putDeadLetter(tx, newDeadLetter(j, now)); err != nil {
			return err
		}
	}
	if !halves && !p.Manifest {
		if p.Dead {
			if err := l.resolveDelivered(tx, now, p, failed); err != nil {
				return err
			}
		} else {
			l.state.Counts.add(auditrelay.Delivered, int64(p.Events)-int64(len(r.dead)))
		}
	}
	if err := l.stateRefused(tx, p, r, failed); err != nil {
		return err
	}
	first := l.state.Number + 1
	entries, err := l.sealPayloads(tx, r.payloads, r.marks, sealing{chunk: p.Chunk, dead: p.Dead, of: p.of(), oldest: p.Oldest, origin: p.place()})
	if err != nil {
		return err
	}
	l.unpublish(p)
	if p.Proof && p.ProofFrom > 0 && errors.Is(sent.Err, auditrelay.ErrProofGap) {
		l.republish()
	}
	if !p.Manifest { // an amendment of a rejected manifest needs another manifest, which would be rejected too
		if err := l.amend(tx, p.of(), auditrelay.Amendment{Number: p.Number, By: entries}); err != nil {
			return err
		}
	}
	closing := receipt{Number: p.Number, Key: p.Key, Attempts: p.attempts, At: now, Error: errorText(sent.Err)}
	for i := range entries {
		closing.By = append(closing.By, first+uint64(i))
	}
	if err := l.close(tx, p, closing); err != nil {
		return err
	}
	l.order()
	return l.state.put(tx)
}

// order sorts the pending payloads so that a replacement is at the place of its original: an
// in-order sink continues there.
func (l *Lane) order() {
	slices.SortStableFunc(l.pending, func(a, b *pending) int {
		return cmp.Or(cmp.Compare(a.place(), b.place()), cmp.Compare(a.First, b.First), cmp.Compare(a.Number, b.Number))
	})
}

// place returns the number of the payload that this one descends from, or its own number.
func (p *pending) place() uint64 {
	if p.Origin != 0 {
		return p.Origin
	}
	return p.Number
}
