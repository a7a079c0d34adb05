package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"auditrelay"
	"auditrelay/runtime"

	"github.com/jackc/pgx/v5/pgconn"
)

// Relay is what takes the rows: a *runtime.Runtime.
type Relay interface {
	Submit(ctx context.Context, events ...runtime.Submission) ([]runtime.Result, error)
	Quarantine(ctx context.Context, items ...runtime.Quarantined) error
	FindEarlier(ctx context.Context, ids []string) ([]uint64, error)
	Same(ctx context.Context, sequence uint64, data []byte) (bool, error)
	Position(source string) ([]byte, error)
	SetPosition(ctx context.Context, source string, position []byte) error
}

// Options configure a Source.
type Options struct {
	Relay Relay // required

	// URL is a connection string as libpq takes it, or LiteLLM's DATABASE_URL.
	URL auditrelay.Secret
	// Schema and Table name the table. Default: the URL's schema, else the role's
	// search path; LiteLLM_AuditLog.
	Schema, Table string
	// Poll is how often new rows are looked for. Default 1 s.
	Poll time.Duration
	// Rate bounds the rows taken in a second. Default 50,000.
	Rate int
	// Batch is the most rows of one submission. Default 2,000.
	Batch int
	// FromNow takes nothing of what the table has at the first start; FromTime, where
	// set, nothing that was updated before. Default: everything is taken.
	FromNow  bool
	FromTime time.Time
	// Overlap is how far back rows are read again where the server was restored or
	// failed over, by their updated_at. Default 24 h.
	Overlap time.Duration
	// Notify is a channel to LISTEN on: a notification has new rows looked for at
	// once. Default: none.
	Notify string

	// Seen, where set, is told how many rows were read.
	Seen func(n int)

	Logger *slog.Logger // default slog.Default()

	// MostPause bounds the pauses between tries to connect. Default 15 s.
	MostPause time.Duration
}

// The defaults.
const (
	// DefaultTable is LiteLLM's.
	DefaultTable = "LiteLLM_AuditLog"
	defaultPoll  = time.Second
	defaultRate  = 50_000
	// DefaultBatch is the default of Options.Batch.
	DefaultBatch = 2_000
)

func (o Options) withDefaults() Options {
	o.Table = cmp.Or(o.Table, DefaultTable)
	o.Poll = cmp.Or(o.Poll, defaultPoll)
	o.Rate = cmp.Or(o.Rate, defaultRate)
	o.Batch = cmp.Or(o.Batch, DefaultBatch)
	o.Overlap = cmp.Or(o.Overlap, 24*time.Hour)
	o.MostPause = cmp.Or(o.MostPause, defaultMostPause)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

// CheckURL says what is wrong with a connection string, without any of it.
func CheckURL(url auditrelay.Secret) error {
	_, _, err := parseURL(url)
	return err
}

// prisma are parameters that LiteLLM's own client takes in the URL and no server
// knows.
var prisma = map[string]bool{
	"schema": true, "connection_limit": true, "pool_timeout": true, "pgbouncer": true, "socket_timeout": true,
	"statement_cache_size": true, "sslaccept": true, "sslidentity": true, "sslpassword": true, "single_use_connections": true,
}

func parseURL(url auditrelay.Secret) (c *pgconn.Config, schema string, err error) {
	if url == "" {
		return nil, "", errors.New("it is required: the connection string of LiteLLM's database, with a role that may read the table")
	}
	c, err = pgconn.ParseConfig(url.Reveal())
	if err != nil {
		// The library's text may quote a piece of the password.
		return nil, "", errors.New("it is no connection string: expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with what is special in the password escaped (%40 for @)")
	}
	schema = c.RuntimeParams["schema"]
	for name := range c.RuntimeParams {
		if prisma[name] {
			delete(c.RuntimeParams, name)
		}
	}
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "auditrelay"
	}
	c.ConnectTimeout = cmp.Or(c.ConnectTimeout, 10*time.Second)
	return c, schema, nil
}

// quoted is a name as SQL has it.
func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func qualified(schema, table string) string {
	if schema == "" {
		return quoted(table)
	}
	return quoted(schema) + "." + quoted(table)
}

// plain is err without what a server may tell of data: its detail and context.
func plain(err error) error {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return &ServerError{Code: e.Code, Message: e.Message}
	}
	return err
}

// ServerError is what the server refused.
type ServerError struct{ Code, Message string }

func (e *ServerError) Error() string {
	return fmt.Sprintf("the server says: %s (SQLSTATE %s)%s", e.Message, e.Code, hint(e.Code))
}

func hint(code string) string {
	switch code {
	case "42501":
		return "; the role needs: GRANT SELECT ON the table, and USAGE on its schema"
	case "53300":
		return "; the relay needs one connection"
	}
	return ""
}
