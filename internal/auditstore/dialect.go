package auditstore

// Dialect covers the differences between the two databases.
type Dialect uint8

const (
	SQLite Dialect = iota
	Postgres
)

// begin returns the first statement of a writing transaction. After it no two writers run at a
// time, no statement waits for a lock without limit, and a commit is on the server's disk
// whatever the server's default. SQLite's connections are configured to behave so already. The
// settings end with the transaction, so they also work through a pooler.
func (d Dialect) begin() string {
	if d == Postgres {
		return "SELECT set_config('lock_timeout', '30s', true), " +
			"set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, true), " +
			"pg_advisory_xact_lock(7235421906113552)"
	}
	return ""
}

// plain returns a column so that no index is used for it. This package decides which index
// drives a query, because SQLite may have no statistics.
func (d Dialect) plain(column string) string {
	if d == SQLite {
		return "+" + column
	}
	return column // Postgres keeps statistics by itself
}

// contains returns a condition as the text before and after its argument.
func (d Dialect) contains(column string) (before, after string) {
	if d == SQLite {
		return "instr(" + column + ", ", ") > 0"
	}
	return "strpos(" + column + ", ", ") > 0"
}

// beside returns the fields that an index contains after its sort key. A second filter is then
// checked in the index. Without this, two broad filters with a small intersection would read
// most of the table row by row. Postgres combines indexes by itself.
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

// types returns the types of columns. Both databases compare text by its bytes.
func (d Dialect) types() (position, text, bytes string) {
	if d == Postgres {
		return "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY", `TEXT COLLATE "C"`, "BYTEA"
	}
	return "INTEGER PRIMARY KEY AUTOINCREMENT", "TEXT", "BLOB"
}
