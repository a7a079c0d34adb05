package hostfuncs

import (
	"bytes"

	"github.com/tetratelabs/wazero/api"

	"auditrelay"
	"auditrelay/document"
)

func eventLen(s *State, _ api.Memory, a []uint64) { result(a, int32(len(s.whole()))) }

func eventRead(s *State, m api.Memory, a []uint64) {
	s.buffer(m, a[0], a[1])
	s.answer(m, a, a[0], a[1], s.whole())
}

// whole returns the event with its edits, valid until the next call.
func (s *State) whole() []byte {
	if !s.doc.Edited() {
		return s.doc.Data()
	}
	s.scratch = s.doc.Append(s.scratch[:0])
	return s.scratch
}

// eventReplace replaces the whole document. It checks the new document like an event. The new
// document may differ only where the guest may edit.
func eventReplace(s *State, m api.Memory, a []uint64) {
	s.replace(s.bytes(m, a[0], a[1]))
	result(a, 0)
}

func (s *State) replace(raw []byte) {
	s.charge(len(raw))
	s.prepay(2 * len(raw)) // for the check and a copy
	if err := document.CheckAtPace(raw, s.policy.Document, s.glimpse); err != nil {
		s.fail(auditrelay.CauseRejectedOutput, err.Error())
	}
	if !s.policy.writesAll() {
		s.prepay(4 * (len(raw) + len(s.doc.Data()))) // for the index and the comparison of members
		s.replaced.Reset(raw)
		s.replaced.Watch(watchedWork, s.glimpse)
		s.compare(document.Root, document.Root)
		s.replaced.Reset(nil) // releases the guest's memory
	}
	if err := s.doc.ReplaceChecked(raw); err != nil {
		s.fail(auditrelay.CauseRejectedOutput, err.Error())
	}
	s.places.Reset()
	s.record.code(recordReplace)
	s.record.bytes(raw, s.glimpse)
	s.touch("**", "replace", 1)
}

// compare ends the call if the value at n differs from the value at r in the replacement and
// the guest may not write there. It compares objects by members in any order, and arrays by
// index. If a string holds JSON on both sides, it compares the JSON.
func (s *State) compare(n, r document.Node) {
	if s.may(s.doc, n) {
		return
	}
	inner := s.doc.Child(n, document.None)
	if s.doc.Kind(n) != s.replaced.Kind(r) || inner == document.None && s.replaced.Child(r, document.None) == document.None {
		if !s.same(n, r) {
			s.allow(n)
		}
		return
	}
	next := make(map[string]document.Node)
	for c := s.replaced.Child(r, document.None); c != document.None; c = s.replaced.Child(r, c) {
		s.pay(unitsCall) // for a map entry
		s.value = s.replaced.AppendKey(s.value[:0], c)
		// JSON in a string may contain a key twice, and both would be sent.
		if before, twice := next[string(s.value)]; twice {
			s.allowAdded(before)
		}
		next[string(s.value)] = c
	}
	for c := inner; c != document.None; c = s.doc.Child(n, c) {
		s.value = s.doc.AppendKey(s.value[:0], c)
		if with, ok := next[string(s.value)]; ok {
			delete(next, string(s.value))
			s.compare(c, with)
		} else {
			s.allow(c)
		}
	}
	for _, c := range next {
		s.allowAdded(c)
	}
}

// allowAdded ends the call if the replacement has a new member that the guest may not write.
func (s *State) allowAdded(r document.Node) {
	if !s.may(&s.replaced, r) {
		s.fail(auditrelay.CauseRejectedOutput, "the replacement adds what the manifest's writes or grants.write do not reach")
	}
}

func (s *State) may(d *document.Document, n document.Node) bool {
	return s.covers(s.policy.Asked, d, n) && s.covers(s.policy.Granted, d, n)
}

// same compares two scalars, or values of different kinds, by their text.
func (s *State) same(n, r document.Node) bool {
	s.scratch = s.doc.AppendJSON(s.scratch[:0], n)
	s.value = s.replaced.AppendJSON(s.value[:0], r)
	return bytes.Equal(s.scratch, s.value)
}
