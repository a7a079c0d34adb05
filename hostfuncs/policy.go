package hostfuncs

import (
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/internal/detect"
)

// Policy holds what one filter's guests may do: requests and grants, configuration,
// limits. All instances share it. Do not change it after the first instance exists.
type Policy struct {
	Asked, Granted []*document.Path // an edit must lie within one of each
	Emit           map[string]bool  // the callbacks it may emit to
	Keys           map[string]auditrelay.Key
	Metrics        map[string]*atomic.Uint64 // the counts it may add to
	Has            map[string]bool           // the functions it got, for has

	Config []byte // JSON; an object, since it is a document too
	Seed   [32]byte

	Detectors *detect.Catalogue // nil: those that come with the relay

	Document  document.Limits // of what event_replace and emit hand over
	EmitBytes int             // of all records emitted for one event
	EmitCount int
	EditBytes int // handed over by all edits of one event
	TextBytes int // of a reason, a fail and a log line, each
	Paths     int // interned paths
	Regexes   int // and detectors, each

	Log *LogLimit
}

// writesAll reports whether no edit lies outside what was asked and granted.
func (p *Policy) writesAll() bool { return reachesAll(p.Asked) && reachesAll(p.Granted) }

func reachesAll(paths []*document.Path) bool {
	return slices.ContainsFunc(paths, func(p *document.Path) bool { return p.String() == "**" })
}

// LogLimit limits the lines a second that all instances of a filter together may log.
// It reports how many lines it dropped.
type LogLimit struct {
	Logger *slog.Logger
	Lines  int // a second, and the burst
	Now    func() time.Time

	mu      sync.Mutex
	left    float64
	last    time.Time
	omitted int
}

// allow reports whether a line may be logged now, and how many before it were
// left out.
func (l *LogLimit) allow() (omitted int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.Now()
	if l.last.IsZero() {
		l.left = float64(l.Lines)
	} else {
		l.left = min(float64(l.Lines), l.left+now.Sub(l.last).Seconds()*float64(l.Lines))
	}
	l.last = now
	if l.left < 1 {
		l.omitted++
		return 0, false
	}
	l.left--
	omitted, l.omitted = l.omitted, 0
	return omitted, true
}
