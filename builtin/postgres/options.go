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
	// URL of the database, postgres://USER:PASSWORD@HOST:PORT/DATABASE with libpq's
	// parameters: over a network with sslmode=verify-full. It may lead through a pooler such
	// as PgBouncer, whatever its mode. With several hosts, HOST1,HOST2, add
	// target_session_attrs=read-write: the one that takes writes is used. The database's
	// encoding is UTF8. Required.
	URL auditrelay.Secret `yaml:"url"`

	// Schema that the tables are in. It is made where it is not there, which takes the
	// right CREATE on the database. No other program's: LiteLLM may drop from its own
	// what it does not know. Default: auditrelay.
	Schema string `yaml:"schema"`

	// Keep says which records stay. Default: all do. The relay deletes the others, once
	// an hour, and tells in an audit event how many; the sink by itself deletes none.
	Keep Keep `yaml:"keep"`

	// Mark is a file in which the sink notes how many transactions the database has
	// acknowledged, so that it notices after a restart, too, that some of them were lost.
	// Default: it notices while it runs. A relay sets it.
	Mark string `yaml:"-"`
}

// Keep bounds what a store holds.
type Keep struct {
	// Age since the event was received. Default: no bound.
	Age time.Duration `yaml:"age"`
	// Rows is how many records; those received longest ago go first. Default: no bound.
	Rows int64 `yaml:"rows"`
}

const defaultSchema = "auditrelay"

// schemaForm is a name that needs no quotes.
var schemaForm = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

func (o Options) withDefaults() Options {
	if o.Schema == "" {
		o.Schema = defaultSchema
	}
	return o
}

// connection is how to connect; what is wrong with the options otherwise, joined.
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

// Place names the database and schema, without user and password.
func (o Options) Place() string {
	o = o.withDefaults()
	c, err := o.connection()
	if err != nil {
		return ""
	}
	return pgdial.Place(c) + "/" + o.Schema
}
