package runtime

import (
	"fmt"
	"slices"
)

// AtBoundary calls fn while callbacks judge nothing, so that what fn switches takes effect
// between two of their chunks: the callbacks' filters saw all events before the sequence
// that from has for a callback, and none from it on. A name that is no callback is left
// out. AtBoundary waits for the chunks that are being judged, while deliveries go on; fn
// must be quick, and must not call Apply. Replays have boundaries of their own. An event
// before the boundary is judged again if its chunk could not be recorded.
func (r *Runtime) AtBoundary(callbacks []string, fn func(from map[string]uint64) error) error {
	r.applying.Lock() // nobody else stops callbacks, and the callbacks stay these
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
		if from[name] = c.judgedTo.Load(); from[name] == 0 { // nothing since the start
			status, err := r.Callback(name)
			if err != nil {
				return fmt.Errorf("callback %s: %w", name, err)
			}
			from[name] = status.Cursor
		}
	}
	return fn(from)
}
