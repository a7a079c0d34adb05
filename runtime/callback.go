package runtime

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"auditrelay"
	"auditrelay/internal/gate"
	"auditrelay/internal/query"
	"auditrelay/internal/receipts"
	"auditrelay/runtime/internal/delivery"
)

// callback is a running Callback: the state that its lane and its replays share.
type callback struct {
	Callback
	judge       *judge
	gate        *gate.Gate // nil if nothing is checked
	receipts    *receipts.Codec
	concurrency int
	slots       chan struct{} // one for each concurrent delivery
	rendering   sync.Mutex    // ensures that Render runs in one goroutine at a time
	latency     latency
	memory      *memoryAccount
	judging     sync.RWMutex           // held for reading while filters process a chunk
	judgedTo    atomic.Uint64          // the end of the lane's last processed chunk; 0 if none since the start
	begins      uint64                 // the first sequence that it may process with the current configuration
	shadow      atomic.Pointer[shadow] // nil if none runs
}

// close closes the callback's resources other than its filters and its sink. No work of the callback may be
// in progress.
func (c *callback) close(r *Runtime) {
	c.shadow.Load().end(errReconfigured.Error())
	c.judge.close()
	c.judge.shared.leave()
	r.memory.close(c.memory)
}

// refresh makes the sink read its credentials again. It reports whether the sink caches any.
func (c *callback) refresh() bool {
	sink, ok := c.Sink.(auditrelay.Refresher)
	if ok {
		sink.Refresh()
	}
	return ok
}

// maxAge returns the maximum age of an event at the destination, or 0 if there is none.
func (c *callback) maxAge() time.Duration {
	if sink, ok := c.Sink.(auditrelay.Aging); ok {
		return max(sink.MaxAge(), 0)
	}
	return 0
}

const defaultTimeout = time.Minute

func (r *Runtime) newCallback(c Callback) *callback {
	out := &callback{Callback: c, receipts: r.receipts, judge: r.judging().newJudge(&c), concurrency: 1, memory: r.memory.open()}
	out.judge.shared = r.sharing.join(&c) // own records are never shared, since some callbacks must not get them
	out.gate = out.judge.gate
	out.judge.noOwn = r.controlOnly && r.control != "" && c.Name != r.control
	if parallel, ok := c.Sink.(auditrelay.Concurrent); ok {
		out.concurrency = max(parallel.Concurrency(), 1)
	}
	out.slots = make(chan struct{}, out.concurrency)
	if out.Timeout <= 0 {
		out.Timeout = defaultTimeout
	}
	return out
}

// laneOptions returns the callback's options for the delivery state machine.
func (c *callback) laneOptions(s *signing) delivery.Options {
	attest := time.Duration(0)
	if s != nil {
		attest = s.every
	}
	return delivery.Options{Attest: attest, Sink: c.Sink, Concurrency: c.concurrency, InFlight: c.InFlight,
		Chunk: c.Chunk, Backoff: c.Backoff, Retain: c.Retain}
}

// newGate returns the check of must_not_leave, or nil if there is none.
func (c *Callback) newGate() (*gate.Gate, error) {
	return gate.New(gate.Options{Detectors: c.MustNotLeave.Detectors, Paths: c.MustNotLeave.Paths, Catalogue: c.Detectors})
}

// emits reports whether a filter of c may emit.
func (c *Callback) emits() bool {
	return slices.ContainsFunc(c.Steps, func(s Step) bool { return len(s.Emits) > 0 })
}

// check returns all errors in a set of callbacks, joined.
func check(callbacks []Callback) error {
	var errs []error
	names := map[string]bool{}
	for i := range callbacks {
		c := &callbacks[i]
		if !validName(c.Name) {
			errs = append(errs, fmt.Errorf("callback %q: a name is 1 to 64 of a-z, 0-9, - and _, and starts with a letter or digit", c.Name))
		}
		if names[c.Name] {
			errs = append(errs, fmt.Errorf("callback %s is there twice", c.Name))
		}
		names[c.Name] = true
		for _, step := range c.Steps {
			if step.Filter == nil {
				errs = append(errs, fmt.Errorf("callback %s: filter %s is missing", c.Name, step.Name))
			}
		}
		if c.When != nil && c.When.Query != "" {
			if _, err := query.Parse(c.When.Query); err != nil {
				errs = append(errs, fmt.Errorf("callback %s: when: %w", c.Name, err))
			}
		}
		if _, err := c.newGate(); err != nil {
			errs = append(errs, fmt.Errorf("callback %s: must_not_leave: %w", c.Name, err))
		}
		for _, err := range []error{c.Chunk.Check(), c.Backoff.Check(), c.Retain.Check(), c.checkPace(), c.Format.Check()} {
			if err != nil {
				errs = append(errs, fmt.Errorf("callback %s: %w", c.Name, err))
			}
		}
		if c.Sink == nil && !c.emits() {
			errs = append(errs, fmt.Errorf("callback %s has neither a sink nor a filter that may emit: its events would go nowhere", c.Name))
		}
	}
	return errors.Join(append(errs, checkEmits(callbacks, names)...)...)
}

