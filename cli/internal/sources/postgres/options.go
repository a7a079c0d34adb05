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

// Relay accepts the rows. It is a *runtime.Runtime.
type Relay interface {
	Submit(ctx context.Context, events ...runtime.Submission) ([]runtime.Result, error)
	Quarantine(ctx context.Context, items ...runtime.Quarantined) error
	FindEarlier(ctx context.Context, namespace string, ids []string) ([]uint64, error)
	Same(ctx context.Context, sequence uint64, data []byte) (bool, error)
	Position(source string) ([]byte, error)
	SetPosition(ctx context.Context, source string, position []byte) error
}

// Options configure a Tail. The zero value of each optional field means its default.
type Options struct {
	Relay Relay // required

	// URL is a libpq connection string, or LiteLLM's DATABASE_URL. Required.
	URL auditrelay.Secret
	// Schema and Table name the table. Default: the URL's schema, otherwise the role's
	// search path; LiteLLM_AuditLog.
	Schema, Table string
	// Poll is the interval of checks for new rows. Default: 1 s.
	Poll time.Duration
	// Rate is the maximum number of rows per second. Default: 50,000.
	Rate int
	// Batch is the maximum number of rows in one submission. Default: 2,000.
	Batch int
	// FromNow skips the rows that exist at the first start. FromTime, if set, skips rows
	// updated before it. Default: all rows.
	FromNow  bool
	FromTime time.Time
	// Overlap is how far back, by updated_at, rows are read again after the server was
	// restored or failed over. Default: 24 h.
	Overlap time.Duration
	// Notify is a channel to LISTEN on. A notification triggers a check for new rows at
	// once. Default: none.
	Notify string

	// Namespace is the namespace of the events. Default: auditrelay.NamespaceLiteLLM.
	Namespace string

	// Seen, if not nil, is called with the number of rows read.
	Seen func(n int)

	Logger *slog.Logger // default: slog.Default()

	// MostPause is the maximum pause between attempts to connect. Default: 15 s.
	MostPause time.Duration
}

// The defaults.
const (
	// DefaultTable is the name of LiteLLM's table.
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

// CheckURL checks a connection string. The error contains no part of it.
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

// quoted returns name as an SQL identifier.
func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func qualified(schema, table string) string {
	if schema == "" {
		return quoted(table)
	}
	return quoted(schema) + "." + quoted(table)
}
