// Package delivery is the state machine of one callback. It moves events from the callback's
// cursor in the journal to an outcome, and defines what is durable at each step.
// docs/design/delivery.md has the machine as a table.
//
// A Lane has no goroutine and no clock. Its owner asks Next what to do, does it, and reports
// the result with the time:
//
//	Take     read a range, filter it, Assemble it, then Seal it in one transaction
//	Deliver  send one sealed payload, then Settle its result in one transaction
//
// Every transition writes to a journal.Tx and changes the lane in memory. The owner must commit
// the transaction before it does anything else. If the commit fails, the lane no longer knows
// the durable state, and the owner must open it anew.
package delivery
