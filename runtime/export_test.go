package runtime

import "time"

// Trim applies the journal's retention.
var Trim = (*Runtime).trim

// ApproveOnly approves a request without executing it, like a kill before the act.
func ApproveOnly(r *Runtime, id string, by By) error {
	_, err := r.approve(id, by)
	return err
}

// AwaitApprovals waits until the approvals of the previous life are executed.
func AwaitApprovals(r *Runtime) {
	for {
		waits := false
		r.approvals.mu.Lock()
		for _, a := range r.approvals.all {
			waits = waits || a.State == ApprovalApproved
		}
		r.approvals.mu.Unlock()
		if !waits {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// PassTime advances the clock of approval requests.
func PassTime(r *Runtime, d time.Duration) {
	r.approvals.mu.Lock()
	defer r.approvals.mu.Unlock()
	r.approvals.now = func() time.Time { return time.Now().Add(d) }
}

// Scanned returns the number of values read from the journal.
func Scanned(r *Runtime) uint64 { return r.journal.Scanned() }
