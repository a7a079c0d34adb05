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

// Policy describes what one filter's guests may do: requests and grants, configuration, limits.
// All instances share it. Do not change it after the first instance exists.
type Policy struct {
	Asked, Granted []*document.Path // an edit must be within one path of each list
	Emit           map[string]bool  // callbacks that it may emit to
	Keys           map[string]auditrelay.Key
	Metrics        map[string]*atomic.Uint64 // metrics that it may add to
	Has            map[string]bool           // the functions that it got, for has

	Config []byte // a JSON object, since the guest reads it as a document
	Seed   [32]byte

	Detectors *detect.Catalogue // nil means the built-in detectors

	Document  document.Limits // for the arguments of event_replace and emit
	EmitBytes int             // all records emitted for one event
	EmitCount int
	EditBytes int // all edits of one event
	TextBytes int // each reason, fail text and log line
	Paths     int // number of interned paths
	Regexes   int // number of regular expressions and, separately, of detectors

	Log *LogLimit
}

// writesAll reports whether the module requested, and the operator granted, every edit.
func (p *Policy) writesAll() bool { return reachesAll(p.Asked) && reachesAll(p.Granted) }

func reachesAll(paths []*document.Path) bool {
	return slices.ContainsFunc(paths, func(p *document.Path) bool { return p.String() == "**" })
}

// LogLimit limits the log lines per second of all instances of a filter together. It logs how
// many lines it dropped.
type LogLimit struct {
	Logger *slog.Logger
	Lines  int // per second; also the burst
	Now    func() time.Time

	mu      sync.Mutex
	left    float64
	last    time.Time
	omitted int
}

// allow reports whether a line may be logged now, and how many lines before it were dropped.
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
