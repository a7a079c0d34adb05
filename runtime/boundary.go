package runtime

import (
	"fmt"
	"slices"
)

// AtBoundary calls fn while the callbacks' filters are idle, so that a switch in fn takes effect between
// two chunks. from has a sequence for each callback: its filters have processed all events before that
// sequence, and none from it on. from omits names that are not callbacks.
//
// AtBoundary waits for the chunks in the filters; deliveries continue. fn must be quick and must not call
// Apply. Replays have their own boundaries. If a chunk could not be recorded, its events before the
// boundary are processed again.
func (r *Runtime) AtBoundary(callbacks []string, fn func(from map[string]uint64) error) error {
	r.applying.Lock() // no other call stops callbacks, and the set of callbacks stays the same
	defer r.applying.Unlock()
	callbacks = slices.Clone(callbacks)
	slices.Sort(callbacks)
	from := map[string]uint64{}
	for _, name := range slices.Compact(callbacks) {
		c := r.callbackNamed(name)
		if c == nil {
			continue
		}
		c.judging.Lock()
		defer c.judging.Unlock()
		if from[name] = c.judgedTo.Load(); from[name] == 0 { // no chunk since the start
			status, err := r.Callback(name)
			if err != nil {
				return fmt.Errorf("callback %s: %w", name, err)
			}
			from[name] = status.Cursor
		}
	}
	return fn(from)
}
