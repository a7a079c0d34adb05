package runtime

import (
	"slices"
	"sync"
	"time"
)

// latencyBounds are the upper bounds of the buckets of a Latency, in seconds.
var latencyBounds = [...]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}

// Latency is a histogram of the durations of a callback's acknowledged deliveries, since the callback got
// its current configuration.
type Latency struct {
	// Buckets counts deliveries by upper bound in seconds. Each bucket includes all smaller ones.
	Buckets map[float64]uint64
	Count   uint64
	Seconds float64 // sum of all durations
}

// latency collects a Latency.
type latency struct {
	mu      sync.Mutex
	counts  [len(latencyBounds)]uint64
	count   uint64
	seconds float64
}

func (l *latency) observe(took time.Duration) {
	seconds := took.Seconds()
	l.mu.Lock()
	defer l.mu.Unlock()
	if i, _ := slices.BinarySearch(latencyBounds[:], seconds); i < len(l.counts) {
		l.counts[i]++
	}
	l.count++
	l.seconds += seconds
}

func (l *latency) snapshot() Latency {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := Latency{Buckets: make(map[float64]uint64, len(latencyBounds)), Count: l.count, Seconds: l.seconds}
	below := uint64(0)
	for i, bound := range latencyBounds {
		below += l.counts[i]
		out.Buckets[bound] = below
	}
	return out
}

// Latencies returns the Latency of each callback with a sink, by name.
func (r *Runtime) Latencies() map[string]Latency {
	r.mu.Lock()
	callbacks := slices.Clone(r.callbacks)
	r.mu.Unlock()
	all := make(map[string]Latency, len(callbacks))
	for _, c := range callbacks {
		if c.Sink != nil {
			all[c.Name] = c.latency.snapshot()
		}
	}
	return all
}
