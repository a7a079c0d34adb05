package hostfuncs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"

	"github.com/tetratelabs/wazero/api"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/filter"
	"auditrelay/internal/detect"
	"auditrelay/internal/redaction"
)

// configNode marks a node of the configuration's document in a node handle.
const configNode = 1 << 30

// regexHandle marks the handles of regular expressions, so that using one as a path is
// detected. Handles of both kinds start at 1, so that an unset variable is not a valid handle.
const regexHandle = 1 << 16

// State is the host's state of one instance. It is also the context of every call into the
// guest, since host functions find it most cheaply that way. It is not safe for concurrent use.
type State struct {
	context.Context
	policy   *Policy
	tank     tank
	turn     Turn
	function string // the running host function, for the text of a failure

	call      *filter.Call
	doc       *document.Document
	config    document.Document
	paths     []path
	regexes   []*expression
	detectors []*detect.Set
	findings  []detect.Finding
	keys      map[string]*redaction.Pseudonymiser
	scratch   []byte
	value     []byte
	matches   []document.Node
	replaced  document.Document
	places    document.Places
	placed    []byte

	emitted   []filter.Emit
	touched   []filter.Touch
	counted   []counted
	emitBytes int
	edited    int
	given     int // bytes that earlier filters' edits added to the document
	worked    int // the part of the documents' work that is already paid
	reason    string

	clock  uint64 // virtual monotonic clock, in nanoseconds
	marked uint64 // clock when Mark was called
	random rand.ChaCha8

	// Say receives the guest's log lines; text returns a line that the receiver may keep. Nil:
	// Policy.Log receives them.
	Say func(level slog.Level, text func() string)
	// Pseudonym appends the pseudonym of a value under one of the policy's keys. It is for a
	// process that has only the keys' names. Nil: this process has the keys.
	Pseudonym func(dst []byte, key string, value []byte) []byte

	// Reserve takes n bytes of the instance's memory for objects that the host stores for it,
	// and reports whether they are available. Nil: no limit.
	Reserve func(n int) bool
	seeded  bool
	watch   func()     // the method watched
	glimpse func()     // the method glance
	record  *recording // nil if nothing is recorded
	output  [2][]byte  // unfinished lines of stdout and stderr
}

type path struct {
	*document.Path
	text    string // as the module wrote it
	granted bool   // the path itself is in both lists, so no node needs a check
}

// NewState returns the state of an instance that is about to start. ctx has the values of the
// whole instance. When ctx ends, the instance ends.
func NewState(ctx context.Context, p *Policy) *State {
	s := &State{Context: ctx, policy: p, turn: AtInit}
	if len(p.Config) > 0 {
		s.config.Reset(p.Config)
	}
	s.watch, s.glimpse = s.watched, s.glance
	s.keys = make(map[string]*redaction.Pseudonymiser, len(p.Keys))
	for name, key := range p.Keys {
		s.keys[name] = redaction.NewPseudonymiser(name, key)
	}
	return s
}

// Value implements context.Context. The engine asks for values at every call into the guest but
// needs them only at the start. Searching the chain of contexts would cost more than the call
// itself.
func (s *State) Value(key any) any {
	if s.turn != AtInit {
		return nil
	}
	return s.Context.Value(key)
}

// Rewind restores the state at the time of Mark, so that the next event finds nothing of this
// one.
func (s *State) Rewind() { s.clock = s.marked }

// Mark saves the state for Rewind.
func (s *State) Mark() { s.marked = s.clock }

// Begin makes call the event that the guest sees.
func (s *State) Begin(call *filter.Call) {
	s.call, s.doc, s.turn = call, call.Document, AtEvent
	s.edited, s.emitBytes, s.seeded, s.given = 0, 0, false, s.doc.Given()
	s.record.reset()
	s.places.Reset()
	s.doc.Watch(watchedWork, s.watch)
	s.emitted, s.touched, s.counted, s.reason = s.emitted[:0], s.touched[:0], s.counted[:0], ""
}

// Commit copies the guest's emitted records, edits and reason to the call after a verdict, and
// adds its counts.
func (s *State) Commit() {
	for _, c := range s.counted {
		c.to.Add(c.n)
	}
	s.call.Touched = s.touched
	s.call.Emitted = append(s.call.Emitted, s.emitted...)
	if s.reason != "" {
		s.call.Reason = s.reason
	}
}

// keptBytes is the maximum size of buffers that a State keeps between calls.
const keptBytes = 1 << 20

