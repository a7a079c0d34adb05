package postgres

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"auditrelay"
	"auditrelay/internal/pgdial"
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

// Options configure a Tail.
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

func parseURL(url auditrelay.Secret) (c *pgconn.Config, schema string, err error) {
	if url == "" {
		return nil, "", errors.New("it is required: the connection string of LiteLLM's database, with a role that may read the table")
	}
	parsed, schema, err := pgdial.Parse(url)
	if err != nil {
		return nil, "", err
	}
	c = &parsed.Config
	c.RuntimeParams["application_name"] = cmp.Or(c.RuntimeParams["application_name"], "auditrelay")
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
