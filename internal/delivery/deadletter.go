package delivery

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"auditrelay"
	"auditrelay/internal/journal"
)

// deadLetter is an event that was set aside. Its header stays after it was
// resolved, for explain; its data does not.
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

	// Replaying: an operator asked for it to be judged again. Sealed: it was, and
	// waits for delivery.
	Replaying bool `json:"replaying,omitempty"`
	Sealed    bool `json:"sealed,omitempty"`
	// Resolved is how it ended after all; Pending while it is a dead letter.
	Resolved auditrelay.Outcome `json:"resolved"`
	Payload  uint64             `json:"payload,omitempty"` // in which it was delivered
	By       string             `json:"by,omitempty"`      // who discarded it or had it replayed

	data []byte // the event as accepted
}

const maxErrorText = 512

func newDeadLetter(j *Judged, now time.Time) *deadLetter {
	e := j.Event
	d := &deadLetter{Sequence: e.Sequence, Namespace: e.Namespace, ID: e.ID, Received: e.Received,
		Time: e.Time, TimeFrom: e.TimeFrom, Action: e.Action, Provenance: e.Provenance, Emission: e.Emission, data: e.Data}
	d.again(j, now)
	return d
}

// again records that the event was set aside once more.
func (d *deadLetter) again(j *Judged, now time.Time) {
	d.At, d.Cause, d.Filter, d.Reason, d.Error = now, j.Cause, j.Filter, j.Reason, errorText(j.Err)
	d.Attempts++
	d.Replaying, d.Sealed = false, false
}

// errorText bounds what is kept of an error.
func errorText(err error) string {
	if err == nil {
		return ""
	}
	text := err.Error()
	if len(text) > maxErrorText {
		text = text[:maxErrorText] + "..."
	}
	return text
}

// event gives the dead letter's event back.
func (d *deadLetter) event() *auditrelay.Event {
	return &auditrelay.Event{Namespace: d.Namespace, ID: d.ID, Sequence: d.Sequence, Received: d.Received,
		Time: d.Time, TimeFrom: d.TimeFrom, Action: d.Action, Provenance: d.Provenance, Emission: d.Emission, Data: d.data}
}

func (l *Lane) putDeadLetter(tx *journal.Tx, d *deadLetter) error {
	header, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("encode a dead letter of callback %s: %w", l.state.LaneName(), err)
	}
	value := binary.AppendUvarint(nil, uint64(len(header)))
	value = append(value, header...)
	if d.Resolved == auditrelay.Pending {
		value = append(value, d.data...)
	}
	tx.Set(journal.DeadLetterKey(l.state.ID, d.Sequence), value)
	return nil
}

func decodeDeadLetter(value []byte) (*deadLetter, error) {
	n, used := binary.Uvarint(value)
	if used <= 0 || n > uint64(len(value)-used) {
		return nil, fmt.Errorf("malformed dead letter: %w", journal.ErrCorrupt)
	}
	d := new(deadLetter)
	if err := json.Unmarshal(value[used:used+int(n)], d); err != nil {
		return nil, fmt.Errorf("decode a dead letter: %w", err)
	}
	d.data = bytes.Clone(value[used+int(n):])
	return d, nil
}

// loadDeadLetter reads one, nil if there is none.
func loadDeadLetter(j *journal.Journal, laneID string, sequence uint64) (*deadLetter, error) {
	value, ok, err := j.Get(journal.DeadLetterKey(laneID, sequence))
	if err != nil || !ok {
		return nil, err
	}
	return decodeDeadLetter(value)
}

func (l *Lane) scanDeadLetters(after uint64, fn func(*deadLetter) error) error {
	return scanDeadLetters(l.journal, l.state.ID, after, fn)
}

func scanDeadLetters(j *journal.Journal, laneID string, after uint64, fn func(*deadLetter) error) error {
	from, to := journal.DeadLetterKey(laneID, after+1), journal.DeadLetterKey(laneID, ^uint64(0))
	return j.Scan(from, to, func(_ journal.Key, value []byte) error {
		d, err := decodeDeadLetter(value)
		if err != nil {
			return err
		}
		return fn(d)
	})
}

