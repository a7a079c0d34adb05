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

// regexHandle marks the handles of regular expressions, so that one taken for a
// path is found out. Handles of either kind start at 1: a variable that was
// never set names nothing.
const regexHandle = 1 << 16

// State is the host's side of one instance. It is itself the context of every
// call into the guest, since that is the cheapest way for a host function to
// find it. It belongs to one goroutine at a time.
type State struct {
	context.Context
	policy   *Policy
	tank     tank
	turn     Turn
	function string // the host function that runs, for the text of a failure

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
	given     int // what earlier filters' edits gave the document
	worked    int // what of the documents' work has been paid
	reason    string

	clock  uint64 // nanoseconds of the virtual monotonic clock
	marked uint64 // the clock when Mark was called
	random rand.ChaCha8

	// Say takes the lines that the guest logs; text makes one that can be kept. Nil:
	// Policy.Log does.
	Say func(level slog.Level, text func() string)
	// Pseudonym appends the pseudonym of a value under one of the policy's keys, where
	// this process has their names alone. Nil: it has the keys.
	Pseudonym func(dst []byte, key string, value []byte) []byte

	// Reserve takes so many bytes of the instance's memory for what the host keeps on
	// its behalf, and reports whether they are there. Nil: there is no bound.
	Reserve func(n int) bool
	seeded  bool
	watch   func()     // watched
	glimpse func()     // glance
	record  *recording // nil where nobody wants to know
	output  [2][]byte  // the lines that stdout and stderr have begun
}

type path struct {
	*document.Path
	text    string // as the module wrote it
	granted bool   // named in both lists as it stands: no node needs a look
}

// NewState returns the state of an instance that is about to start. ctx carries
// what the whole instance shares; its end is the instance's.
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

// Value implements context.Context. What the engine asks the context of a call into
// the guest for is wanted at the start alone; it asks at every call, and the way up
// the chain of contexts would cost more than the call itself.
func (s *State) Value(key any) any {
	if s.turn != AtInit {
		return nil
	}
	return s.Context.Value(key)
}

// Rewind returns the state to what it was when Mark was called, so that the next
// event finds nothing of this one.
func (s *State) Rewind() { s.clock = s.marked }

// Mark keeps what Rewind goes back to.
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

// Commit hands what the guest emitted, edited and said to the call, and adds what it
// counted, after a verdict.
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

// keptBytes is how much room for texts a State keeps from call to call.
const keptBytes = 1 << 20

// End takes the event from the guest's sight, and lets go of it.
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

// Reason returns what the guest gave as its reason, or said with fail; the text
// is the guest's own, of at most Policy.TextBytes bytes.
func (s *State) Reason() string { return s.reason }

// fail ends the guest's call as a failure. The text names the function and
// never repeats what the guest handed over.
func (s *State) fail(cause auditrelay.Cause, text string) {
	panic(&filter.Error{Cause: cause, Err: fmt.Errorf("%s: %w", s.function, errors.New(text))})
}

// bytes returns the guest's memory at ptr, valid until the guest runs on, and
// charges for what is then done with it.
func (s *State) bytes(m api.Memory, ptr, n uint64) []byte {
	b := s.memory(m, ptr, n)
	s.payBytes(len(b))
	return b
}

// memory is bytes for memory that is only written to, and not all of it.
func (s *State) memory(m api.Memory, ptr, n uint64) []byte {
	b, ok := m.Read(uint32(ptr), uint32(n))
	if !ok {
		s.fail(auditrelay.CauseProtocol, fmt.Sprintf("%d bytes at %d lie outside the guest's memory", uint32(n), uint32(ptr)))
	}
	return b
}

// buffer ends the call where a buffer lies outside the guest's memory, whatever
// there would be to write: a wrong one is found out at once.
func (s *State) buffer(m api.Memory, buf, capacity uint64) {
	if uint32(capacity) > 0 || uint32(buf) > 0 {
		s.memory(m, buf, capacity)
	}
}

// answer writes b to the guest's buffer and returns its length; nothing is
// written where it is longer than the buffer, which has been looked at.
func (s *State) answer(m api.Memory, a []uint64, buf, capacity uint64, b []byte) {
	if len(b) <= int(uint32(capacity)) {
		s.payBytes(len(b))
		m.Write(uint32(buf), b)
	}
	result(a, int32(len(b)))
}

// node resolves a handle. A handle that is negative, as a failed find returns
// it, is absent; so is one whose node is gone.
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

// text copies a text of the guest's, cut to the limit and made valid UTF-8.
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
