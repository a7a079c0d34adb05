package postgres

import (
	"time"

	"auditrelay/cli/internal/api"
)

// Status is the progress of a Tail.
type Status = api.Tail

// State is the activity of a Tail.
type State = string

// The states.
const (
	StateConnecting    State = "connecting"
	StateBackfilling   State = "backfilling"   // reads existing rows, and new ones in parallel
	StateFollowing     State = "following"     // reads rows as they arrive
	StateWaiting       State = "waiting"       // the relay does not accept events now
	StateDisconnected  State = "disconnected"  // the server is unreachable or fails
	StateMisconfigured State = "misconfigured" // the table cannot be read with this configuration
)

// States returns all states.
func States() []State {
	return []State{StateConnecting, StateBackfilling, StateFollowing, StateWaiting, StateDisconnected, StateMisconfigured}
}

// Status returns the progress. It is safe to call during Run.
func (s *Tail) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.status
	if b := st.Backfill; b != nil {
		of := *b
		st.Backfill = &of
	}
	return st
}

// set changes the state, and logs a change.
func (s *Tail) set(state State, err error) {
	s.mu.Lock()
	before := s.status.State
	text := ""
	if err != nil {
		text = err.Error()
	}
	s.status.Error = text
	if before != state {
		s.status.State, s.status.Since = state, time.Now().UTC()
	}
	table, since := s.status.Table, s.status.Since
	s.mu.Unlock()
	if before == state {
		return
	}
	switch state {
	case StateWaiting:
		s.log.Warn("the relay accepts nothing now: reading the table waits, and skips nothing", "table", table, "error", err)
	case StateDisconnected:
		s.log.Warn("the table cannot be read; the relay retries from the same position", "table", table, "error", err)
	case StateMisconfigured:
		s.log.Error("the table cannot be read as things are set up", "table", table, "error", err)
	default:
		s.log.Info("reading the table", "table", table, "state", state, "before", before, "since", since)
	}
}

// goesOn records that reading continues. After the relay accepted nothing, only a submitted row
// proves that, since reading the table worked all the time.
func (s *Tail) goesOn(took bool) {
	if !took && s.Status().State == StateWaiting {
		return
	}
	if w := s.pos.Sweep; w != nil && w.Backfill {
		s.set(StateBackfilling, nil)
		return
	}
	s.set(StateFollowing, nil)
}

func (s *Tail) progress() {
	w := s.pos.Sweep
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.Position = s.pos.Done
	s.status.Backfill = nil
	if w == nil || !w.Backfill {
		return
	}
	of := w.Rows
	if w.Block > 0 {
		of = uint64(float64(w.Rows) / float64(w.Block) * float64(w.End))
	}
	s.status.Backfill = &api.Backfill{Rows: w.Rows, Of: of}
}

func (s *Tail) count(done api.Taken) {
	if s.o.Seen != nil {
		s.o.Seen(int(done.Read))
	}
	s.mu.Lock()
	first := s.status.Rows.Unreadable == 0 && done.Unreadable > 0
	s.status.Rows.Add(done)
	table := s.status.Table
	s.mu.Unlock()
	if first {
		s.log.Error("the server cannot give a row of the table as UTF-8, or at all: it is in quarantine, and reading goes on; later ones are counted", "table", table)
	}
}

func (s *Tail) looked() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.Looked = time.Now().UTC()
}

func (s *Tail) complete(begun time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.Complete = begun
}
