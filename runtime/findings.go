package runtime

import (
	"maps"
	"strings"
	"sync"

	"auditrelay/filter"
	"auditrelay/internal/detect"
	"auditrelay/internal/gate"
)

// findings counts, for one callback since start, the findings of each detector: values
// that filters redacted and payloads that the gate rejected.
type findings struct {
	mu     sync.Mutex
	counts map[string]uint64
}

// maxFindings limits the number of names. A configuration has far fewer detectors.
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

// touched counts the findings of a native filter's detectors. Its touches name them in the form
// "detect:NAME in FIELD".
func (f *findings) touched(touched []filter.Touch) {
	for _, t := range touched {
		if rest, ok := strings.CutPrefix(t.Path, "detect:"); ok {
			name, _, _ := strings.Cut(rest, " in ")
			f.add(name, t.Count)
		}
	}
}

// leaked counts one rejection by the gate.
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

// DetectorExceptions returns the configured exceptions, each with the number of times
// that it applied since the configuration was loaded.
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
