package auditrelay

import "fmt"

// Verdict is a filter's decision on one event. The zero value is no verdict,
// which is a failure: forgetting to decide neither leaks nor loses.
type Verdict uint8

const (
	NoVerdict Verdict = iota
	Keep              // the event goes on, with the filter's edits
	Drop              // the event ends here, filtered
)

func (v Verdict) String() string {
	switch v {
	case NoVerdict:
		return "none"
	case Keep:
		return "keep"
	case Drop:
		return "drop"
	}
	return fmt.Sprintf("verdict(%d)", uint8(v))
}

// Outcome is where an event ends on one callback.
type Outcome uint8

const (
	// Pending: not ended yet.
	Pending Outcome = iota
	// Delivered: acknowledged durable by the destination.
	Delivered
	// Filtered: the condition did not match, or a filter dropped it.
	Filtered
	// DeadLettered: set aside with its reason, replayable; a tombstone stands in
	// its place.
	DeadLettered
	// Discarded: given up on purpose, by on_error or by an operator; a tombstone
	// stands in its place.
	Discarded
	// Skipped: passed over unjudged because an operator detached or removed the
	// callback or moved it forward.
	Skipped
)

// Outcomes lists every outcome in which an event can end; Pending is none.
func Outcomes() []Outcome {
	return []Outcome{Delivered, Filtered, DeadLettered, Discarded, Skipped}
}

func (o Outcome) String() string {
	switch o {
	case Pending:
		return "pending"
	case Delivered:
		return "delivered"
	case Filtered:
		return "filtered"
	case DeadLettered:
		return "dead_lettered"
	case Discarded:
		return "discarded"
	case Skipped:
		return "skipped"
	}
	return fmt.Sprintf("outcome(%d)", uint8(o))
}

// MarshalText makes an Outcome its name in JSON.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (o *Outcome) UnmarshalText(text []byte) error {
	for c := Pending; c <= Skipped; c++ {
		if c.String() == string(text) {
			*o = c
			return nil
		}
	}
	return fmt.Errorf("unknown outcome %q", text)
}

// Cause says, from a closed set, why an event did not end as delivered or
// filtered by a verdict. It appears in tombstones, dead letters and metrics.
type Cause string

const (
	CauseNone           Cause = ""
	CauseWhen           Cause = "when"            // the callback's condition did not match
	CauseDrop           Cause = "drop"            // a filter's verdict
	CauseTrap           Cause = "trap"            // a guest trapped
	CauseProtocol       Cause = "protocol"        // a guest broke the ABI, or gave no verdict
	CauseRejectedOutput Cause = "rejected_output" // what a guest made is no valid event
	CauseFail           Cause = "fail"            // a guest called fail, a native filter returned an error
	CauseFuel           Cause = "out_of_fuel"     // a guest did more than its budget
	CauseMemory         Cause = "out_of_memory"   // a guest's memory limit
	CauseStack          Cause = "stack"           // a guest's call depth
	CauseInit           Cause = "init"            // a fresh instance could not be started
	CauseWallTime       Cause = "wall_time"       // the host's condition; retried first, never a dead letter
	CauseBreaker        Cause = "breaker"         // a guest failed too often in a row; nothing is judged meanwhile
	CausePanic          Cause = "panic"           // native code panicked
	CauseRefused        Cause = "refused"         // the destination refuses this record for good
	CauseTooLarge       Cause = "too_large"       // more than the destination can take
	CauseRender         Cause = "render"          // the sink could not format this record
	CauseRetention      Cause = "retention"       // held longer than retain allows
	CauseOperator       Cause = "operator"        // an operator's command
	CauseDetached       Cause = "detached"        // the callback is detached
	CauseIngest         Cause = "ingest"          // a filter before the journal dropped it, or failed on it
	CauseHops           Cause = "hops"            // emitted too many times over
	CauseLeak           Cause = "leak"            // it holds what must_not_leave forbids
	CauseErased         Cause = "erased"          // its period was erased before the callback came to it
)
