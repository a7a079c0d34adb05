package auditrelay

import "fmt"

// Verdict is a filter's decision on one event. The zero value means no verdict, which is a failure: a
// forgotten decision neither leaks nor loses the event.
type Verdict uint8

const (
	NoVerdict Verdict = iota
	Keep              // the event continues, with the filter's edits
	Drop              // the event ends here as filtered
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
	// Pending means that the event has no final outcome yet.
	Pending Outcome = iota
	// Delivered means that the destination acknowledged the event as durable.
	Delivered
	// Filtered means that the condition did not match, or that a filter dropped the event.
	Filtered
	// DeadLettered means that the event is kept with the reason and can be replayed. The destination gets a
	// tombstone.
	DeadLettered
	// Discarded means that on_error or an operator gave the event up. The destination gets a tombstone.
	Discarded
	// Skipped means that the callback did not process the event: it was detached, removed or moved forward,
	// or the event's period was erased.
	Skipped
)

// Outcomes returns all final outcomes, that is, all but Pending.
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

// Cause says why an event was not delivered. The set is closed. Causes appear in tombstones, dead letters
// and metrics.
type Cause string

const (
	CauseNone           Cause = ""
	CauseWhen           Cause = "when"            // the callback's condition did not match
	CauseDrop           Cause = "drop"            // a filter dropped the event
	CauseTrap           Cause = "trap"            // a guest trapped
	CauseProtocol       Cause = "protocol"        // a guest broke the ABI or gave no verdict
	CauseRejectedOutput Cause = "rejected_output" // a guest's output is not a valid event, or the guest has no grant for it
	CauseFail           Cause = "fail"            // a guest called fail, or a native filter returned an error
	CauseFuel           Cause = "out_of_fuel"     // a guest used all its fuel
	CauseMemory         Cause = "out_of_memory"   // a guest reached its memory limit
	CauseStack          Cause = "stack"           // a guest exceeded its call depth
	CauseInit           Cause = "init"            // a new instance did not start
	CauseWallTime       Cause = "wall_time"       // a guest took too long, possibly because the host is slow; first retried alone in a new worker
	CauseKilled         Cause = "killed"          // a guest ended its worker process twice, or the relay had to kill the process twice
	CauseBreaker        Cause = "breaker"         // a guest failed too often in a row; it pauses and its events wait
	CausePanic          Cause = "panic"           // native code panicked
	CauseRefused        Cause = "refused"         // the destination permanently rejects this record
	CauseTooLarge       Cause = "too_large"       // larger than the destination accepts
	CauseRender         Cause = "render"          // the sink could not format this record
	CauseRetention      Cause = "retention"       // held longer than retain allows
	CauseOperator       Cause = "operator"        // an operator's command
	CauseDetached       Cause = "detached"        // the callback is detached
	CauseIngest         Cause = "ingest"          // a filter before the journal dropped the event or failed
	CauseHops           Cause = "hops"            // too many emissions in a chain
	CauseLeak           Cause = "leak"            // contains a value that must_not_leave forbids
	CauseErased         Cause = "erased"          // its period was erased before the callback reached it
)

// Causes returns all causes but CauseNone.
func Causes() []Cause {
	return []Cause{
		CauseWhen, CauseDrop, CauseTrap, CauseProtocol, CauseRejectedOutput, CauseFail,
		CauseFuel, CauseMemory, CauseStack, CauseInit, CauseWallTime, CauseKilled,
		CauseBreaker, CausePanic, CauseRefused, CauseTooLarge, CauseRender, CauseRetention,
		CauseOperator, CauseDetached, CauseIngest, CauseHops, CauseLeak, CauseErased,
	}
}
