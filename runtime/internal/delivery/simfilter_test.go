package delivery_test

import (
	"crypto/sha256"

	"auditrelay"
	"auditrelay/runtime/internal/delivery"
)

// fate returns the decision of a lane's filter on an event: a function of lane and id, so the
// end can be compared with it.
func fate(lane, id string) auditrelay.Outcome {
	sum := sha256.Sum256([]byte(lane + id))
	switch {
	case sum[0] < 40:
		return auditrelay.Filtered
	case sum[0] < 55:
		return auditrelay.DeadLettered
	case sum[0] < 65:
		return auditrelay.Discarded
	}
	return auditrelay.Delivered
}

// emits reports whether the first lane's filter emits a record for an event.
func emits(id string) bool { return sha256.Sum256([]byte(id))[1] < 60 }

// tries reports whether the new version of all filters judges an event.
func tries(e *auditrelay.Event) bool { return sha256.Sum256([]byte(e.ID))[2] < 90 }

// The versions of the filters.
const oldVersion, newVersion = "a", "b"

// tried returns the rollout that the lanes count for.
func (w *world) tried() *delivery.Tried {
	if w.rolledBack {
		return nil
	}
	return &delivery.Tried{ID: "rollout", Filter: "f", Digest: newVersion, Chosen: tries}
}
