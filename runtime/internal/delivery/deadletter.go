package delivery

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"auditrelay"
	"auditrelay/runtime/internal/journal"
)

// deadLetter is a dead letter. After it is resolved, its header stays for explain, but its data
// does not.
type deadLetter struct {
	Sequence   uint64                `json:"sequence"`
	Namespace  string                `json:"namespace"`
	ID         string                `json:"id"`
	Received   time.Time             `json:"received"`
	Time       time.Time             `json:"time"`
	TimeFrom   auditrelay.TimeSource `json:"time_from"`
	Action     auditrelay.Action     `json:"action"`
	Provenance auditrelay.Provenance `json:"provenance"`
	Emission   *auditrelay.Emission  `json:"emission,omitempty"`

	At       time.Time        `json:"at"`
	Cause    auditrelay.Cause `json:"cause"`
	Filter   string           `json:"filter,omitempty"`
	Reason   string           `json:"reason,omitempty"`
	Error    string           `json:"error,omitempty"`
	Attempts int              `json:"attempts"`

	// Replaying: an operator requested a replay. Sealed: it was processed again and waits for
	// delivery.
	Replaying bool `json:"replaying,omitempty"`
	Sealed    bool `json:"sealed,omitempty"`
	// Resolved is its final outcome; Pending while it is a dead letter.
	Resolved auditrelay.Outcome `json:"resolved"`
	Payload  uint64             `json:"payload,omitempty"` // the payload that delivered it
	By       string             `json:"by,omitempty"`      // who discarded or replayed it
	Job      string             `json:"job,omitempty"`     // the job of the replay by filter

	data []byte // the accepted event
}

// queued reports whether the dead letter waits for processing.
func (d *deadLetter) queued() bool {
	return d.Resolved == auditrelay.Pending && d.Replaying && !d.Sealed
}

const maxErrorText = 512

func newDeadLetter(j *Judged, now time.Time) *deadLetter {
	e := j.Event
	d := &deadLetter{Sequence: e.Sequence, Namespace: e.Namespace, ID: e.ID, Received: e.Received,
		Time: e.Time, TimeFrom: e.TimeFrom, Action: e.Action, Provenance: e.Provenance, Emission: e.Emission, data: e.Data}
	d.again(j, now)
	return d
}

// again records that the event became a dead letter once more.
func (d *deadLetter) again(j *Judged, now time.Time) {
	d.At, d.Cause, d.Filter, d.Reason, d.Error = now, j.Cause, j.Filter, j.Reason, errorText(j.Err)
	d.Attempts++
	d.Replaying, d.Sealed = false, false
}

// errorText limits the length of an error's text. The cause is at the end, so a long text is
// cut in the middle.
func errorText(err error) string {
	if err == nil {
		return ""
	}
	text := err.Error()
	if len(text) > maxErrorText {
		const half = maxErrorText / 2
		text = strings.ToValidUTF8(text[:half], "") + " ... " + strings.ToValidUTF8(text[len(text)-half:], "")
	}
	return text
}

// event returns the dead letter's event.
func (d *deadLetter) event() *auditrelay.Event {
	return &auditrelay.Event{Namespace: d.Namespace, ID: d.ID, Sequence: d.Sequence, Received: d.Received,
		Time: d.Time, TimeFrom: d.TimeFrom, Action: d.Action, Provenance: d.Provenance, Emission: d.Emission, Data: d.data}
}

func (l *Lane) putDeadLetter(tx *journal.Tx, d *deadLetter) error {
	header, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("encode a dead letter of callback %s: %w", l.state.LaneName(), err)
	}
	value := []byte{0}
	if d.queued() {
		value[0] = 1 // lets Open find queued dead letters without decoding all
	}
	value = binary.AppendUvarint(value, uint64(len(header)))
	value = append(value, header...)
	if d.Resolved == auditrelay.Pending {
		value = append(value, d.data...)
	}
	if d.Resolved == auditrelay.Pending {
		l.state.DeadFloor = min(l.state.DeadFloor, d.Sequence)
	}
	open, resolved := journal.DeadLetterKey(l.state.ID, d.Sequence), journal.ResolvedKey(l.state.ID, d.Sequence)
	if d.Resolved != auditrelay.Pending { // the header is enough for lists
		tx.Delete(open)
		open = resolved
	}
	tx.SetAbout(d.Sequence, open, value)
	return nil
}

// splitDeadLetter splits a stored value into the header and the event's data.
func splitDeadLetter(value []byte) (meta, data []byte, err error) {
	if len(value) == 0 {
		return nil, nil, fmt.Errorf("malformed dead letter: %w", journal.ErrCorrupt)
	}
	value = value[1:]
	n, used := binary.Uvarint(value)
	if used <= 0 || n > uint64(len(value)-used) {
		return nil, nil, fmt.Errorf("malformed dead letter: %w", journal.ErrCorrupt)
	}
	return value[used : used+int(n)], value[used+int(n):], nil
}

