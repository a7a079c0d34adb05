package confine

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Measure is one thing that a process gave up.
type Measure string

// The measures, in the order in which a report lists them.
const (
	Namespaces   Measure = "namespaces"        // own user, network, process and IPC namespaces
	NoNewPrivs   Measure = "no_new_privileges" // set-user-ID programs give nothing
	ParentDeath  Measure = "parent_death"      // the kernel kills it when its parent ends
	NotDumpable  Measure = "not_dumpable"      // no core file; others of its user cannot trace it
	Limits       Measure = "limits"            // on memory, files and processor time
	Capabilities Measure = "capabilities"      // none are left
	Files        Measure = "files"             // Landlock: only the named directories
	Network      Measure = "network"           // Landlock: no TCP
	Calls        Measure = "calls"             // seccomp: only listed system calls
	TightCalls   Measure = "tight_calls"       // seccomp: no files, sockets or executable memory
)

var measures = []Measure{
	Namespaces, NoNewPrivs, ParentDeath, NotDumpable, Limits, Capabilities, Files, Network, Calls, TightCalls,
}

// Why says why a measure was not applied.
type Why string

// The reasons.
const (
	Applied     Why = "applied"
	Unsupported Why = "unsupported" // the kernel or the system does not have it
	Refused     Why = "refused"     // the system does not permit it here
	CgoBuild    Why = "cgo"         // the program links C, so Go cannot reach all its threads
)

var reasons = []Why{Applied, Unsupported, Refused, CgoBuild}

// State is what became of one measure.
type State struct {
	Measure Measure `json:"measure"`
	Why     Why     `json:"state"`
}

// Report lists what was applied to a process, one state for each measure that was tried.
// Its words are from closed sets, so that it can be printed whoever sent it.
type Report []State

// set records a state, in place of an earlier one of the same measure.
func (r *Report) set(m Measure, w Why) {
	for i := range *r {
		if (*r)[i].Measure == m {
			(*r)[i].Why = w
			return
		}
	}
	*r = append(*r, State{m, w})
}

// Join returns the states of both reports. Where both have a measure, later wins.
func (r Report) Join(later Report) Report {
	joined := slices.Clone(r)
	for _, s := range later {
		joined.set(s.Measure, s.Why)
	}
	slices.SortFunc(joined, func(a, b State) int {
		return slices.Index(measures, a.Measure) - slices.Index(measures, b.Measure)
	})
	return joined
}

// Has says whether a measure was applied.
func (r Report) Has(m Measure) bool { return slices.Contains(r, State{m, Applied}) }

// Missing returns every measure of this package that the report does not show as applied.
// One that was never tried is Unsupported.
func (r Report) Missing() Report {
	var missing Report
	for _, m := range measures {
		i := slices.IndexFunc(r, func(s State) bool { return s.Measure == m })
		switch {
		case i < 0:
			missing = append(missing, State{m, Unsupported})
		case r[i].Why != Applied:
			missing = append(missing, r[i])
		}
	}
	return missing
}

// Holds says whether the process is confined: the measures that keep guest code in its
// process even if it gets control of all of it. The others are second lines.
func (r Report) Holds() bool {
	return r.Has(NoNewPrivs) && r.Has(Limits) && r.Has(Calls) && r.Has(TightCalls)
}

// String is the report as one line, such as "calls=applied files=unsupported". Parse reads
// it.
func (r Report) String() string {
	words := make([]string, len(r))
	for i, s := range r {
		words[i] = string(s.Measure) + "=" + string(s.Why)
	}
	return strings.Join(words, " ")
}

var errReport = errors.New("confine: not a report")

// Parse reads what String wrote. It refuses unknown words and repeated measures, so a
// result is safe to print even if a process that lies sent the text.
func Parse(text string) (Report, error) {
	var r Report
	for word := range strings.FieldsSeq(text) {
		m, w, _ := strings.Cut(word, "=")
		if !slices.Contains(measures, Measure(m)) || !slices.Contains(reasons, Why(w)) {
			return nil, errReport
		}
		if slices.ContainsFunc(r, func(s State) bool { return s.Measure == Measure(m) }) {
			return nil, fmt.Errorf("%w: %s stands there twice", errReport, m)
		}
		r = append(r, State{Measure(m), Why(w)})
	}
	return r, nil
}
