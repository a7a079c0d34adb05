package postgres

import (
	"errors"
	"regexp"
	"time"

	"auditrelay"
	"auditrelay/internal/pgdial"

	"github.com/jackc/pgx/v5"
)

// Options configure the store in Postgres. Only the URL has no default.
type Options struct {
	// URL is the database's URL, postgres://USER:PASSWORD@HOST:PORT/DATABASE with libpq's
	// parameters; over a network use sslmode=verify-full. A pooler such as PgBouncer works,
	// in any mode. For several hosts, HOST1,HOST2, add target_session_attrs=read-write, so
	// that the one that accepts writes is used. The database's encoding must be UTF8.
	// Required.
	URL auditrelay.Secret `yaml:"url"`

	// Schema is the schema of the tables. A missing schema is created, which needs the
	// right CREATE on the database. Do not use another program's schema: LiteLLM may drop
	// unknown tables from its own. Default: auditrelay.
	Schema string `yaml:"schema"`

	// Keep limits the records that stay. Default: all. The relay deletes the others once an
	// hour and records the number in an audit event. The sink itself deletes nothing.
	Keep Keep `yaml:"keep"`

	// Mark is a file in which the sink records the number of transactions that the database
	// acknowledged, so that it detects a loss of transactions after a restart too. Default: it
	// only detects a loss while it runs. A relay sets it.
	Mark string `yaml:"-"`
}

// Keep limits a store.
type Keep struct {
	// Age is the time since the event was received. Default: no limit.
	Age time.Duration `yaml:"age"`
	// Rows is the number of records; the oldest received go first. Default: no limit.
	Rows int64 `yaml:"rows"`
}

const defaultSchema = "auditrelay"

// schemaForm matches a name that needs no quotes.
var schemaForm = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

func (o Options) withDefaults() Options {
	if o.Schema == "" {
		o.Schema = defaultSchema
	}
	return o
}

// connection returns the parsed connection, or all errors in the options, joined.
func (o Options) connection() (*pgx.ConnConfig, error) {
	var problems []error
	bad := func(path, text string) {
		problems = append(problems, &auditrelay.OptionError{Path: path, Err: errors.New(text)})
	}
	c, _, err := pgdial.Parse(o.URL)
	if err != nil {
		bad("url", err.Error())
	}
	if !schemaForm.MatchString(o.Schema) || o.Schema == "public" {
		bad("schema", "expected a name of its own, of a-z, 0-9 and _, not public")
	}
	if o.Keep.Age < 0 {
		bad("keep.age", "it is negative")
	}
	if o.Keep.Rows < 0 {
		bad("keep.rows", "it is negative")
	}
	return c, errors.Join(problems...)
}

// Place returns the database and schema, without user and password.
func (o Options) Place() string {
	o = o.withDefaults()
	c, err := o.connection()
	if err != nil {
		return ""
	}
	return pgdial.Place(c) + "/" + o.Schema
}
