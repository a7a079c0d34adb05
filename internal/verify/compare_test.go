package verify

import (
	"fmt"
	"testing"

	"auditrelay/internal/proof"
)

// Of two equal lines, the one in its log's order belongs to the certain place, and the other to
// the possible place. So a payload whose attempt had no answer, and that was delivered again
// after others, is no fault. A possible place with unknown content matches no line.
func TestPossiblePlaces(t *testing.T) {
	one, other := &log{}, &log{}
	sum := func(c rune) (h proof.Hash) {
		if h[0] = byte(c); c == '?' {
			return zero
		}
		return h
	}
	certain := func(l *log, c rune) expected {
		return expected{sequence: uint64(c), digest: sum(c), payload: &payload{log: l}}
	}
	possible := func(l *log, c rune) expected {
		e := certain(l, c)
		e.possible = true
		return e
	}
	replaced := []expected{certain(one, 'X'), possible(one, 'A'), certain(one, 'A')}
	unknown := []expected{possible(one, '?'), certain(one, 'X')}
	for _, c := range []struct {
		name    string
		want    []expected
		lines   string
		faults  string // category and line of each
		arrived int    // number of possible ones
	}{
		{"arrived twice, the first before others", replaced, "AXA", "", 1},
		{"arrived twice, behind others", replaced, "XAA", "", 1},
		{"arrived once", replaced, "XA", "", 0},
		{"arrived before others alone", replaced, "AX", "reordered 1 ", 0},
		{"did not arrive", replaced, "X", "missing 0 ", 0},
		{"once more than stated", replaced, "AXAA", "added 4 ", 1},
		{"two certain ones, one moved", []expected{certain(one, 'X'), certain(one, 'A'), certain(one, 'A')}, "AXA", "reordered 1 ", 0},
		{"another log's stands before", []expected{certain(one, 'X'), certain(one, 'A'), certain(other, 'A'), certain(other, 'C')}, "ACXA", "", 0},
		{"another log's possible one stands before", []expected{certain(one, 'X'), certain(one, 'A'), possible(other, 'A')}, "AXA", "", 1},
		{"unknown content, a line added behind", unknown, "XE", "added 2 ", 0},
		{"unknown content, a line added before", unknown, "EX", "added 1 ", 0},
		{"unknown content, none added", unknown, "X", "", 0},
		{"certain and unknown", []expected{certain(one, '?'), certain(one, 'X'), possible(one, '?')}, "EX", "", 0},
		{"certain and unknown, a line added", []expected{certain(one, '?'), certain(one, 'X'), possible(one, '?')}, "EXF", "added 3 ", 0},
	} {
		var got []proof.Hash
		for _, r := range c.lines {
			got = append(got, sum(r))
		}
		for _, e := range c.want {
			e.payload.arrived = false
		}
		faults, arrived := "", 0
		for _, f := range compareSums(c.want, got, nil) {
			faults += fmt.Sprint(f.category, " ", f.line, " ")
		}
		for _, e := range c.want {
			if e.possible && e.payload.arrived {
				arrived++
			}
		}
		if faults != c.faults || arrived != c.arrived {
			t.Errorf("%s: lines %s: faults %q, want %q; %d possible ones arrived, want %d", c.name, c.lines, faults, c.faults, arrived, c.arrived)
		}
	}
}

// In a store, a possible record of unknown content does not confirm a row.
func TestAPossibleRowOfUnknownContent(t *testing.T) {
	s := &rowState{}
	s.then(&proof.Outcome{Delivered: proof.Record, Digest: proof.Hash{1}})
	s.then(&proof.Outcome{Delivered: proof.PossibleRecord})
	s.then(&proof.Outcome{Delivered: proof.PossibleRecord, Digest: proof.Hash{2}})
	if len(s.possible) != 1 || s.possible[0] != (statedRecord{digest: proof.Hash{2}}) || !s.certain {
		t.Errorf("%+v", s)
	}
}