// End hides the event from the guest and releases it.
func (s *State) End() {
	clear(s.emitted)
	s.flush()
	s.tank.unbind()
	if s.doc != nil {
		s.doc.Watch(0, nil)
	}
	for _, b := range []*[]byte{&s.scratch, &s.value, &s.placed} {
		if cap(*b) > keptBytes {
			*b = nil
		}
	}
	if cap(s.findings) > keptMatches {
		s.findings = nil
	}
	s.call, s.doc, s.turn = nil, nil, Always
}

// Reason returns the guest's reason, or its text of fail. The text is the guest's own, at most
// Policy.TextBytes bytes.
func (s *State) Reason() string { return s.reason }

// fail ends the guest's call as a failure. The text names the function and never contains the
// guest's arguments.
func (s *State) fail(cause auditrelay.Cause, text string) {
	panic(&filter.Error{Cause: cause, Err: fmt.Errorf("%s: %w", s.function, errors.New(text))})
}

// bytes returns the guest's memory at ptr, and charges for processing it. The result is valid
// until the guest runs again.
func (s *State) bytes(m api.Memory, ptr, n uint64) []byte {
	b := s.memory(m, ptr, n)
	s.payBytes(len(b))
	return b
}

// memory is bytes for memory that is only written, and perhaps only in part.
func (s *State) memory(m api.Memory, ptr, n uint64) []byte {
	b, ok := m.Read(uint32(ptr), uint32(n))
	if !ok {
		s.fail(auditrelay.CauseProtocol, fmt.Sprintf("%d bytes at %d lie outside the guest's memory", uint32(n), uint32(ptr)))
	}
	return b
}

// buffer ends the call if a buffer is outside the guest's memory, even if there is nothing to
// write, so that a wrong buffer is detected at once.
func (s *State) buffer(m api.Memory, buf, capacity uint64) {
	if uint32(capacity) > 0 || uint32(buf) > 0 {
		s.memory(m, buf, capacity)
	}
}

// answer writes b to the guest's buffer and returns its length. It writes nothing if b is
// longer than the buffer. The caller must have checked the buffer.
func (s *State) answer(m api.Memory, a []uint64, buf, capacity uint64, b []byte) {
	if len(b) <= int(uint32(capacity)) {
		s.payBytes(len(b))
		m.Write(uint32(buf), b)
	}
	result(a, int32(len(b)))
}

// node resolves a handle. It returns false for a negative handle, which a failed find returns,
// and for a removed node.
func (s *State) node(handle uint64) (*document.Document, document.Node, bool) {
	n := int32(uint32(handle))
	if n < 0 {
		return nil, document.None, false
	}
	if n&configNode != 0 {
		n &^= configNode
		if len(s.policy.Config) == 0 || s.config.Kind(document.Node(n)) == document.Absent {
			return nil, document.None, false
		}
		return &s.config, document.Node(n), true
	}
	if s.doc == nil {
		s.fail(auditrelay.CauseProtocol, "there is no event to look at")
	}
	if s.doc.Kind(document.Node(n)) == document.Absent {
		return nil, document.None, false
	}
	return s.doc, document.Node(n), true
}

// handle is the inverse of node.
func (s *State) handle(d *document.Document, n document.Node) int32 {
	if n == document.None {
		return Absent
	}
	if d == &s.config {
		return int32(n) | configNode
	}
	return int32(n)
}

func (s *State) path(handle uint64) *path {
	i := int(int32(uint32(handle))) - 1
	if i < 0 || i >= len(s.paths) {
		s.fail(auditrelay.CauseProtocol, "not a path: its handle was not given out by path")
	}
	return &s.paths[i]
}

func (s *State) regex(handle uint64) *expression {
	i := int(int32(uint32(handle))) - regexHandle - 1
	if i < 0 || i >= len(s.regexes) {
		s.fail(auditrelay.CauseProtocol, "not a regular expression: its handle was not given out by regex")
	}
	return s.regexes[i]
}

// text copies a text of the guest, cut to the limit and made valid UTF-8.
func (s *State) text(b []byte) string {
	if len(b) > s.policy.TextBytes {
		b = redaction.Shorten(b[:s.policy.TextBytes], s.policy.TextBytes)
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}

func result(a []uint64, v int32) { a[0] = api.EncodeI32(v) }

func truth(a []uint64, v bool) {
	a[0] = 0
	if v {
		a[0] = 1
	}
}
