package runtime

import (
	"bytes"
	"cmp"
	"errors"
	"maps"
	"regexp"
	"slices"
	"time"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/internal/exposure"
	"auditrelay/runtime/internal/delivery"
)

// The limits of a result.
const (
	maxShadowPaths    = 200
	maxShadowPath     = 200 // maximum bytes of one path
	maxShadowExamples = 20
)

// ShadowResult has the results of a shadow so far. It contains no values of events. Paths may contain keys
// of events.
type ShadowResult struct {
	Callback, Filter string
	Started, Until   time.Time
	Ended            time.Time // zero while it runs
	End              string    // why it ended

	Limit  uint64 // the shadow ends after this many Events
	Events uint64 // number of compared events, including those on which the shadow failed
	Missed uint64 // number of events that passed while the shadow was busy

	Same     uint64
	Changed  uint64 // events with another outcome, document or emitted record
	Exposing uint64 // changed events with a newly exposed value
	Emitting uint64 // changed events with different emitted records
	Outcomes []ShadowOutcome
	Failures map[auditrelay.Cause]uint64 // the shadow's failures by cause
	Failure  string                      // the text of the last failure

	Paths      []ShadowPath // paths with newly exposed values first
	OtherPaths uint64       // number of differences at further paths
	Examples   []uint64     // sequences of the first changed events; those with newly exposed values first

	Now, Would ShadowCost // cost of the filter under trial: in the callback, and in the shadow
}

// ShadowOutcome counts events that would have another outcome.
type ShadowOutcome struct {
	Now, Would auditrelay.Outcome // Pending: the shadow could not decide
	Events     uint64
}

// ShadowPath counts events that differ at one path of the delivered record.
type ShadowPath struct {
	Path                       string
	Exposed, Hidden, Otherwise uint64
}

// ShadowCost adds up the calls of one filter. Events is 0 if nothing was measured, for example because the
// callback used another callback's result.
type ShadowCost struct {
	Events uint64
	Fuel   int64
	Time   time.Duration // including the communication with a worker process
	Memory int64         // maximum of one instance, in bytes
}

// indices matches array indices. A result does not distinguish them.
var indices = regexp.MustCompile(`\[\d+\]`)

// add adds one event to the result. If failed is not nil, the shadow made no decision.
func (s *shadow) add(live *shadowed, would *delivery.Judged, failed error) {
	outcome, cause, err := would.Outcome, would.Cause, would.Err
	if failed != nil {
		outcome, err = auditrelay.Pending, failed
		cause = cmp.Or(cause, causeOf(failed))
	}
	difference := exposure.Change{}
	exposing := outcome == auditrelay.Delivered && live.outcome != auditrelay.Delivered
	if outcome == auditrelay.Delivered && live.outcome == auditrelay.Delivered && s.judge.delivers && !bytes.Equal(live.data, would.Data) {
		difference = exposure.Compare(leavesOf(live.event.Data), leavesOf(live.data), leavesOf(would.Data))
		exposing = len(difference.Exposed) > 0
	}
	emitting := !sameEmitted(live.emitted, would.Emitted)

	s.mu.Lock()
	defer s.mu.Unlock()
	r := &s.result
	r.Events++
	if err != nil {
		if r.Failures == nil {
			r.Failures = map[auditrelay.Cause]uint64{}
		}
		r.Failures[cause]++
		r.Failure = bounded(err.Error())
	}
	if outcome == live.outcome && !difference.Any() && !emitting {
		r.Same++
		return
	}
	r.Changed++
	if exposing {
		r.Exposing++
	}
	if emitting {
		r.Emitting++
	}
	s.example(live.event.Sequence, exposing)
	if outcome != live.outcome {
		s.moved(live.outcome, outcome)
	}
	for i, paths := range [][]string{difference.Exposed, difference.Hidden, difference.Otherwise} {
		s.differs(i, paths)
	}
}

// example stores a changed event; one with a newly exposed value comes first. The caller must hold s.mu.
func (s *shadow) example(sequence uint64, exposing bool) {
	r := &s.result
	switch {
	case exposing && r.Exposing <= maxShadowExamples: // Exposing already counts this event
		r.Examples = slices.Insert(r.Examples, int(r.Exposing-1), sequence)
	case !exposing && len(r.Examples) < maxShadowExamples:
		r.Examples = append(r.Examples, sequence)
	}
	r.Examples = r.Examples[:min(len(r.Examples), maxShadowExamples)]
}

// moved counts an event with another outcome. The caller must hold s.mu.
func (s *shadow) moved(now, would auditrelay.Outcome) {
	for i := range s.result.Outcomes {
		if o := &s.result.Outcomes[i]; o.Now == now && o.Would == would {
			o.Events++
			return
		}
	}
	s.result.Outcomes = append(s.result.Outcomes, ShadowOutcome{now, would, 1})
}

// differs counts one event's paths of one kind, each once. The caller must hold s.mu.
func (s *shadow) differs(kind int, paths []string) {
	seen := map[string]bool{}
	for _, path := range paths {
		path = indices.ReplaceAllString(path, "[*]")
		if len(path) > maxShadowPath {
			path = bounded(path[:maxShadowPath]) + "..."
		}
		if seen[path] {
			continue
		}
		seen[path] = true
		p := s.paths[path]
		if p == nil {
			if len(s.paths) >= maxShadowPaths {
				s.result.OtherPaths++
				continue
			}
			p = &ShadowPath{Path: path}
			s.paths[path] = p
		}
		*[]*uint64{&p.Exposed, &p.Hidden, &p.Otherwise}[kind]++
	}
}

func leavesOf(data []byte) map[string]string {
	var d document.Document
	d.Reset(data)
	return exposure.Leaves(&d)
}

func sameEmitted(a, b []delivery.Emitted) bool {
	return slices.EqualFunc(a, b, func(a, b delivery.Emitted) bool {
		return a.Target == b.Target && a.Filter == b.Filter && bytes.Equal(a.Data, b.Data)
	})
}

// snapshot returns the result so far. The caller owns it.
func (s *shadow) snapshot() ShadowResult {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.result
	r.Missed = s.missed.Load()
	r.Outcomes, r.Examples, r.Failures = slices.Clone(r.Outcomes), slices.Clone(r.Examples), maps.Clone(r.Failures)
	r.Now, r.Would = s.live.total(), s.judge.cost.Load().total()
	for _, p := range s.paths {
		r.Paths = append(r.Paths, *p)
	}
	slices.SortFunc(r.Paths, func(a, b ShadowPath) int {
		return cmp.Or(cmp.Compare(b.Exposed, a.Exposed), cmp.Compare(b.Hidden, a.Hidden), cmp.Compare(b.Otherwise, a.Otherwise), cmp.Compare(a.Path, b.Path))
	})
	return r
}

// errReconfigured: Apply replaced the shadow's callback.
var errReconfigured = errors.New("the callback was reconfigured")
