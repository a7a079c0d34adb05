package delivery

import (
	"auditrelay"
	"auditrelay/internal/receipts"
)

// Tried is a version of a filter that processes a share of a lane's events.
type Tried struct {
	ID     string // the rollout's id
	Filter string
	Digest string // digest of the version, as in receipts
	// Chosen reports whether the version had to process an event.
	Chosen func(*auditrelay.Event) bool
}

// TriedCounts counts the events of a lane that a rollout's version processed, and those among
// them that were dead-lettered, or discarded because of a failure. One transaction contains the
// counts and the counted results, so a chunk that is processed again after a crash counts once.
type TriedCounts struct {
	ID     string `json:"id"` // the rollout's id
	Judged uint64 `json:"judged"`
	Failed uint64 `json:"failed"`
}

// SetTried sets the rollout that the lane counts for; nil: none.
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

// countRefused counts events that the destination permanently rejected.
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

// judged reports whether the version is among the filters that processed an event.
func (t *Tried) judged(trail receipts.Trail) bool {
	for _, v := range trail {
		if v.Filter == t.Filter && v.Digest == t.Digest {
			return true
		}
	}
	return false
}
