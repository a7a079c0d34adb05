package hostfuncs

import (
	"errors"
	"fmt"
	"math"

	"github.com/tetratelabs/wazero/api"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/internal/redaction"
)

// editCost is what an edit counts for beside the bytes that it hands over: the
// host keeps a record of it until the event is done.
const editCost = 16

// edit is a kind of change to one node.
type edit byte

const (
	editJSON edit = iota + 1
	editString
	editDelete
	editMask
	editTruncate
	editPartial
	editPseudonym
	edits // how many there are, and one
)

// operations are what edits do, and how receipts call it.
var operations = [edits]struct {
	name string
	do   func(s *State, n document.Node, arg []byte, number int) error
}{
	editJSON:      {"set", doJSON},
	editString:    {"set", doString},
	editDelete:    {"remove", doDelete},
	editMask:      {"mask", doMask},
	editTruncate:  {"truncate", doTruncate},
	editPartial:   {"partial", doPartial},
	editPseudonym: {"hmac", doPseudonym},
}

// one applies an edit to the node that a handle names. What is absent, or gone
// with something above it, is nothing to edit and is told; everything else that
// keeps an edit from being made ends the call.
func (s *State) one(a []uint64, handle uint64, e edit, arg []byte, number int) {
	n, ok := s.editable(handle)
	if !ok {
		result(a, Absent)
		return
	}
	result(a, s.edit(n, e, arg, number))
}

// edit makes an edit of one node and returns its status.
func (s *State) edit(n document.Node, e edit, arg []byte, number int) int32 {
	s.allow(n)
	place := s.place(n)
	s.record.node(byte(e), s.where(n))
	status := s.apply(e, n, arg, number)
	if status == 0 {
		s.record.edit(e, arg, number, s.glimpse)
		s.touch(place, operations[e].name, 1)
	} else {
		s.record.undo()
	}
	return status
}

// editable resolves the handle of a node of the event.
func (s *State) editable(handle uint64) (document.Node, bool) {
	d, n, ok := s.node(handle)
	if ok && d != s.doc {
		s.fail(auditrelay.CauseProtocol, "the configuration cannot be edited")
	}
	return n, ok
}

// keptMatches is how many matches a State keeps room for from call to call.
const keptMatches = 1 << 12

// all applies an edit to every match of a path and counts them. The matches are
// those before the first edit: what an edit puts in is not edited again, and what
// goes with another is not counted.
func (s *State) all(a []uint64, handle uint64, e edit, arg []byte, number int) {
	count := s.each(handle, operations[e].name, func(n document.Node) bool { return s.apply(e, n, arg, number) >= 0 })
	if count > 0 {
		s.record.path(byte(e), handle)
		s.record.edit(e, arg, number, s.glimpse)
	}
	result(a, count)
}

// each calls change with every match of a path that may be edited, as all has it, and
// returns how many it changed.
func (s *State) each(handle uint64, operation string, change func(n document.Node) bool) int32 {
	p := s.path(handle)
	found := s.matches[:0]
	for n := s.doc.Each(p.Path, document.None); n != document.None; n = s.doc.Each(p.Path, n) {
		found = append(found, n)
		s.payWork()
	}
	count := int32(0)
	for _, n := range found {
		if s.doc.Kind(n) == document.Absent {
			continue
		}
		if !p.granted {
			s.allow(n)
		}
		if change(n) {
			count++
		}
		s.payWork()
	}
	s.places.Reset() // what a path deleted may lie anywhere
	s.touch(p.text, operation, int(count))
	if s.matches = found; cap(found) > keptMatches {
		s.matches = nil
	}
	return count
}

// apply makes the edit and returns its status.
func (s *State) apply(e edit, n document.Node, arg []byte, number int) int32 {
	s.charge(len(arg))
	s.prepay(unitsEdit + len(arg)/bytesPerEdit)
	err := operations[e].do(s, n, arg, number)
	switch {
	case err == nil:
		s.bound()
		return 0
	case errors.Is(err, document.ErrDeleted), errors.Is(err, document.ErrNoNode):
		return Absent
	case errors.Is(err, errWrongKind):
		return WrongKind
	}
	s.fail(auditrelay.CauseRejectedOutput, err.Error())
	return Absent
}

