package hostfuncs

import (
	"github.com/tetratelabs/wazero/api"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/internal/query"
)

func find(s *State, _ api.Memory, a []uint64) {
	result(a, int32(s.doc.Find(s.path(a[0]).Path)))
}

// each returns the next match after previous, in the document of previous. A negative previous
// starts in the event's document.
func each(s *State, _ api.Memory, a []uint64) {
	p := s.path(a[0]).Path
	d, previous := s.doc, document.None
	if int32(uint32(a[1])) >= 0 {
		var ok bool
		if d, previous, ok = s.node(a[1]); !ok {
			s.fail(auditrelay.CauseProtocol, "previous is no node")
		}
	}
	if d == nil {
		s.fail(auditrelay.CauseProtocol, "there is no event to look at")
	}
	result(a, s.handle(d, d.Each(p, previous)))
}

func child(s *State, _ api.Memory, a []uint64) {
	d, n, ok := s.node(a[0])
	if !ok {
		result(a, Absent)
		return
	}
	previous := document.None
	if p := int32(uint32(a[1])); p >= 0 {
		previous = document.Node(p &^ configNode)
	}
	result(a, s.handle(d, d.Child(n, previous)))
}

func length(s *State, _ api.Memory, a []uint64) {
	d, n, ok := s.node(a[0])
	if !ok {
		result(a, Absent)
		return
	}
	result(a, int32(d.Len(n)))
}

func kind(s *State, _ api.Memory, a []uint64) {
	d, n, ok := s.node(a[0])
	if !ok {
		result(a, int32(document.Absent))
		return
	}
	result(a, int32(d.Kind(n)))
}

func key(s *State, m api.Memory, a []uint64) {
	s.buffer(m, a[1], a[2])
	d, n, ok := s.node(a[0])
	if !ok {
		result(a, Absent)
		return
	}
	s.scratch = d.AppendKey(s.scratch[:0], n)
	s.answer(m, a, a[1], a[2], s.scratch)
}

func get(s *State, m api.Memory, a []uint64) {
	s.buffer(m, a[1], a[2])
	d, n, ok := s.node(a[0])
	if !ok {
		result(a, Absent)
		return
	}
	s.scratch = d.AppendJSON(s.scratch[:0], n)
	s.answer(m, a, a[1], a[2], s.scratch)
}

func getString(s *State, m api.Memory, a []uint64) {
	s.buffer(m, a[1], a[2])
	d, n, ok := s.node(a[0])
	if !ok {
		result(a, Absent)
		return
	}
	if s.scratch, ok = d.AppendString(s.scratch[:0], n); !ok {
		result(a, WrongKind)
		return
	}
	s.answer(m, a, a[1], a[2], s.scratch)
}

// is reports whether the first match is a string with the given content.
func is(s *State, m api.Memory, a []uint64) {
	want := s.bytes(m, a[1], a[2])
	n := s.doc.Find(s.path(a[0]).Path)
	if n == document.None {
		truth(a, false)
		return
	}
	truth(a, s.doc.Is(n, want))
}

func matches(s *State, _ api.Memory, a []uint64) {
	r := s.regex(a[1])
	d, n, ok := s.node(a[0])
	if !ok {
		result(a, Absent)
		return
	}
	if s.scratch, ok = d.AppendString(s.scratch[:0], n); !ok {
		result(a, WrongKind)
		return
	}
	start, _ := r.find(s, s.scratch, 0)
	truth(a, start >= 0)
}

// queryEvent returns the JSON of a query's result.
func queryEvent(s *State, m api.Memory, a []uint64) {
	text := s.bytes(m, a[0], a[1])
	s.buffer(m, a[2], a[3])
	if len(text) > query.MaxBytes {
		result(a, TooLarge)
		return
	}
	q, err := query.Parse(string(text))
	if err != nil {
		s.fail(auditrelay.CauseProtocol, err.Error())
	}
	s.scratch = s.doc.Append(s.scratch[:0])
	s.payWork()
	s.prepay(q.Cost(len(s.scratch)))
	found, ok := q.GetAtPace(s.scratch, s.glimpse)
	if !ok {
		result(a, Absent)
		return
	}
	s.answer(m, a, a[2], a[3], found)
}
