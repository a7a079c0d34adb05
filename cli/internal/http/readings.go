package http

import (
	"net/http"
	"sync"
	"time"

	"auditrelay"
	"auditrelay/cli/internal/api"
	"auditrelay/runtime"
)

// tableReading is the table_name of the relay's own records about the reading of contents.
const tableReading = "auditrelay_reading"

// readings records every reading of contents before the answer is sent. The readings of one
// reader within a window are one act with two records: the first says that they begin, the
// second how many there were. The first mostNamed readings of single events have a record each,
// which names the event.
type readings struct {
	rt     *runtime.Runtime
	window time.Duration
	mu     sync.Mutex // also held while a window's first record is written, so later readings wait for it
	open   map[reader]*window
	closed bool // no new window begins
}

// reader identifies whose readings are recorded together.
type reader struct {
	principal, address, credential, what string
}

// window collects one reader's readings for a limited time.
type window struct {
	act      *runtime.Begun // nil: so far only readings that name their event
	named    int
	requests uint64
	events   uint64
	timer    *time.Timer
}

const (
	readingWindow = time.Minute
	// mostNamed is how many readings of a window name their event.
	mostNamed = 20
	// mostReaders limits the number of windows. Above it each reading has its own record.
	mostReaders = 1000
)

func newReadings(rt *runtime.Runtime, length time.Duration) *readings {
	return &readings{rt: rt, window: length, open: map[reader]*window{}}
}

// record records a reading of events. what is the kind of contents. object is the event's
// sequence or number, or "" for several events. If refused is not nil, the caller must answer
// with it and show nothing. Otherwise the caller reports the number of events shown by calling
// told.
func (s *Server) record(r *http.Request, who principal, what, object string) (told func(events int), refused *api.Error) {
	by := who.as(r, "")
	by.Seen = ""
	told, err := s.readings.record(r, by, what, object)
	if err != nil {
		s.log.Error("a reading of contents was refused: it cannot be recorded", "by", who.by(), "error", err)
		return nil, &api.Error{Status: http.StatusServiceUnavailable, Reason: api.ReasonUnavailable,
			Message: "the request was refused, since it cannot be recorded", Hint: err.Error(), RetryAfter: retrySoon}
	}
	return told, nil
}

func (l *readings) record(r *http.Request, by runtime.By, what, object string) (told func(events int), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := reader{by.Principal, by.Address, by.Credential, what}
	w := l.open[key]
	change := runtime.Change{By: by, Act: "read", Action: auditrelay.ActionCreated, Table: tableReading, Object: what}
	nothing := func(int) {}
	if object != "" && (w == nil || w.named < mostNamed) || l.closed || w == nil && len(l.open) >= mostReaders {
		change.After = map[string]any{"object": object}
		if err := l.rt.Record(r.Context(), change); err != nil {
			return nil, err
		}
		if w == nil && !l.closed && len(l.open) < mostReaders {
			w = l.begin(key)
		}
		if w != nil {
			w.named++
		}
		return nothing, nil
	}
	if w == nil {
		w = &window{}
	}
	if w.act == nil {
		if w.act, err = l.rt.Begin(change); err != nil {
			return nil, err
		}
		if l.open[key] == nil {
			begun := l.begin(key)
			begun.act, w = w.act, begun
		}
	}
	w.requests++
	return func(events int) {
		l.mu.Lock()
		w.events += uint64(events)
		l.mu.Unlock()
	}, nil
}

// begin opens a window. The caller holds mu.
func (l *readings) begin(key reader) *window {
	w := &window{}
	w.timer = time.AfterFunc(l.window, func() { l.end(key, w) })
	l.open[key] = w
	return w
}

func (l *readings) end(key reader, w *window) {
	l.mu.Lock()
	if l.open[key] == w {
		delete(l.open, key)
	}
	act, after := w.act, map[string]any{"requests": w.requests, "events": w.events}
	w.act = nil
	l.mu.Unlock()
	if act != nil {
		_ = act.End(after, nil) // if this cannot be recorded now, the next start records it
	}
}

// close ends all windows. Each later reading has its own record.
func (l *readings) close() {
	l.mu.Lock()
	l.closed = true
	open := l.open
	l.open = map[reader]*window{}
	l.mu.Unlock()
	for key, w := range open {
		w.timer.Stop()
		l.end(key, w)
	}
}
