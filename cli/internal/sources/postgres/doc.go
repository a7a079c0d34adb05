// Package postgres tails a table of audit events in Postgres, LiteLLM's: it reads what
// is there, follows what comes, and skips no row, however late its transaction commits.
//
// The table has no index but its key and no column that orders commits, and nothing in
// it is ours to change. What orders commits is Postgres itself: each row carries the
// transaction that inserted it (xmin), and a snapshot says below which transaction all
// are finished. So the position is a transaction: every row inserted below it is
// accepted or in quarantine. A sweep goes through the whole table in short transactions
// and takes the rows from the position on; when it is done the position is the horizon
// as it was before the sweep began. What was still open then lies above it, and belongs
// to the next one. No clock takes part.
//
// Between sweeps the table's end is looked at, where most rows come. What is taken
// there, above the horizon, is remembered until a sweep has passed it.
//
// Reading never takes more than a twentieth of the server's time for a sweep: a large
// table is swept less often.
package postgres
