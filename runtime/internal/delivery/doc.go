// Package delivery is the state machine of one callback: how events go from its
// cursor in the journal to an outcome, and what is durable at each step. See
// docs/design/delivery.md for the machine as a table.
//
// A Lane has no goroutine and no clock of its own. Its owner asks Next what to
// do, does it, and reports back with the time:
//
//	Take     read a range, filter it, Assemble it, then Seal it in one transaction
//	Deliver  send one sealed payload, then Settle its result in one transaction
//
// Every transition writes to a journal.Tx and changes the lane in memory; the
// owner commits the transaction before it does anything else. When the commit
// fails the lane no longer knows what is durable, and is opened anew.
package delivery
