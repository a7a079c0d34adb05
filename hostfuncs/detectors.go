package hostfuncs

import (
	"fmt"
	"strings"

	"github.com/tetratelabs/wazero/api"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/internal/detect"
	"auditrelay/internal/redaction"
	"auditrelay/internal/shape"
)

// detectorHandle marks the handles of detectors, as regexHandle marks those of regular
// expressions.
const detectorHandle = 1 << 17

// unitsDetect is the cost of one byte for detectors, measured with text that triggers them as
// often as possible (BenchmarkHostile of internal/detect).
const unitsDetect = 400

// The operations of redact_matches.
const (
	matchMask   = 1 // replaces a match by redaction.Mask
	matchRemove = 2 // deletes a match
)

// internDetector selects detectors by name or group. Commas separate several.
func internDetector(s *State, m api.Memory, a []uint64) {
	text := string(s.bytes(m, a[0], a[1]))
	if len(text) > regexBytes {
		s.fail(auditrelay.CauseInit, fmt.Sprintf("longer than %d bytes", regexBytes))
	}
	s.pay(unitsCompile * len(text))
	if len(s.detectors) == s.policy.Regexes {
		s.fail(auditrelay.CauseInit, fmt.Sprintf("more than %d detectors", s.policy.Regexes))
	}
	names := strings.Split(text, ",")
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
	}
	set, err := s.policy.Detectors.Set(names...)
	if err != nil {
		s.fail(auditrelay.CauseInit, err.Error())
	}
	s.reserve(detectorBytes)
	s.detectors = append(s.detectors, set)
	result(a, int32(len(s.detectors))+detectorHandle)
}

func (s *State) detector(handle uint64) *detect.Set {
	i := int64(int32(uint32(handle))) - detectorHandle
	if i < 1 || i > int64(len(s.detectors)) {
		s.fail(auditrelay.CauseProtocol, "no detector has this handle")
	}
	return s.detectors[i-1]
}

// text appends the text of a node for detectors: a string's characters, or a number as written.
func text(dst []byte, d *document.Document, n document.Node) ([]byte, bool) {
	switch d.Kind(n) {
	case document.String:
		return d.AppendString(dst, n)
	case document.Number:
		return d.AppendJSON(dst, n), true
	}
	return dst, false
}

// detects reports whether a detector finds something in a string or number. The key of the
// value counts too.
func detects(s *State, _ api.Memory, a []uint64) {
	set := s.detector(a[1])
	d, n, ok := s.node(a[0])
	if !ok {
		result(a, Absent)
		return
	}
	if s.value, ok = text(s.value[:0], d, n); !ok {
		result(a, WrongKind)
		return
	}
	s.prepay(unitsDetect * len(s.value))
	truth(a, set.DetectsAtPace(s.value, s.near(d, n), s.glimpse))
}

// near returns the name of the key of a value, or the name beside it in a pair.
func (s *State) near(d *document.Document, n document.Node) detect.Name {
	return shape.Name(s.policy.Detectors, d, n)
}

// redactMatches masks or removes the matches of a regular expression or detector inside a
// string, and returns their number. A number with a match is masked as a whole.
func redactMatches(s *State, _ api.Memory, a []uint64) {
	operation := s.matchOperation(a[2])
	n, ok := s.editable(a[0])
	if !ok {
		s.knownMatcher(a[1])
		result(a, Absent)
		return
	}
	s.allow(n)
	place := s.place(n)
	s.record.node(recordMatches, s.where(n))
	s.record.number(operation)
	count := s.redact(n, a[1], operation)
	if count > 0 {
		s.touch(place, matchName(operation), 1)
	} else {
		s.record.undo()
	}
	result(a, count)
}

// redactMatchesAll is redactMatches for every match of a path. It returns the number of changed
// values.
func redactMatchesAll(s *State, _ api.Memory, a []uint64) {
	operation := s.matchOperation(a[2])
	s.knownMatcher(a[1])
	s.record.path(recordMatches, a[0])
	s.record.number(operation)
	count := s.each(a[0], matchName(operation), func(n document.Node) bool { return s.redact(n, a[1], operation) > 0 })
	if count == 0 {
		s.record.undo()
	}
	result(a, count)
}

func (s *State) matchOperation(v uint64) int {
	if v = uint64(uint32(v)); v != matchMask && v != matchRemove {
		s.fail(auditrelay.CauseProtocol, "no such operation: 1 masks, 2 removes")
	}
	return int(v)
}

func matchName(operation int) string {
	if operation == matchRemove {
		return "remove_matches"
	}
	return "mask_matches"
}

func (s *State) knownMatcher(handle uint64) {
	if uint32(handle) >= detectorHandle {
		s.detector(handle)
		return
	}
	s.regex(handle)
}

// redact returns the number of findings that it replaced in n, or WrongKind.
func (s *State) redact(n document.Node, handle uint64, operation int) int32 {
	var ok bool
	if s.value, ok = text(s.value[:0], s.doc, n); !ok {
		s.knownMatcher(handle)
		s.record.findings(nil)
		return WrongKind
	}
	s.findings = s.findings[:0]
	if uint32(handle) >= detectorHandle {
		set := s.detector(handle)
		s.prepay(unitsDetect * len(s.value))
		s.findings = set.AppendAtPace(s.findings, s.value, s.near(s.doc, n), s.glimpse)
	} else {
		s.findings = s.regex(handle).appendAll(s.findings, s, s.value)
	}
	s.pay(unitsFinding * len(s.findings))
	s.record.findings(s.findings)
	return s.redactFound(n, operation)
}

// redactFound replaces s.findings in s.value, the text of n, and returns their number.
func (s *State) redactFound(n document.Node, operation int) int32 {
	if len(s.findings) == 0 {
		return 0
	}
	count := int32(len(s.findings))
	if s.doc.Kind(n) == document.Number {
		s.findings = append(s.findings[:0], detect.Finding{End: len(s.value)})
	}
	s.scratch = s.scratch[:0]
	last := 0
	for _, f := range s.findings {
		s.scratch = append(s.scratch, s.value[last:f.Start]...)
		if operation == matchMask {
			s.scratch = append(s.scratch, redaction.Mask...)
		}
		last = f.End
	}
	s.scratch = append(s.scratch, s.value[last:]...)
	s.charge(len(s.scratch))
	s.pay(unitsEdit + len(s.scratch)/bytesPerUnit)
	if err := s.doc.SetString(n, s.scratch); err != nil {
		s.fail(auditrelay.CauseRejectedOutput, err.Error())
	}
	s.bound()
	return count
}
