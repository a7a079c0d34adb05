// Package postgres reads LiteLLM's table of audit events in Postgres: the existing rows, then
// new ones. It skips no row, however late its transaction commits.
//
// The table has no index but its key and no column in commit order, and the relay must not
// change it. Postgres itself has the order: each row has the transaction that inserted it
// (xmin), and a snapshot has a horizon below which all transactions are finished. So the
// position is a transaction: every row inserted below it is accepted or in quarantine. A sweep
// reads the whole table in short transactions and takes the rows from the position on. When the
// sweep is done, the position becomes the horizon from before it began. Transactions that were
// still open are above that horizon, and the next sweep takes their rows. No clock is involved.
//
// Between sweeps, the source checks the end of the table, where most new rows are. It remembers
// the rows that it took there, above the horizon, until a sweep has passed them.
//
// Sweeps take at most a twentieth of the server's time, so a large table is swept less often.
package postgres
