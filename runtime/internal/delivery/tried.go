package delivery

import (
	"auditrelay"
	"auditrelay/internal/receipts"
)

// Tried is a version of a filter that judges a share of a lane's events.
type Tried struct {
	ID     string // of the rollout
	Filter string
	Digest string // of the version, as receipts name it
	// Chosen reports whether the version was to judge an event.
	Chosen func(*auditrelay.Event) bool
}

// TriedCounts counts the events of a lane that a rollout's version judged, and those among
// them that were set aside, or discarded for a failure. They are written with what they
// count: a chunk that is judged again after a crash counts once.
type TriedCounts struct {
	ID     string `json:"id"` // of the rollout
	Judged uint64 `json:"judged"`
	Failed uint64 `json:"failed"`
}

// SetTried says by which rollout the lane counts from now on; nil: by none.
func (l *Lane) SetTried(t *Tried) { l.tried = t }

// countTried counts a sealed chunk.
func (l *Lane) countTried(judged []Judged) {
	t := l.tried
	if t == nil || l.state.Replay != nil {
		return
	}
	n, failed := uint64(0), uint64(0)
	for i := range judged {
		j := &judged[i]
		if !t.judged(j.Trail) {
			continue
		}
		n++
		if j.Outcome == auditrelay.DeadLettered || j.Outcome == auditrelay.Discarded {
			failed++
		}
	}
	l.addTried(n, failed)
}

// countRefused counts events that the destination refused for good.
func (l *Lane) countRefused(dead []*Judged) {
	t := l.tried
	if t == nil || l.state.Replay != nil || l.state.Tried == nil || l.state.Tried.ID != t.ID {
		return
	}
	failed := uint64(0)
	for _, j := range dead {
		if t.Chosen(j.Event) {
			failed++
		}
	}
	l.addTried(0, failed)
}

func (l *Lane) addTried(judged, failed uint64) {
	if judged+failed == 0 {
		return
	}
	counts := TriedCounts{ID: l.tried.ID}
	if before := l.state.Tried; before != nil && before.ID == counts.ID {
		counts = *before
	}
	counts.Judged, counts.Failed = counts.Judged+judged, counts.Failed+failed
	l.state.Tried = &counts // a new one: snapshots share the old
}

// judged reports whether the version is among the filters that saw an event.
func (t *Tried) judged(trail receipts.Trail) bool {
	for _, v := range trail {
		if v.Filter == t.Filter && v.Digest == t.Digest {
			return true
		}
	}
	return false
}
