package auditstore

// Dialect is the database's own way of saying what the two say differently.
type Dialect uint8

const (
	SQLite Dialect = iota
	Postgres
)

// lock is the first statement of a writing transaction: with it, no two of them run
// at a time. SQLite's begin as the only writer already.
func (d Dialect) lock() string {
	if d == Postgres {
		return "SELECT pg_advisory_xact_lock(7235421906113552)"
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

// schema makes what is not there. Text is compared by its bytes in both.
func (d Dialect) schema() []string {
	position, text := "INTEGER PRIMARY KEY AUTOINCREMENT", "TEXT NOT NULL"
	if d == Postgres {
		position, text = "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY", `TEXT COLLATE "C" NOT NULL`
	}
	statements := []string{
		"CREATE TABLE IF NOT EXISTS auditrelay_meta (name " + text + " PRIMARY KEY, value BIGINT NOT NULL)",
		"CREATE TABLE IF NOT EXISTS auditrelay_journals (number " + position + ", name " + text + " UNIQUE, identity " + text + ")",
		"CREATE TABLE IF NOT EXISTS auditrelay_events (position " + position + ", journal BIGINT NOT NULL, sequence BIGINT NOT NULL, " +
			"tombstone BIGINT NOT NULL, updated_at BIGINT NOT NULL, received BIGINT NOT NULL, " +
			"action " + text + ", table_name " + text + ", object_id " + text + ", changed_by " + text + ", changed_by_api_key " + text + ", " +
			"namespace " + text + ", id " + text + ", data " + text + ")",
		"CREATE UNIQUE INDEX IF NOT EXISTS auditrelay_events_place ON auditrelay_events (journal, sequence)",
		"CREATE INDEX IF NOT EXISTS auditrelay_events_received ON auditrelay_events (received, position)",
		"CREATE INDEX IF NOT EXISTS auditrelay_events_updated_at ON auditrelay_events (updated_at, position)",
	}
	for _, f := range indexed {
		statements = append(statements, "CREATE INDEX IF NOT EXISTS auditrelay_events_"+string(f)+" ON auditrelay_events ("+string(f)+", updated_at, position"+d.beside(f)+")")
	}
	return statements
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
