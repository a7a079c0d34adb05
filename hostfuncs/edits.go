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

// editCost is the cost of an edit besides its bytes, since the host keeps a record of it until
// the event is done.
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
	edits // the number of kinds plus one
)

// operations are the kinds of edits with their names in receipts.
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

// one applies an edit to the node of a handle. If the node is absent, or was removed together
// with a node that contained it, there is nothing to edit and the guest gets a status. Anything
// else that prevents the edit ends the call.
func (s *State) one(a []uint64, handle uint64, e edit, arg []byte, number int) {
	n, ok := s.editable(handle)
	if !ok {
		result(a, Absent)
		return
	}
	result(a, s.edit(n, e, arg, number))
}

// edit edits one node and returns the status for the guest.
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

// editable returns the node of a handle in the event's document.
func (s *State) editable(handle uint64) (document.Node, bool) {
	d, n, ok := s.node(handle)
	if ok && d != s.doc {
		s.fail(auditrelay.CauseProtocol, "the configuration cannot be edited")
	}
	return n, ok
}

// keptMatches is the maximum number of matches for which a State keeps memory between calls.
const keptMatches = 1 << 12

// all applies an edit to every match of a path and returns their number. It finds all matches
// before the first edit. So it does not edit what an edit inserted, and does not count a match
// that an earlier edit removed.
func (s *State) all(a []uint64, handle uint64, e edit, arg []byte, number int) {
	count := s.each(handle, operations[e].name, func(n document.Node) bool { return s.apply(e, n, arg, number) >= 0 })
	if count > 0 {
		s.record.path(byte(e), handle)
		s.record.edit(e, arg, number, s.glimpse)
	}
	result(a, count)
}

// each calls change for every match of a path, as all does, and returns the number of changes.
// It ends the call if an edit of a match is not granted.
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
	s.places.Reset() // a path's edits may have deleted nodes anywhere
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

// charge counts the bytes of one event's edits.
func (s *State) charge(n int) {
	if s.edited += n + editCost; s.edited > s.policy.EditBytes {
		s.fail(auditrelay.CauseRejectedOutput, fmt.Sprintf("the edits of one event come to more than %d bytes", s.policy.EditBytes))
	}
}

// bound ends the call if the edits in their written form exceed their limit. In eight nested
// strings a quote takes 256 bytes.
func (s *State) bound() {
	if s.doc.Given()-s.given > s.policy.EditBytes {
		s.fail(auditrelay.CauseRejectedOutput, fmt.Sprintf("the edits of one event come to more than %d bytes, as they are written", s.policy.EditBytes))
	}
}

const (
	notAsked   = "the module's manifest does not ask to write here"
	notGranted = "grants.write does not reach here"
)

// allow ends the call if the module did not request an edit of n or the operator did not grant
// it. The error does not contain the path, since its keys belong to the event.
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

// shorten is redaction.Shorten in pieces.
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

// doPseudonym replaces a string by its pseudonym, and any other value by the pseudonym of its
// JSON text. null and the empty string do not change.
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

// key returns the name of a key if the module may use it. Otherwise it ends the call.
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

// number converts an argument to a count. A negative number becomes 0.
func number(v uint64) int { return max(0, min(int(int32(uint32(v))), math.MaxInt32)) }

// put adds one new key to an object, after the others.
func put(s *State, m api.Memory, a []uint64) {
	name, raw := s.bytes(m, a[1], a[2]), s.bytes(m, a[3], a[4])
	parent, ok := s.editable(a[0])
	if !ok {
		result(a, Absent)
		return
	}
	result(a, s.put(parent, name, raw))
}

// put adds one new key to an object and returns the status for the guest.
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