var errWrongKind = errors.New("the node is of another kind")

// charge counts what edits hand over in one event.
func (s *State) charge(n int) {
	if s.edited += n + editCost; s.edited > s.policy.EditBytes {
		s.fail(auditrelay.CauseRejectedOutput, fmt.Sprintf("the edits of one event come to more than %d bytes", s.policy.EditBytes))
	}
}

// bound ends the call where the edits, as they will be written, come to more than they may.
// A string in eight strings takes 256 bytes for each quote.
func (s *State) bound() {
	if s.doc.Given()-s.given > s.policy.EditBytes {
		s.fail(auditrelay.CauseRejectedOutput, fmt.Sprintf("the edits of one event come to more than %d bytes, as they are written", s.policy.EditBytes))
	}
}

const (
	notAsked   = "the module's manifest does not ask to write here"
	notGranted = "grants.write does not reach here"
)

// allow ends the call where n lies outside what the module asked for or the
// operator granted. The path is not told: its keys are the event's.
func (s *State) allow(n document.Node) {
	if !s.covers(s.policy.Asked, s.doc, n) {
		s.fail(auditrelay.CauseRejectedOutput, notAsked)
	}
	if !s.covers(s.policy.Granted, s.doc, n) {
		s.fail(auditrelay.CauseRejectedOutput, notGranted)
	}
}

func (s *State) covers(paths []*document.Path, d *document.Document, n document.Node) bool {
	s.pay(unitsCover * len(paths))
	for _, p := range paths {
		covered := p.Covers(d, n)
		s.payWork()
		if covered {
			return true
		}
	}
	return false
}

func doJSON(s *State, n document.Node, raw []byte, _ int) error { return s.doc.SetJSON(n, raw) }

func doString(s *State, n document.Node, v []byte, _ int) error { return s.doc.SetString(n, v) }

func doDelete(s *State, n document.Node, _ []byte, _ int) error { return s.doc.Delete(n) }

func doMask(s *State, n document.Node, _ []byte, _ int) error {
	s.value = append(s.value[:0], redaction.Mask...)
	return s.doc.SetString(n, s.value)
}

func doTruncate(s *State, n document.Node, _ []byte, number int) error {
	v, ok := s.doc.AppendString(s.value[:0], n)
	s.value = v
	if !ok {
		return errWrongKind
	}
	short := s.shorten(v, number)
	if len(short) == len(v) {
		return nil
	}
	s.charge(len(short))
	return s.doc.SetString(n, short)
}

// shorten is redaction.Shorten, piece by piece.
func (s *State) shorten(v []byte, n int) []byte {
	const most = 64 << 10 // characters
	end := 0
	for ; n > 0 && end < len(v); n -= most {
		end += len(redaction.Shorten(v[end:], min(n, most)))
		s.glance()
	}
	return v[:end]
}

// doPartial keeps the last characters of a string, as redaction.AppendPartial does.
func doPartial(s *State, n document.Node, _ []byte, number int) error {
	v, ok := s.doc.AppendString(s.value[:0], n)
	s.value = v
	switch {
	case !ok:
		return errWrongKind
	case len(v) == 0:
		return nil
	}
	s.glance()
	s.scratch = redaction.AppendPartial(s.scratch[:0], v, number, s.glimpse)
	s.charge(len(s.scratch))
	return s.doc.SetString(n, s.scratch)
}

// doPseudonym replaces a string by its pseudonym, and any other value by that
// of its JSON text. null stays null, as empty stays empty.
func doPseudonym(s *State, n document.Node, key []byte, _ int) error {
	v, ok := s.doc.AppendString(s.value[:0], n)
	switch {
	case ok:
	case s.doc.Kind(n) == document.Null:
		return nil
	default:
		v = s.doc.AppendJSON(v[:0], n)
	}
	s.value = v
	if len(v) == 0 {
		return nil
	}
	s.pay(unitsHMAC + len(v))
	if s.Pseudonym != nil {
		s.scratch = s.Pseudonym(s.scratch[:0], string(key), v)
	} else {
		s.scratch = s.keys[string(key)].Append(s.scratch[:0], v)
	}
	s.charge(len(s.scratch))
	return s.doc.SetString(n, s.scratch)
}