// checkControl returns an error if own records could not reach the callbacks of Options.Control.
func (r *Runtime) checkControl(callbacks []Callback) error {
	if r.control == "" {
		return nil
	}
	at := slices.IndexFunc(callbacks, func(c Callback) bool { return c.Name == r.control })
	if at < 0 {
		return fmt.Errorf("control.callback: %s is no callback; while the relay runs it cannot be removed", r.control)
	}
	c := &callbacks[at]
	switch {
	case c.Sink == nil:
		return fmt.Errorf("control.callback: %s has no sink", c.Name)
	case c.Receives == auditrelay.ReceivesEmitted:
		return fmt.Errorf("control.callback: %s receives emitted records only; own records go to callbacks that receive events", c.Name)
	case c.Retain.Then != auditrelay.RetainBlock:
		return fmt.Errorf("control.callback: %s gives up events at its retain limit; use then: block", c.Name)
	}
	return nil
}

// checkPace reports timing and size options that the engine does not support.
func (c *Callback) checkPace() error {
	var errs []error
	if c.InFlight < 0 || c.InFlight > auditrelay.MaxInFlight {
		errs = append(errs, &auditrelay.OptionError{Path: "in_flight", Err: fmt.Errorf("expected at most %d", auditrelay.MaxInFlight)})
	}
	if c.Timeout < 0 || c.Timeout > auditrelay.MaxTimeout {
		errs = append(errs, &auditrelay.OptionError{Path: "timeout", Err: fmt.Errorf("expected at most %v", auditrelay.MaxTimeout)})
	}
	return errors.Join(errs...)
}

// checkEmits reports cycles, and emits to callbacks that are missing or do not receive emitted records.
func checkEmits(callbacks []Callback, names map[string]bool) []error {
	var errs []error
	targets := map[string][]string{}
	receives := map[string]auditrelay.Receives{}
	for i := range callbacks {
		receives[callbacks[i].Name] = callbacks[i].Receives
	}
	for i := range callbacks {
		c := &callbacks[i]
		for _, step := range c.Steps {
			for _, target := range step.Emits {
				switch {
				case !names[target]:
					errs = append(errs, fmt.Errorf("callback %s: filter %s may emit to %s, which is no callback", c.Name, step.Name, target))
				case receives[target] == auditrelay.ReceivesEvents:
					errs = append(errs, fmt.Errorf("callback %s: filter %s may emit to %s, which receives no emitted records (receives: emitted, or both)", c.Name, step.Name, target))
				default:
					targets[c.Name] = append(targets[c.Name], target)
				}
			}
		}
	}
	const visiting, done = 1, 2
	marks := map[string]int{}
	var visit func(name string) bool
	visit = func(name string) bool {
		if marks[name] == visiting {
			return true
		}
		if marks[name] == done {
			return false
		}
		marks[name] = visiting
		for _, target := range targets[name] {
			if visit(target) {
				return true
			}
		}
		marks[name] = done
		return false
	}
	for i := range callbacks {
		if visit(callbacks[i].Name) {
			return append(errs, fmt.Errorf("callback %s: its emitted records can come back to it; emits must not form a cycle", callbacks[i].Name))
		}
	}
	return errs
}

func validName(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		case i > 0 && (c == '-' || c == '_'):
		default:
			return false
		}
	}
	return true
}

// parts returns the parts of a callback that must be closed after use: its filters, then its sink.
func (c *Callback) parts() []io.Closer {
	var parts []io.Closer
	for _, step := range c.Steps {
		if step.Filter != nil {
			parts = append(parts, step.Filter)
		}
	}
	if closer, ok := c.Sink.(io.Closer); ok {
		parts = append(parts, closer)
	}
	return parts
}

// users counts the users of each filter and sink. Callbacks may share a part, and a new configuration may
// contain a part that already runs.
type users map[io.Closer]int

// known reports whether part can be compared. A part that cannot be compared has only one user.
func known(part io.Closer) bool { return reflect.ValueOf(part).Comparable() }

// retain registers a callback as a user of its parts.
func (r *Runtime) retain(c Callback) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, part := range c.parts() {
		if known(part) {
			r.users[part]++
		}
	}
}

// release closes the parts of a callback that have no other user.
func (r *Runtime) release(c Callback) error {
	r.mu.Lock()
	var unused []io.Closer
	for _, part := range c.parts() {
		if known(part) {
			if r.users[part]--; r.users[part] > 0 {
				continue
			}
			delete(r.users, part)
		}
		unused = append(unused, part)
	}
	r.mu.Unlock()
	return closeAll(unused)
}

// closeUnused closes the parts of callbacks that no running callback uses.
func (r *Runtime) closeUnused(callbacks []Callback) error {
	r.mu.Lock()
	seen := users{}
	var unused []io.Closer
	for i := range callbacks {
		for _, part := range callbacks[i].parts() {
			if known(part) {
				if seen[part]++; seen[part] > 1 || r.users[part] > 0 {
					continue
				}
			}
			unused = append(unused, part)
		}
	}
	r.mu.Unlock()
	return closeAll(unused)
}

func closeAll(parts []io.Closer) error {
	var errs []error
	for _, part := range parts {
		errs = append(errs, closePart(part))
	}
	return errors.Join(errs...)
}

func closePart(part io.Closer) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("close a %T: it panicked with a %T", part, p)
		}
	}()
	return part.Close()
}
