package auditstore

// Dialect is the database's own way of saying what the two say differently.
type Dialect uint8

const (
	SQLite Dialect = iota
	Postgres
)

// begin is the first statement of a writing transaction: with it, no two of them run at
// a time, none waits for a lock without an end, and a commit is on the server's disk,
// whatever its own default. SQLite's connections are set up so. Nothing of it outlives
// the transaction, so that it holds through a pooler.
func (d Dialect) begin() string {
	if d == Postgres {
		return "SELECT set_config('lock_timeout', '30s', true), " +
			"set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, true), " +
			"pg_advisory_xact_lock(7235421906113552)"
	}
	return ""
}

// plain is a column where no index is to be used for it: which one drives a query is
// decided here and not by statistics that SQLite may not have.
func (d Dialect) plain(column string) string {
	if d == SQLite {
		return "+" + column
	}
	return column // Postgres keeps statistics by itself
}

// contains is a condition up to its argument, which closes it.
func (d Dialect) contains(column string) (before, after string) {
	if d == SQLite {
		return "instr(" + column + ", ", ") > 0"
	}
	return "strpos(" + column + ", ", ") > 0"
}

// beside are the fields that an index holds behind its order, so that a second filter is
// looked at in the index: two broad ones that seldom meet would read most of the table
// otherwise, row by row. Postgres combines indexes by itself.
func (d Dialect) beside(f Field) (columns string) {
	if d == Postgres || f == FieldID {
		return ""
	}
	for _, other := range []Field{FieldAction, FieldTable} {
		if other != f {
			columns += ", " + string(other)
		}
	}
	return columns
}

// types are the types of columns. Text is compared by its bytes in both.
func (d Dialect) types() (position, text, bytes string) {
	if d == Postgres {
		return "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY", `TEXT COLLATE "C"`, "BYTEA"
	}
	return "INTEGER PRIMARY KEY AUTOINCREMENT", "TEXT", "BLOB"
}
