package verify

import (
	"math"

	"auditrelay/internal/proof"
)

// expected is one line that a log states.
type expected struct {
	sequence  uint64
	digest    proof.Hash // zero: any content, or none if the line is possible
	tombstone bool
	possible  bool // the line may be missing; it has no place in the order

	payload *payload
}

// lineFault is what is wrong with a line. If category is empty, nothing is wrong: the line is
// newer than the log.
type lineFault struct {
	category Category
	line     int // from 1; 0: missing
	sequence uint64
	what     string
	at       int
}

// compare compares the digests of an object's lines with what its log states.
func compare(want []expected, sums []proof.Hash) []lineFault {
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
	return compareSums(want, sums, nil)
}

// log returns the log that states the line, or nil in an object, which belongs to one log.
func (e *expected) log() *log {
	if e.payload == nil {
		return nil
	}
	return e.payload.log
}

// queue contains the lines with one digest that have no place yet.
type queue struct {
	places int   // number of lines with a place
	lines  []int // from 1, in order
	passed []int // before lines: they would break the order of a log
}

// next takes the first line that is not before highest. If there is none, it takes the first
// line. 0 means none is left.
func (q *queue) next(highest int) (line int) {
	if len(q.passed) == 0 || q.passed[0] < highest {
		for len(q.lines) > 0 && q.lines[0] < highest {
			q.passed, q.lines = append(q.passed, q.lines[0]), q.lines[1:]
		}
		if len(q.lines) > 0 {
			line, q.lines = q.lines[0], q.lines[1:]
			return line
		}
	}
	if len(q.passed) > 0 {
		line, q.passed = q.passed[0], q.passed[1:]
	}
	return line
}

// match assigns each place its line, or 0. Places that must be filled come first; equal lines
// are assigned in the order of their log. unknown are the lines without a place. A possible
// place with unknown content is not filled, because it would match any line.
func match(want []expected, got []proof.Hash) (line, unknown []int) {
	queues := make(map[proof.Hash]*queue, len(want))
	for i := range want {
		if want[i].possible && want[i].digest == zero {
			continue
		}
		if queues[want[i].digest] == nil {
			queues[want[i].digest] = new(queue)
		}
		queues[want[i].digest].places++
	}
	anyone := queues[zero]
	for n, sum := range got {
		q := queues[sum]
		if q == nil || len(q.lines) == q.places {
			q = anyone
		}
		if q == nil || len(q.lines) == q.places {
			unknown = append(unknown, n+1)
			continue
		}
		q.lines = append(q.lines, n+1)
	}
	line = make([]int, len(want))
	highest := map[*log]int{}
	for _, possible := range []bool{false, true} {
		for i := range want {
			q := queues[want[i].digest]
			if want[i].possible != possible || possible && want[i].digest == zero {
				continue
			}
			of := want[i].log()
			if line[i] = q.next(highest[of]); !possible {
				highest[of] = max(highest[of], line[i])
			}
		}
	}
	return line, unknown
}

// newerFrom returns the first line that a log of open may have written after the stored part of
// it: after everything that the log states, and after what other logs stated before its last
// clock.
func newerFrom(want []expected, line []int, open []openLog) int {
	from := math.MaxInt
	for _, l := range open {
		last := 0
		for i := range want {
			if of := want[i].log(); of == l.log || want[i].payload.stated < l.until {
				last = max(last, line[i])
			}
		}
		from = min(from, last+1)
	}
	return from
}

// compareSums finds lines that are altered, missing, added, duplicated or out of order. Order
// is checked per log, because several logs may write to one file, for example during a replay.
// A line that a log of open may have written later is newer, whatever other logs state after
// it: each log is signed separately.
func compareSums(want []expected, got []proof.Hash, open []openLog) []lineFault {
	line, unknown := match(want, got)
	newer := newerFrom(want, line, open)
	known := make(map[proof.Hash]bool, len(want))
	for i := range want {
		known[want[i].digest] = true
		if p := want[i].payload; p != nil && line[i] > 0 {
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
			faults = append(faults, lineFault{Reordered, line[i], want[i].sequence, "it comes before records that were delivered earlier", i})
		default:
			highest[of] = line[i]
		}
	}
	for _, n := range unknown {
		switch {
		case known[got[n-1]]:
			faults = append(faults, lineFault{Added, n, 0, "it is there twice", -1})
		case len(gone) > 0:
			faults = append(faults, lineFault{Altered, n, want[gone[0]].sequence, "its content is not what was delivered", gone[0]})
			gone = gone[1:]
		case n >= newer:
			faults = append(faults, lineFault{"", n, 0, "", -1})
		default:
			faults = append(faults, lineFault{Added, n, 0, "it is in no log", -1})
		}
	}
	for _, i := range gone {
		what := "the record is missing"
		if want[i].tombstone {
			what = "the tombstone is missing"
		}
		faults = append(faults, lineFault{Missing, 0, want[i].sequence, what, i})
	}
	return faults
}