// decodeDeadLetter is splitDeadLetter, and decodes the header. data stays a part of the value.
func decodeDeadLetter(value []byte) (*deadLetter, error) {
	meta, data, err := splitDeadLetter(value)
	if err != nil {
		return nil, err
	}
	d := new(deadLetter)
	if err := json.Unmarshal(meta, d); err != nil {
		return nil, fmt.Errorf("decode a dead letter: %w", err)
	}
	d.data = data
	return d, nil
}

// loadDeadLetter reads a dead letter, or returns nil if there is none.
func loadDeadLetter(j *journal.Journal, laneID string, sequence uint64) (*deadLetter, error) {
	value, ok, err := j.Get(journal.DeadLetterKey(laneID, sequence))
	if err == nil && !ok {
		value, ok, err = j.Get(journal.ResolvedKey(laneID, sequence))
	}
	if err != nil || !ok {
		return nil, err
	}
	return decodeDeadLetter(value)
}

func (l *Lane) scanDeadLetters(after uint64, fn func(*deadLetter) error) error {
	return scanDeadLetters(l.journal, l.state.ID, after, fn)
}

// scanDeadLetters calls fn for every unresolved dead letter with a sequence above after. It
// also calls fn for those that an older program resolved, but not for erased ones, which were
// resolved before. The data is valid only during fn.
func scanDeadLetters(j *journal.Journal, laneID string, after uint64, fn func(*deadLetter) error) error {
	from, to := journal.DeadLetterKey(laneID, after+1), journal.DeadLetterKey(laneID, ^uint64(0))
	return j.ScanAll(from, to, func(_ journal.Key, value []byte, erased bool) error {
		if erased {
			return nil
		}
		d, err := decodeDeadLetter(value)
		if err != nil {
			return err
		}
		return fn(d)
	})
}

// resolve moves a dead letter's event to its final outcome.
func (l *Lane) resolve(d *deadLetter, o auditrelay.Outcome, now time.Time) {
	d.Resolved, d.At, d.Replaying, d.Sealed = o, now, false, false
	if l.resolved == nil {
		l.resolved = map[uint64]auditrelay.Outcome{}
	}
	l.resolved[d.Sequence] = o
	d.data = nil
	l.state.Counts.add(auditrelay.DeadLettered, -1)
	l.state.Counts.add(o, 1)
}

// dequeue removes dead letters from the queue.
func (l *Lane) dequeue(gone map[uint64]bool) {
	if len(gone) > 0 {
		l.deadQueue = slices.DeleteFunc(l.deadQueue, func(s uint64) bool { return gone[s] })
	}
}

// The limits of one transaction with dead letters.
const (
	maxDeadPerCall   = 10_000
	maxDeadBytesCall = 16 << 20
)

// ReplayDead queues dead letters above after for processing with the current filters: the named
// ones, or all. One call queues a limited number, in order, and returns which. next is the
// after of the next call, or 0 at the end.
func (l *Lane) ReplayDead(tx *journal.Tx, by string, sequences []uint64, after uint64) (changed []uint64, next uint64, err error) {
	next, err = l.changeDead(sequences, after, func(d *deadLetter) error {
		if d.Replaying {
			return nil
		}
		d.Replaying, d.By, d.Job = true, by, ""
		changed = append(changed, d.Sequence)
		l.deadQueue = append(l.deadQueue, d.Sequence)
		return l.putDeadLetter(tx, d)
	})
	return changed, next, err
}

// DiscardDead discards dead letters, selected as for ReplayDead. It keeps those that are being
// processed or sent, and own records unless the callback was removed.
func (l *Lane) DiscardDead(tx *journal.Tx, now time.Time, by string, sequences []uint64, after uint64) (changed []uint64, next uint64, err error) {
	gone := map[uint64]bool{}
	next, err = l.changeDead(sequences, after, func(d *deadLetter) error {
		if d.Sealed || l.deadTaken[d.Sequence] || d.Namespace == auditrelay.NamespaceRelay && !l.state.Removed {
			return nil
		}
		gone[d.Sequence] = true
		l.resolve(d, auditrelay.Discarded, now)
		d.By = by
		if err := l.stateResolved(tx, d); err != nil {
			return err
		}
		changed = append(changed, d.Sequence)
		return l.putDeadLetter(tx, d)
	})
	l.dequeue(gone)
	if err != nil || len(changed) == 0 {
		return changed, next, err
	}
	return changed, next, l.state.put(tx)
}

