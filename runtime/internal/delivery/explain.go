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

// Ending is where one event is on one lane.
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
	// The destination had the payload already; under its key it had something that was
	// not compared.
	Duplicate, Unverified bool

	// Payloads are those that held the event, from the first to the last that took
	// another's place.
	Payloads []uint64

	givenUp bool // the payload that held it was
}

// Explain looks up where e is on the lane of s.
func Explain(j *journal.Journal, s *State, e *auditrelay.Event) (Ending, error) {
	var end Ending
	if e.Sequence < s.Start || (s.Replay != nil && e.Sequence >= s.Replay.To) {
		return end, nil
	}
	if e.Sequence >= s.Cursor {
		end.Assigned = s.Assigned(e) && !s.Removed
		return end, nil
	}
	// What was taken has a record, whatever class of events the lane receives now.
	_, value, ok, err := j.Last(journal.ChunkKey(s.ID, s.Start), journal.ChunkKey(s.ID, e.Sequence+1))
	if errors.Is(err, journal.ErrErased) {
		return end, nil // a chunk of another period, and so it ends before e
	}
	if err != nil {
		return end, err
	}
	var chunk chunkRecord
	if ok {
		if err := json.Unmarshal(value, &chunk); err != nil {
			return end, fmt.Errorf("decode a chunk of callback %s: %w", s.LaneName(), err)
		}
	}
	if !ok || e.Sequence >= chunk.To {
		return end, nil // nothing of that stretch was assigned
	}
	if chunk.Skipped {
		if end.Assigned = s.Assigned(e); end.Assigned {
			end.Outcome, end.Cause, end.At = auditrelay.Skipped, auditrelay.CauseOperator, chunk.At
		}
		return end, nil
	}
	runs, err := decodeRuns(chunk.Runs)
	if err != nil {
		return end, fmt.Errorf("callback %s: %w", s.LaneName(), err)
	}
	i := sort.Search(len(runs), func(i int) bool { return runs[i].last() >= e.Sequence })
	if i == len(runs) || runs[i].first > e.Sequence {
		return end, nil
	}
	end.Assigned = true
	r := runs[i]
	end.Outcome, end.Cause, end.Filter, end.Reason, end.At = r.outcome, r.cause, r.filter, r.reason, chunk.At
	if r.payload != 0 {
		if err := end.follow(j, s, chunk.Number+r.payload-1, e.Sequence); err != nil {
			return end, err
		}
	}
	return end, end.amend(j, s, e.Sequence)
}

// follow finds the payload that holds the event now, through replacements.
func (end *Ending) follow(j *journal.Journal, s *State, number, sequence uint64) error {
	end.Tombstone = end.Outcome == auditrelay.DeadLettered || end.Outcome == auditrelay.Discarded
	for {
		end.Payload = number
		end.Payloads = append(end.Payloads, number)
		value, ok, err := j.Get(journal.ReceiptKey(s.ID, number))
		if err != nil {
			return err
		}
		if !ok {
			var meta payloadMeta
			value, ok, err = j.Get(journal.PayloadKey(s.ID, number))
			if err != nil || !ok {
				return err // its receipt is beyond retention
			}
			if err := json.Unmarshal(value, &meta); err != nil {
				return fmt.Errorf("decode a sealed payload of callback %s: %w", s.LaneName(), err)
			}
			end.Key = meta.Key
			if end.Outcome == auditrelay.Delivered {
				end.Outcome, end.At = auditrelay.Pending, time.Time{}
			}
			return nil
		}
		var r receipt
		if err := json.Unmarshal(value, &r); err != nil {
			return fmt.Errorf("decode a receipt of callback %s: %w", s.LaneName(), err)
		}
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
			first, last, err := bounds(j, s, n)
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

// amend takes in what became of the event after its seal: refused by the
// destination, discarded or replayed as a dead letter.
func (end *Ending) amend(j *journal.Journal, s *State, sequence uint64) error {
	d, err := loadDeadLetter(j, s.ID, sequence)
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
			return end.follow(j, s, d.Payload, sequence)
		}
	}
	return nil
}