// resolve moves a dead letter's event to the outcome that it reached after all.
func (l *Lane) resolve(d *deadLetter, o auditrelay.Outcome, now time.Time) {
	d.Resolved, d.At, d.Replaying, d.Sealed = o, now, false, false
	l.state.Counts.add(auditrelay.DeadLettered, -1)
	l.state.Counts.add(o, 1)
}

func (l *Lane) dequeue(sequence uint64) {
	for i, s := range l.deadQueue {
		if s == sequence {
			l.deadQueue = append(l.deadQueue[:i], l.deadQueue[i+1:]...)
			return
		}
	}
}

// maxDeadPerCall bounds one transaction over dead letters.
const maxDeadPerCall = 10_000

// ReplayDead has dead letters judged again by the filters as they are now. With
// no sequences it takes all, up to a bound per call; it returns how many, and
// whether there may be more.
func (l *Lane) ReplayDead(tx *journal.Tx, by string, sequences []uint64) (n int, more bool, err error) {
	return l.changeDead(sequences, func(d *deadLetter) error {
		if d.Replaying {
			return nil
		}
		d.Replaying, d.By = true, by
		n++
		l.deadQueue = append(l.deadQueue, d.Sequence)
		return l.putDeadLetter(tx, d)
	}, &n)
}

// DiscardDead gives dead letters up.
func (l *Lane) DiscardDead(tx *journal.Tx, now time.Time, by string, sequences []uint64) (n int, more bool, err error) {
	n, more, err = l.changeDead(sequences, func(d *deadLetter) error {
		if d.Sealed {
			return nil // on its way
		}
		l.dequeue(d.Sequence)
		l.resolve(d, auditrelay.Discarded, now)
		d.By = by
		n++
		return l.putDeadLetter(tx, d)
	}, &n)
	if err != nil {
		return n, more, err
	}
	return n, more, l.state.put(tx)
}

// changeDead calls fn for the unresolved dead letters named, or for all.
func (l *Lane) changeDead(sequences []uint64, fn func(*deadLetter) error, n *int) (int, bool, error) {
	if len(sequences) > 0 {
		for _, s := range sequences {
			d, err := loadDeadLetter(l.journal, l.state.ID, s)
			if err != nil {
				return *n, false, err
			}
			if d == nil || d.Resolved != auditrelay.Pending {
				continue
			}
			if err := fn(d); err != nil {
				return *n, false, err
			}
		}
		return *n, false, nil
	}
	err := l.scanDeadLetters(0, func(d *deadLetter) error {
		if *n >= maxDeadPerCall {
			return errStop
		}
		if d.Resolved != auditrelay.Pending {
			return nil
		}
		return fn(d)
	})
	if err == errStop {
		return *n, true, nil
	}
	return *n, false, err
}

// DeadEvents reads the events of dead letters that an action named. What was
// discarded meanwhile is left out.
func DeadEvents(j *journal.Journal, laneID string, sequences []uint64) ([]auditrelay.Event, error) {
	events := make([]auditrelay.Event, 0, len(sequences))
	for _, s := range sequences {
		d, err := loadDeadLetter(j, laneID, s)
		if err != nil {
			return nil, err
		}
		if d != nil && d.Resolved == auditrelay.Pending {
			events = append(events, *d.event())
		}
	}
	return events, nil
}

// DeadLetter is one unresolved dead letter, for those who list them.
type DeadLetter struct {
	Event     auditrelay.Event // as accepted, with its data
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

// DeadLetters lists the unresolved dead letters of a lane whose sequence is above
// after, at most limit.
func DeadLetters(j *journal.Journal, laneID string, after uint64, limit int) ([]DeadLetter, error) {
	var list []DeadLetter
	err := scanDeadLetters(j, laneID, after, func(d *deadLetter) error {
		if len(list) == limit {
			return errStop
		}
		if d.Resolved == auditrelay.Pending {
			list = append(list, d.public())
		}
		return nil
	})
	if err == errStop {
		err = nil
	}
	return list, err
}

// FindDeadLetter returns the unresolved dead letter of that sequence.
func FindDeadLetter(j *journal.Journal, laneID string, sequence uint64) (DeadLetter, bool, error) {
	d, err := loadDeadLetter(j, laneID, sequence)
	if err != nil || d == nil || d.Resolved != auditrelay.Pending {
		return DeadLetter{}, false, err
	}
	return d.public(), true, nil
}
