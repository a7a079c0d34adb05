package confine

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Measure is one restriction of a process.
type Measure string

// The measures in the order of a report.
const (
	Namespaces   Measure = "namespaces"        // own user, network, process and IPC namespaces
	NoNewPrivs   Measure = "no_new_privileges" // set-user-ID programs give no rights
	ParentDeath  Measure = "parent_death"      // the kernel kills the process when its parent ends
	NotDumpable  Measure = "not_dumpable"      // no core file; other processes of the user cannot trace it
	Limits       Measure = "limits"            // on memory, files and processor time
	Capabilities Measure = "capabilities"      // none left
	Files        Measure = "files"             // Landlock: only the named directories
	Network      Measure = "network"           // Landlock: no TCP
	Calls        Measure = "calls"             // seccomp: only listed system calls
	TightCalls   Measure = "tight_calls"       // seccomp: no files, sockets or executable memory
)

var measures = []Measure{
	Namespaces, NoNewPrivs, ParentDeath, NotDumpable, Limits, Capabilities, Files, Network, Calls, TightCalls,
}

// Why is the reason why a measure was not applied.
type Why string

// The reasons.
const (
	Applied     Why = "applied"
	Unsupported Why = "unsupported" // the kernel or the system does not support it
	Refused     Why = "refused"     // the system does not permit it here
	CgoBuild    Why = "cgo"         // the program links C, so Go cannot reach all its threads
)

var reasons = []Why{Applied, Unsupported, Refused, CgoBuild}

// State is the result of one measure.
type State struct {
	Measure Measure `json:"measure"`
	Why     Why     `json:"state"`
}

// Report lists the states of the measures that were tried, one each. Its words are from closed
// sets, so it is safe to print whoever sent it.
type Report []State

// set stores a state and replaces an earlier one of the same measure.
func (r *Report) set(m Measure, w Why) {
	for i := range *r {
		if (*r)[i].Measure == m {
			(*r)[i].Why = w
			return
		}
	}
	*r = append(*r, State{m, w})
}

// Join returns the states of both reports. If both contain a measure, later wins.
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

// Has reports whether a measure was applied.
func (r Report) Has(m Measure) bool { return slices.Contains(r, State{m, Applied}) }

// Missing returns every measure that the report does not show as applied. A measure that was
// never tried is Unsupported.
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

// Holds reports whether the process is confined: the measures are applied that keep guest code
// inside its process even if it controls all of the process. The other measures are additional.
func (r Report) Holds() bool {
	return r.Has(NoNewPrivs) && r.Has(Limits) && r.Has(Calls) && r.Has(TightCalls)
}

// String returns the report as one line, for example "calls=applied files=unsupported". Parse
// reads it.
func (r Report) String() string {
	words := make([]string, len(r))
	for i, s := range r {
		words[i] = string(s.Measure) + "=" + string(s.Why)
	}
	return strings.Join(words, " ")
}

var errReport = errors.New("confine: not a report")

// Parse reads the output of String. It refuses unknown words and repeated measures, so the
// result is safe to print even if a hostile process sent the text.
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
