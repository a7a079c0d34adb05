package verify

import (
	"fmt"
	"maps"
	"slices"

	"auditrelay/internal/proof"
)

// Interpret reads the entries of a log. A nil entry is lost or erased. It checks completeness
// from the sequence from on, counts the outcomes and adds the faults to the report. before
// returns the entries of the log of an earlier incarnation, or nil if that log is missing.
func (r *Report) Interpret(origin string, entries [][]byte, from uint64, before func(origin string) [][]byte) (first, last uint64, withheld [][2]uint64) {
	l := &log{origin: origin, named: origin, entries: entries, first: from, outcomes: map[uint64]proof.Outcome{}}
	r.interpret(l)
	earlier := map[string]*log{}
	r.completeness(l, func(origin string) *log {
		if _, ok := earlier[origin]; !ok {
			earlier[origin] = nil
			if entries := before(origin); entries != nil {
				b := &log{origin: origin, named: origin, entries: entries, outcomes: map[uint64]proof.Outcome{}}
				(&Report{Outcomes: map[string]uint64{}}).interpret(b) // the faults of that log are reported separately
				earlier[origin] = b
			}
		}
		return earlier[origin]
	})
	return l.stated()
}

// states reports whether the log states a sequence. unknown: it may do so in a withheld entry.
func (l *log) states(sequence uint64) (stated, unknown bool) {
	if _, ok := l.outcomes[sequence]; ok {
		return true, false
	}
	return slices.ContainsFunc(l.ranges, func(r proof.Range) bool { return r.From <= sequence && sequence < r.To }), l.holes
}

// maxLives limits how many earlier incarnations of a journal are examined.
const maxLives = 1000

// earlier reports whether the log of an earlier incarnation states a sequence: a log begins at
// the first event without an outcome, and later events may already have had one. unknown: that
// log is missing or incomplete.
func (l *log) earlier(sequence uint64, before func(origin string) *log) (stated, unknown bool) {
	for range maxLives {
		if l.begin.Previous == "" {
			return false, unknown
		}
		if l = before(l.begin.Previous); l == nil {
			return false, true
		}
		stated, hidden := l.states(sequence)
		if stated {
			return true, false
		}
		unknown = unknown || hidden
	}
	return false, true
}

// completeness finds the sequence up to which every event has an outcome.
func (r *Report) completeness(l *log, before func(origin string) *log) {
	l.complete = l.first
	ranges := l.ranges
	var sequences []uint64 // of the outcomes, filled when first needed
	for l.complete < l.floor {
		if _, ok := l.outcomes[l.complete]; ok {
			l.complete++
			continue
		}
		for len(ranges) > 0 && ranges[0].To <= l.complete {
			ranges = ranges[1:]
		}
		if len(ranges) > 0 && ranges[0].From <= l.complete {
			l.complete = ranges[0].To
			continue
		}
		stated, unknown := l.earlier(l.complete, before)
		if stated {
			l.complete++
			continue
		}
		if !l.holes && !unknown {
			r.Fault(Fault{Missing, l.origin, 0, l.complete, fmt.Sprintf("the log claims to cover all events before %d, but does not contain this one", l.floor)})
			break
		}
		if sequences == nil {
			sequences = slices.Sorted(maps.Keys(l.outcomes))
		}
		next := l.floor
		if at, _ := slices.BinarySearch(sequences, l.complete); at < len(sequences) {
			next = min(next, sequences[at])
		}
		if len(ranges) > 0 {
			next = min(next, ranges[0].From)
		}
		l.withheld = append(l.withheld, [2]uint64{l.complete, next - 1})
		l.complete = next
	}
	for _, o := range l.outcomes {
		r.Outcomes[outcomeNames[o.Outcome]]++
	}
}
