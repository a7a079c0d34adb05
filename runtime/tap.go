package runtime

import (
	"bytes"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"auditrelay"
	"auditrelay/runtime/internal/delivery"
	"auditrelay/runtime/internal/journal"

	"github.com/tidwall/gjson"
)

// Stage is a point on an event's way through the relay.
type Stage string

// The stages that a tap shows.
const (
	StageAccepted  Stage = "accepted"  // durable in the journal
	StageFiltered  Stage = "filtered"  // after a callback's filters, whatever their outcome
	StageDelivered Stage = "delivered" // after an attempt to deliver a payload
)

// Limits of taps.
const (
	MaxTaps = 16
	// MaxTapped is the largest document, in bytes, that a line contains.
	MaxTapped = 64 << 10
	// tapLines is the number of lines that wait for a slow reader. Further lines are lost.
	tapLines = 256
)

// ErrTaps: MaxTaps taps are already open.
var ErrTaps = errors.New("too many taps are open")

// TapLine is one observation. Data is a copy of the document at that stage: the accepted event, or the
// filtered document before must_not_leave and the format. Data is nil if the outcome has no document, if it
// is larger than MaxTapped, or at StageDelivered.
type TapLine struct {
	Stage    Stage
	At       time.Time
	Callback string // empty at StageAccepted
	Replay   string
	Sequence uint64
	ID       string
	Action   auditrelay.Action
	Table    string
	Outcome  auditrelay.Outcome
	Cause    auditrelay.Cause
	Filter   string
	Data     []byte

	// Set at StageDelivered: the payload and the number of its records. Sequence is the first.
	Payload uint64
	Records int
	Err     error // the attempt's error
}

// Tap shows events as they pass. It never delays them: if the reader is slow, lines are lost and counted.
// The caller owns a line's Data.
type Tap struct {
	owner *taps
	lines chan TapLine
	want  func(*TapLine) bool
	lost  atomic.Uint64
}

// Tap opens a tap. want selects the lines; nil selects all. want must be quick and must not block. Close
// the tap after use. ErrTaps: too many taps are open.
func (r *Runtime) Tap(want func(*TapLine) bool) (*Tap, error) {
	t := &Tap{owner: &r.taps, lines: make(chan TapLine, tapLines), want: want}
	r.taps.mu.Lock()
	defer r.taps.mu.Unlock()
	var open []*Tap
	if now := r.taps.open.Load(); now != nil {
		open = *now
	}
	if len(open) >= MaxTaps {
		return nil, ErrTaps
	}
	all := append(append([]*Tap{}, open...), t)
	r.taps.open.Store(&all)
	return t, nil
}

// Lines returns the channel of lines. It is never closed.
func (t *Tap) Lines() <-chan TapLine { return t.lines }

// Lost returns the number of lost lines since the last call.
func (t *Tap) Lost() uint64 { return t.lost.Swap(0) }

// Close ends the tap.
func (t *Tap) Close() {
	t.owner.mu.Lock()
	defer t.owner.mu.Unlock()
	var rest []*Tap
	if now := t.owner.open.Load(); now != nil {
		for _, other := range *now {
			if other != t {
				rest = append(rest, other)
			}
		}
	}
	if len(rest) == 0 {
		t.owner.open.Store(nil)
		return
	}
	t.owner.open.Store(&rest)
}

// taps holds the open taps. Without any, an event costs one atomic load.
type taps struct {
	mu   sync.Mutex
	open atomic.Pointer[[]*Tap]
}

func (t *taps) any() bool { return t.open.Load() != nil }

// show passes a line to the taps that want it. It copies data only if a tap wants the line.
func (t *taps) show(line *TapLine, data []byte) {
	open := t.open.Load()
	if open == nil {
		return
	}
	copied := false
	for _, tap := range *open {
		if tap.want != nil && !tap.want(line) {
			continue
		}
		if !copied && len(data) <= MaxTapped {
			line.Data, copied = bytes.Clone(data), true
		}
		select {
		case tap.lines <- *line:
		default:
			tap.lost.Add(1)
		}
	}
}

func tapLine(stage Stage, e *auditrelay.Event) TapLine {
	return TapLine{Stage: stage, At: time.Now(), Sequence: e.Sequence, ID: e.ID, Action: e.Action, Table: gjson.GetBytes(e.Data, "table_name").String()}
}

// accepted shows the events that a transaction accepted.
func (t *taps) accepted(events []auditrelay.Event, appended []journal.Appended) {
	for i := range events {
		if i < len(appended) && appended[i].Status == journal.Stored {
			line := tapLine(StageAccepted, &events[i])
			line.Sequence = appended[i].Sequence
			t.show(&line, events[i].Data)
		}
	}
}

// filtered shows the results of a callback's filters.
func (t *taps) filtered(callback, replay string, judged []delivery.Judged) {
	if !t.any() {
		return
	}
	for i := range judged {
		j := &judged[i]
		line := tapLine(StageFiltered, j.Event)
		line.Callback, line.Replay, line.Outcome, line.Cause, line.Filter = callback, replay, j.Outcome, j.Cause, j.Filter
		var data []byte
		if j.Outcome == auditrelay.Delivered {
			data = j.Data
		}
		t.show(&line, data)
	}
}

// delivered shows an attempt at a payload.
func (t *taps) delivered(callback, replay string, p *auditrelay.Payload, err error) {
	if !t.any() {
		return
	}
	line := TapLine{Stage: StageDelivered, At: time.Now(), Callback: callback, Replay: replay, Payload: p.Number, Records: len(p.Sequences), Err: err}
	if len(p.Sequences) > 0 {
		line.Sequence = p.Sequences[0]
	}
	t.show(&line, nil)
}