// changeDead calls fn for the unresolved dead letters above after, named or all, in order, up
// to a limit. next is 0 at the end.
//
// If it processes all and resolves them, it raises the floor, so that the next list does not
// read discarded ones again.
func (l *Lane) changeDead(sequences []uint64, after uint64, fn func(*deadLetter) error) (next uint64, err error) {
	count, bytes := 0, 0
	after = max(after, max(l.state.DeadFloor, 1)-1)
	raise := len(sequences) == 0 && after < max(l.state.DeadFloor, 1)
	one := func(d *deadLetter) error {
		if count >= maxDeadPerCall || bytes >= maxDeadBytesCall {
			return errStop
		}
		next = d.Sequence
		count++
		if d.Resolved == auditrelay.Pending {
			bytes += len(d.data)
			if err := fn(d); err != nil {
				return err
			}
		}
		if raise = raise && d.Resolved != auditrelay.Pending; raise {
			l.state.DeadFloor = d.Sequence + 1
		}
		return nil
	}
	if len(sequences) == 0 {
		err = l.scanDeadLetters(after, one)
	}
	for _, s := range slices.Sorted(slices.Values(sequences)) {
		if s <= after {
			continue
		}
		var d *deadLetter
		if d, err = loadDeadLetter(l.journal, l.state.ID, s); err == nil && d != nil {
			err = one(d)
		}
		if err != nil {
			break
		}
		after = s // a sequence that is named twice counts once
	}
	if err == errStop {
		return next, nil
	}
	return 0, err
}

// DeadEvents reads the events of the dead letters that an action named, in order and at least
// one. It stops before the first event of another period, and once Data exceeds maxBytes.
// handled is the number of sequences that this covers, including dead letters resolved
// meanwhile, which it omits.
func DeadEvents(j *journal.Journal, laneID string, sequences []uint64, maxBytes int64) (events []auditrelay.Event, handled int, err error) {
	size, end := int64(0), uint64(0) // end is the end of the first one's period
	for i, s := range sequences {
		d, err := loadDeadLetter(j, laneID, s)
		if err != nil {
			return nil, 0, err
		}
		if d == nil || d.Resolved != auditrelay.Pending {
			continue
		}
		if len(events) == 0 {
			end = j.PeriodEnd(s)
		}
		if size += int64(len(d.data)); (size > maxBytes || s >= end) && len(events) > 0 {
			return events, i, nil
		}
		events = append(events, *d.event())
	}
	return events, len(sequences), nil
}

// DeadLetter is one unresolved dead letter, for lists.
type DeadLetter struct {
	Event     auditrelay.Event // the accepted event; only FindDeadLetter sets its data
	At        time.Time
	Cause     auditrelay.Cause
	Filter    string
	Reason    string
	Error     string
	Attempts  int
	Replaying bool
}

func (d *deadLetter) public() DeadLetter {
	return DeadLetter{Event: *d.event(), At: d.At, Cause: d.Cause, Filter: d.Filter, Reason: d.Reason,
		Error: d.Error, Attempts: d.Attempts, Replaying: d.Replaying}
}

// DeadLetters lists the unresolved dead letters of a lane with a sequence above after, without
// their data, at most limit. A limit of 0 or above 10,000 means 10,000.
func DeadLetters(j *journal.Journal, s *State, after uint64, limit int) ([]DeadLetter, error) {
	var list []DeadLetter
	if limit <= 0 || limit > maxDeadPerCall {
		limit = maxDeadPerCall
	}
	err := scanDeadLetters(j, s.ID, max(after, max(s.DeadFloor, 1)-1), func(d *deadLetter) error {
		if len(list) == limit {
			return errStop
		}
		if d.Resolved == auditrelay.Pending {
			d.data = nil
			list = append(list, d.public())
		}
		return nil
	})
	if err == errStop {
		err = nil
	}
	return list, err
}

// EachDead calls fn with the sequence of each unresolved dead letter, in order, until fn
// returns false. It decodes only those that an older program resolved.
func EachDead(j *journal.Journal, s *State, fn func(sequence uint64) bool) error {
	from, to := journal.DeadLetterKey(s.ID, max(s.DeadFloor, 1)), journal.DeadLetterKey(s.ID, ^uint64(0))
	unresolved := fmt.Appendf(nil, `"resolved":%q`, auditrelay.Pending.String())
	err := j.ScanAll(from, to, func(k journal.Key, value []byte, erased bool) error {
		if erased {
			return nil
		}
		meta, _, err := splitDeadLetter(value)
		if err != nil {
			return err
		}
		if !bytes.Contains(meta, unresolved) { // no text contains this, since quotes are escaped
			if d, err := decodeDeadLetter(value); err != nil || d.Resolved != auditrelay.Pending {
				return err
			}
		}
		if _, _, sequence, _ := k.Split(); !fn(sequence) {
			return errStop
		}
		return nil
	})
	if err == errStop {
		err = nil
	}
	return err
}

// FindDeadLetter returns the unresolved dead letter of a sequence. The result is false if there
// is none.
func FindDeadLetter(j *journal.Journal, laneID string, sequence uint64) (DeadLetter, bool, error) {
	d, err := loadDeadLetter(j, laneID, sequence)
	if err != nil || d == nil || d.Resolved != auditrelay.Pending {
		return DeadLetter{}, false, err
	}
	return d.public(), true, nil
}