// key checks that the module may use the key of this name.
func (s *State) key(name []byte) []byte {
	if s.keys[string(name)] == nil {
		s.fail(auditrelay.CauseRejectedOutput, "no such key, or not granted to this module (manifest keys and grants.keys)")
	}
	return name
}

func setJSON(s *State, m api.Memory, a []uint64) {
	s.one(a, a[0], editJSON, s.bytes(m, a[1], a[2]), 0)
}

func setString(s *State, m api.Memory, a []uint64) {
	s.one(a, a[0], editString, s.bytes(m, a[1], a[2]), 0)
}

func deleteNode(s *State, _ api.Memory, a []uint64) { s.one(a, a[0], editDelete, nil, 0) }

func mask(s *State, _ api.Memory, a []uint64) { s.one(a, a[0], editMask, nil, 0) }

func truncate(s *State, _ api.Memory, a []uint64) {
	s.one(a, a[0], editTruncate, nil, number(a[1]))
}

func pseudonym(s *State, m api.Memory, a []uint64) {
	s.one(a, a[0], editPseudonym, s.key(s.bytes(m, a[1], a[2])), 0)
}

func setJSONAll(s *State, m api.Memory, a []uint64) {
	s.all(a, a[0], editJSON, s.bytes(m, a[1], a[2]), 0)
}

func setStringAll(s *State, m api.Memory, a []uint64) {
	s.all(a, a[0], editString, s.bytes(m, a[1], a[2]), 0)
}

func deleteAll(s *State, _ api.Memory, a []uint64) { s.all(a, a[0], editDelete, nil, 0) }

func maskAll(s *State, _ api.Memory, a []uint64) { s.all(a, a[0], editMask, nil, 0) }

func partial(s *State, _ api.Memory, a []uint64) {
	s.one(a, a[0], editPartial, nil, number(a[1]))
}

func partialAll(s *State, _ api.Memory, a []uint64) {
	s.all(a, a[0], editPartial, nil, number(a[1]))
}

func truncateAll(s *State, _ api.Memory, a []uint64) {
	s.all(a, a[0], editTruncate, nil, number(a[1]))
}

func pseudonymAll(s *State, m api.Memory, a []uint64) {
	s.all(a, a[0], editPseudonym, s.key(s.bytes(m, a[1], a[2])), 0)
}

// number reads a count; a negative one is none.
func number(v uint64) int { return max(0, min(int(int32(uint32(v))), math.MaxInt32)) }

// put gives an object one new key, its last.
func put(s *State, m api.Memory, a []uint64) {
	name, raw := s.bytes(m, a[1], a[2]), s.bytes(m, a[3], a[4])
	parent, ok := s.editable(a[0])
	if !ok {
		result(a, Absent)
		return
	}
	result(a, s.put(parent, name, raw))
}

// put gives an object one new key and returns the status.
func (s *State) put(parent document.Node, name, raw []byte) int32 {
	if !s.coversKey(s.policy.Asked, s.doc, parent, name) {
		s.fail(auditrelay.CauseRejectedOutput, notAsked)
	}
	if !s.coversKey(s.policy.Granted, s.doc, parent, name) {
		s.fail(auditrelay.CauseRejectedOutput, notGranted)
	}
	s.charge(len(name) + len(raw))
	s.prepay(unitsEdit + (len(name)+len(raw))/bytesPerEdit)
	place := s.place(parent)
	s.record.node(recordPut, s.where(parent))
	err := s.doc.Put(parent, name, raw)
	if err == nil {
		s.bound()
		s.record.bytes(name, s.glimpse)
		s.record.bytes(raw, s.glimpse)
		s.touch(place, "put", 1)
		return 0
	}
	s.record.undo()
	switch {
	case errors.Is(err, document.ErrKeyExists):
		return Exists
	case errors.Is(err, document.ErrNotObject):
		return WrongKind
	}
	s.fail(auditrelay.CauseRejectedOutput, err.Error())
	return Absent
}

func (s *State) coversKey(paths []*document.Path, d *document.Document, n document.Node, key []byte) bool {
	s.pay(unitsCover * len(paths))
	for _, p := range paths {
		covered := p.CoversKey(d, n, key)
		s.payWork()
		if covered {
			return true
		}
	}
	return false
}
