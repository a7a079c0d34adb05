package delivery

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"time"

	"auditrelay"
	"auditrelay/runtime/internal/journal"
)

// Ending is the state of one event on one lane.
type Ending struct {
	Assigned  bool
	Outcome   auditrelay.Outcome
	Cause     auditrelay.Cause
	Filter    string
	Reason    string
	Error     string
	Payload   uint64
	Key       string
	Location  string
	Version   string
	Attempts  int
	At        time.Time
	Tombstone bool
	// Duplicate: the destination already had the payload. Unverified: it had data under the
	// payload's key, which was not compared.
	Duplicate, Unverified bool

	// Payloads contained the event: first the original one, then its replacements in order.
	Payloads []uint64

	givenUp bool // the payload with the event was given up
}

// Explainer looks up the state of events on one lane. Events of one chunk share its reads, so
// ask in order of sequence. It may miss concurrent changes.
type Explainer struct {
	journal  *journal.Journal
	state    *State
	chunk    chunkRecord // the last one that was read; To is 0 if there is none
	runs     []run
	payloads map[uint64]heldPayload // payloads of the chunk's events
}

// heldPayload is what is stored about a payload: its receipt if it is settled, otherwise its
// key.
type heldPayload struct {
	settled *receipt
	key     string
	gone    bool // nothing is stored about it
}

// NewExplainer returns an Explainer for the lane of s.
func NewExplainer(j *journal.Journal, s *State) *Explainer {
	return &Explainer{journal: j, state: s}
}

// Explain returns the state of e on the lane of s.
func Explain(j *journal.Journal, s *State, e *auditrelay.Event) (Ending, error) {
	return NewExplainer(j, s).Explain(e)
}

// load reads the chunk that contains a processed sequence. ok is false if no event of that
// range was assigned, or if the chunk was erased.
func (x *Explainer) load(sequence uint64) (ok bool, err error) {
	if x.chunk.From <= sequence && sequence < x.chunk.To {
		return true, nil
	}
	s := x.state
	// Every processed range has a chunk record, even if the lane now receives another class of
	// events.
	_, value, ok, err := x.journal.Last(journal.ChunkKey(s.ID, s.Start), journal.ChunkKey(s.ID, sequence+1))
	if errors.Is(err, journal.ErrErased) {
		return false, nil // a chunk of another period, so it ends before the event
	}
	if err != nil || !ok {
		return false, err
	}
	x.chunk, x.runs, x.payloads = chunkRecord{}, nil, map[uint64]heldPayload{}
	var chunk chunkRecord
	if err := json.Unmarshal(value, &chunk); err != nil {
		return false, fmt.Errorf("decode a chunk of callback %s: %w", s.LaneName(), err)
	}
	if sequence >= chunk.To {
		return false, nil
	}
	if !chunk.Skipped {
		if x.runs, err = decodeRuns(chunk.Runs); err != nil {
			return false, fmt.Errorf("callback %s: %w", s.LaneName(), err)
		}
	}
	x.chunk = chunk
	return true, nil
}

// Explain returns the state of e on the lane.
func (x *Explainer) Explain(e *auditrelay.Event) (Ending, error) {
	var end Ending
	s := x.state
	if e.Sequence < s.Start || (s.Replay != nil && e.Sequence >= s.Replay.To) {
		return end, nil
	}
	if e.Sequence >= s.Cursor {
		end.Assigned = s.Assigned(e) && !s.Removed
		return end, nil
	}
	ok, err := x.load(e.Sequence)
	if err != nil || !ok {
		return end, err
	}
	chunk, runs := &x.chunk, x.runs
	if chunk.Skipped {
		if end.Assigned = s.Assigned(e); end.Assigned {
			end.Outcome, end.Cause, end.At = auditrelay.Skipped, auditrelay.CauseOperator, chunk.At
		}
		return end, nil
	}
	i := sort.Search(len(runs), func(i int) bool { return runs[i].last() >= e.Sequence })
	if i == len(runs) || runs[i].first > e.Sequence {
		return end, nil
	}
	end.Assigned = true
	r := runs[i]
	end.Outcome, end.Cause, end.Filter, end.Reason, end.At = r.outcome, r.cause, r.filter, r.reason, chunk.At
	if r.payload != 0 {
		if err := end.follow(x, chunk.Number+r.payload-1, e.Sequence); err != nil {
			return end, err
		}
	}
	return end, end.amend(x, e.Sequence)
}

