package verify

import "auditrelay/internal/proof"

// expected is one line that a log states.
type expected struct {
	sequence  uint64
	digest    proof.Hash // zero: of any content
	tombstone bool
	possible  bool // it may be there, and need not: it is in no order

	payload *payload
}

// lineFault is what is wrong with a line. Without category it is not wrong: it is newer
// than the log.
type lineFault struct {
	category Category
	line     int // from 1; 0: it is not there
	sequence uint64
	what     string
	at       int
}

// compare holds the digests of an object's lines against what its log states.
func compare(want []expected, sums []proof.Hash, tail bool) []lineFault {
	if len(sums) == len(want) { // the common case, without maps
		same := true
		for i := range want {
			if want[i].digest != sums[i] && want[i].digest != zero {
				same = false
				break
			}
		}
		if same {
			return nil
		}
	}
	return compareSums(want, sums, tail)
}

// log is the log that states the line; nil in an object, which is of one.
func (e *expected) log() *log {
	if e.payload == nil {
		return nil
	}
	return e.payload.log
}

// compareSums finds out which lines are altered, missing, added, doubled or out of
// order: out of that of their own log, since what several write to one file, as a replay
// does, comes in between. tail: what stands behind all that is stated is newer.
func compareSums(want []expected, got []proof.Hash, tail bool) []lineFault {
	at := map[proof.Hash][]int{}                   // places in want, by digest, that have no line yet
	for _, possible := range []bool{false, true} { // of two equal ones, that which must be there first
		for i := range want {
			if want[i].possible == possible {
				at[want[i].digest] = append(at[want[i].digest], i)
			}
		}
	}
	known := make(map[proof.Hash]bool, len(at))
	for h := range at {
		known[h] = true
	}
	line := make([]int, len(want)) // of each, from 1
	var unknown []int              // lines that are none of them
	end := 0                       // the last line that is one
	for n, sum := range got {
		places := at[sum]
		if len(places) == 0 {
			if anyone := at[zero]; len(anyone) > 0 {
				places, sum = anyone, zero
			}
		}
		if len(places) == 0 {
			unknown = append(unknown, n+1)
			continue
		}
		at[sum], line[places[0]], end = places[1:], n+1, n+1
		if p := want[places[0]].payload; p != nil {
			p.arrived = true
		}
	}
	var faults []lineFault
	var gone []int
	highest := map[*log]int{}
	for i := range want {
		of := want[i].log()
		switch {
		case want[i].possible:
		case line[i] == 0:
			gone = append(gone, i)
		case line[i] < highest[of]:
			faults = append(faults, lineFault{Reordered, line[i], want[i].sequence, "it stands before what was delivered earlier", i})
		default:
			highest[of] = line[i]
		}
	}
	for _, n := range unknown {
		switch {
		case known[got[n-1]]:
			faults = append(faults, lineFault{Added, n, 0, "it is there twice", -1})
		case len(gone) > 0:
			faults = append(faults, lineFault{Altered, n, want[gone[0]].sequence, "it is not what was delivered", gone[0]})
			gone = gone[1:]
		case tail && n > end:
			faults = append(faults, lineFault{"", n, 0, "", -1})
		default:
			faults = append(faults, lineFault{Added, n, 0, "no log states it", -1})
		}
	}
	for _, i := range gone {
		what := "the record is not there"
		if want[i].tombstone {
			what = "the tombstone is not there"
		}
		faults = append(faults, lineFault{Missing, 0, want[i].sequence, what, i})
	}
	return faults
}
