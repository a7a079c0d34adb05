package runtime

import (
	"maps"
	"strings"
	"sync"

	"auditrelay/filter"
	"auditrelay/internal/detect"
	"auditrelay/internal/gate"
)

// findings counts, for one callback since start, what each detector found: what the
// filters redacted and what the gate refused.
type findings struct {
	mu     sync.Mutex
	counts map[string]uint64
}

// maxFindings bounds how many names are counted apart: there are as many detectors as
// the configuration has, and no more.
const maxFindings = 4096

func (f *findings) add(detector string, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.counts == nil {
		f.counts = map[string]uint64{}
	}
	if _, ok := f.counts[detector]; ok || len(f.counts) < maxFindings {
		f.counts[detector] += uint64(n)
	}
}

// touched counts what a native filter's detectors found; its touches name them as
// "detect:NAME in FIELD".
func (f *findings) touched(touched []filter.Touch) {
	for _, t := range touched {
		if rest, ok := strings.CutPrefix(t.Path, "detect:"); ok {
			name, _, _ := strings.Cut(rest, " in ")
			f.add(name, t.Count)
		}
	}
}

// leaked counts what the gate refused.
func (f *findings) leaked(l *gate.Leak) {
	if name, ok := strings.CutPrefix(l.Rule, "detector "); ok {
		f.add(name, 1)
	}
}

func (f *findings) all() map[string]uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.counts)
}

// DetectorExceptions are the operator's exceptions, each with how often it has held
// since the configuration was loaded.
func (r *Runtime) DetectorExceptions() []detect.UsedException {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.callbacks {
		if all := c.Detectors.Exceptions(); len(all) > 0 {
			return all
		}
	}
	return nil
}