// payload reads what is stored about a payload.
func (x *Explainer) payload(number uint64) (p heldPayload, err error) {
	if p, ok := x.payloads[number]; ok {
		return p, nil
	}
	j, s := x.journal, x.state
	value, ok, err := j.Get(journal.ReceiptKey(s.ID, number))
	if err != nil {
		return p, err
	}
	if ok {
		p.settled = new(receipt)
		if err := json.Unmarshal(value, p.settled); err != nil {
			return p, fmt.Errorf("decode a receipt of callback %s: %w", s.LaneName(), err)
		}
	} else {
		value, ok, err = j.Get(journal.PayloadKey(s.ID, number))
		if err != nil {
			return p, err
		}
		p.gone = !ok // retention removed its receipt
		var meta payloadMeta
		if ok {
			if err := json.Unmarshal(value, &meta); err != nil {
				return p, fmt.Errorf("decode a sealed payload of callback %s: %w", s.LaneName(), err)
			}
		}
		p.key = meta.Key
	}
	if x.payloads != nil {
		x.payloads[number] = p
	}
	return p, nil
}

// follow follows replacements to the payload that contains the event now.
func (end *Ending) follow(x *Explainer, number, sequence uint64) error {
	end.Tombstone = end.Outcome == auditrelay.DeadLettered || end.Outcome == auditrelay.Discarded
	for {
		end.Payload = number
		end.Payloads = append(end.Payloads, number)
		p, err := x.payload(number)
		if err != nil || p.gone {
			return err
		}
		if p.settled == nil {
			end.Key = p.key
			if end.Outcome == auditrelay.Delivered {
				end.Outcome, end.At = auditrelay.Pending, time.Time{}
			}
			return nil
		}
		r := p.settled
		end.Key, end.Location, end.Version, end.Attempts, end.At = r.Key, r.Location, r.Version, r.Attempts, r.At
		end.Duplicate, end.Unverified = r.Duplicate, r.Unverified
		if r.GivenUp {
			end.Tombstone, end.givenUp = false, true
			if end.Outcome == auditrelay.Delivered {
				end.Outcome, end.Cause = auditrelay.Skipped, cmp.Or(r.Cause, auditrelay.CauseOperator)
			}
			return nil
		}
		next := uint64(0)
		for _, n := range r.By {
			first, last, err := bounds(x.journal, x.state, n)
			if err != nil {
				return err
			}
			if first <= sequence && sequence <= last {
				next = n
			}
		}
		if next == 0 {
			return nil
		}
		number = next
	}
}

// bounds returns the first and last sequence in a payload, settled or not.
func bounds(j *journal.Journal, s *State, number uint64) (first, last uint64, err error) {
	value, ok, err := j.Get(journal.ReceiptKey(s.ID, number))
	if err == nil && !ok {
		value, ok, err = j.Get(journal.PayloadKey(s.ID, number))
	}
	if err != nil || !ok {
		return 0, 0, err
	}
	var b struct{ First, Last uint64 }
	return b.First, b.Last, json.Unmarshal(value, &b)
}

// amend adds what happened to the event after its seal: the destination rejected it, or it was
// discarded or replayed as a dead letter.
func (end *Ending) amend(x *Explainer, sequence uint64) error {
	d, err := loadDeadLetter(x.journal, x.state.ID, sequence)
	if err != nil || d == nil {
		return err
	}
	end.Cause, end.Filter, end.Reason, end.Error, end.At = d.Cause, d.Filter, d.Reason, d.Error, d.At
	end.Outcome = auditrelay.DeadLettered
	end.Tombstone = end.Payload != 0 && !end.givenUp
	if d.Resolved == auditrelay.Pending {
		return nil
	}
	end.Outcome = d.Resolved
	if d.Resolved == auditrelay.Delivered {
		end.Cause, end.Error = auditrelay.CauseNone, ""
		if d.Payload != 0 {
			end.Tombstone = false
			return end.follow(x, d.Payload, sequence)
		}
	}
	return nil
}
