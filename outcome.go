package auditrelay

import "fmt"

// Verdict is a filter's decision on one event. The zero value is no verdict, which
// counts as a failure: a forgotten decision neither leaks nor loses the event.
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
	// DeadLettered: set aside with its reason, replayable; the destination gets a
	// tombstone.
	DeadLettered
	// Discarded: given up on purpose, by on_error or by an operator; the
	// destination gets a tombstone.
	Discarded
	// Skipped: not processed, because the callback was detached, removed or moved
	// forward, or the event's period was erased.
	Skipped
)

// Outcomes returns every final outcome, so all but Pending.
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

// MarshalText returns the outcome's name, for JSON.
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

// Cause says why an event was not delivered. The set is closed: causes appear in
// tombstones, dead letters and metrics.
type Cause string

const (
	CauseNone           Cause = ""
	CauseWhen           Cause = "when"            // the callback's condition did not match
	CauseDrop           Cause = "drop"            // a filter's verdict
	CauseTrap           Cause = "trap"            // a guest trapped
	CauseProtocol       Cause = "protocol"        // a guest broke the ABI, or gave no verdict
	CauseRejectedOutput Cause = "rejected_output" // a guest's output is not a valid event, or not granted
	CauseFail           Cause = "fail"            // a guest called fail, a native filter returned an error
	CauseFuel           Cause = "out_of_fuel"     // a guest used up its budget
	CauseMemory         Cause = "out_of_memory"   // a guest's memory limit
	CauseStack          Cause = "stack"           // a guest's call depth
	CauseInit           Cause = "init"            // a fresh instance could not be started
	CauseWallTime       Cause = "wall_time"       // the host's condition; retried first, alone in a fresh worker
	CauseKilled         Cause = "killed"          // a guest ended its worker process, or that had to be ended, twice
	CauseBreaker        Cause = "breaker"         // a guest failed too often in a row and rests; its events wait
	CausePanic          Cause = "panic"           // native code panicked
	CauseRefused        Cause = "refused"         // the destination permanently refuses this record
	CauseTooLarge       Cause = "too_large"       // larger than the destination accepts
	CauseRender         Cause = "render"          // the sink could not format this record
	CauseRetention      Cause = "retention"       // held longer than retain allows
	CauseOperator       Cause = "operator"        // an operator's command
	CauseDetached       Cause = "detached"        // the callback is detached
	CauseIngest         Cause = "ingest"          // a filter before the journal dropped it, or failed on it
	CauseHops           Cause = "hops"            // too many emissions in a row
	CauseLeak           Cause = "leak"            // contains what must_not_leave forbids
	CauseErased         Cause = "erased"          // its period was erased before the callback reached it
)

// Causes returns every cause but CauseNone.
func Causes() []Cause {
	return []Cause{
		CauseWhen, CauseDrop, CauseTrap, CauseProtocol, CauseRejectedOutput, CauseFail,
		CauseFuel, CauseMemory, CauseStack, CauseInit, CauseWallTime, CauseKilled,
		CauseBreaker, CausePanic, CauseRefused, CauseTooLarge, CauseRender, CauseRetention,
		CauseOperator, CauseDetached, CauseIngest, CauseHops, CauseLeak, CauseErased,
	}
}
