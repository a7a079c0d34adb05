package postgres

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"auditrelay"
	"auditrelay/internal/pgdial"

	"github.com/jackc/pgx/v5/pgconn"
)

// connection is a connection to the server, with the table's description there.
type connection struct {
	*pgconn.PgConn
	name    string // the table's name in SQL
	place   place
	columns []column
	made    []string                   // the server's expressions for the columns
	shape   string                     // description of the columns; it differs if they changed
	altered func(before, now []string) // called with their names if they changed; may be nil
	told    *atomic.Bool               // a notification arrived during a wait or with a response
}

// place identifies a table across connections.
type place struct {
	System   string `json:"system"`   // the cluster's identifier; empty if the role may not read it
	Timeline string `json:"timeline"` // changes with a failover and a point-in-time restore
	Database uint32 `json:"database"`
	Table    uint32 `json:"table"`
}

type column struct {
	name string
	key  []byte // the name as JSON, with its colon
	form form
}

// form says how to convert a column's text to JSON.
type form uint8

const (
	formJSON form = iota // already JSON
	formText
	formTime  // a time without an offset, in UTC
	formTimed // a time with its offset
)

func newColumn(name, kind string) column {
	key, _ := json.Marshal(name) // a string always encodes
	c := column{name: name, key: append(key, ':')}
	switch kind {
	case "text", "varchar", "bpchar", "uuid":
		c.form = formText
	case "timestamp":
		c.form = formTime
	case "timestamptz":
		c.form = formTimed
	}
	return c
}

// expression returns the server's expression for the column. The server does not convert text
// to JSON, since it takes three times as long.
func (c column) expression(kind string) string {
	if c.form != formJSON || kind == "json" || kind == "jsonb" {
		return quoted(c.name) + "::text"
	}
	return "to_json(" + quoted(c.name) + ")::text"
}

// append appends the column's value as JSON.
func (c column) append(b, v []byte) []byte {
	switch c.form {
	case formText:
		return appendText(b, v)
	case formTime, formTimed:
		date, clock, ok := bytes.Cut(v, []byte{' '})
		if !ok { // infinity
			return appendText(b, v)
		}
		b = append(append(append(append(b, '"'), date...), 'T'), clock...)
		if c.form == formTime {
			b = append(b, "+00:00"...)
		}
		return append(b, '"')
	}
	return append(b, v...)
}

// appendText appends a JSON string. Invalid UTF-8 stays invalid and is rejected later.
func appendText(b, v []byte) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	from := 0
	for i, c := range v {
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		b = append(b, v[from:i]...)
		from = i + 1
		if c < ' ' {
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
		} else {
			b = append(b, '\\', c)
		}
	}
	return append(append(b, v[from:]...), '"')
}

const oldest = 140000 // the first server version that can read a range of a table by place

// ConfigError says that the table cannot be read with the configuration of the database
// or of the relay.
type ConfigError struct{ Err error }

func (e *ConfigError) Error() string { return e.Err.Error() }
func (e *ConfigError) Unwrap() error { return e.Err }

func misconfigured(format string, args ...any) error {
	return &ConfigError{fmt.Errorf(format, args...)}
}

// connect opens a connection and looks the table up. The caller must close it.
func connect(ctx context.Context, url auditrelay.Secret, schema, table string) (*connection, error) {
	cfg, urlSchema, err := parseURL(url)
	if err != nil {
		return nil, &ConfigError{fmt.Errorf("url: %w", err)}
	}
	if schema == "" {
		schema = urlSchema
	}
	told := new(atomic.Bool)
	cfg.OnNotification = func(*pgconn.PgConn, *pgconn.Notification) { told.Store(true) }
	pc, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", pgdial.Explain(err))
	}
	c := &connection{PgConn: pc, name: qualified(schema, table), told: told}
	if err := c.describe(ctx); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *connection) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = c.Close(ctx) // what was read is done or will be read again
}

// describe looks the table up and reads its identity.
func (c *connection) describe(ctx context.Context) error {
	rows, err := c.query(ctx, `SELECT c.oid, c.relkind, d.oid, current_setting('server_version_num'), has_table_privilege(c.oid, 'SELECT')
		FROM pg_class c, pg_database d WHERE c.oid = to_regclass($1) AND d.datname = current_database()`, c.name)
	if err != nil {
		return fmt.Errorf("look up the table %s: %w", c.name, err)
	}
	if len(rows) == 0 {
		return misconfigured("there is no table %s in this database, or its schema is not the role's to see: name schema and table, and GRANT USAGE on the schema", c.name)
	}
	r := rows[0]
	if version, _ := strconv.Atoi(r[3]); version < oldest {
		return misconfigured("the server's version is %s; tailing a table needs Postgres 14 or newer", r[3])
	}
	if r[1] != "r" {
		return misconfigured("%s is no plain table (relkind %s): a view or a partitioned table has no rows of its own", c.name, r[1])
	}
	if r[4] != "t" {
		return misconfigured("the role may not read %s: GRANT SELECT ON %s", c.name, c.name)
	}
	c.place.Table, c.place.Database = oid(r[0]), oid(r[2])
	// A server may hide these values.
	if c.place.System, err = c.optional(ctx, "SELECT system_identifier::text FROM pg_control_system()"); err != nil {
		return err
	}
	c.place.Timeline, err = c.optional(ctx, "SELECT CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END")
	return err
}

// shapeSQL returns the table's columns in one text. $1 is its oid.
const shapeSQL = `(SELECT string_agg(format('%s %s %s', a.attnum, a.atttypid, a.attname), ',' ORDER BY a.attnum)
	FROM pg_attribute a WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped)`

// learn reads the table's columns.
func (c *connection) learn(ctx context.Context, shape string) error {
	rows, err := c.query(ctx, `SELECT a.attname, t.typname FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
		WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`, fmt.Sprint(c.place.Table))
	if err != nil {
		return fmt.Errorf("look up the columns of %s: %w", c.name, err)
	}
	var names, made []string
	var columns []column
	for _, r := range rows {
		col := newColumn(r[0], r[1])
		names, columns, made = append(names, r[0]), append(columns, col), append(made, col.expression(r[1]))
	}
	for _, name := range []string{"id", "action", "updated_at"} {
		if !slices.Contains(names, name) {
			return misconfigured("%s has no column %s: it is not LiteLLM's audit log", c.name, name)
		}
	}
	var before []string
	for _, col := range c.columns {
		before = append(before, col.name)
	}
	c.columns, c.made, c.shape = columns, made, shape
	if before != nil && c.altered != nil {
		c.altered(before, names)
	}
	return nil
}

func oid(text string) uint32 {
	n, _ := strconv.ParseUint(text, 10, 32) // always valid: the server wrote it
	return uint32(n)
}

// optional queries one value, and returns "" if the role may not read it.
func (c *connection) optional(ctx context.Context, sql string) (string, error) {
	rows, err := c.query(ctx, sql)
	if _, refused := errors.AsType[*pgdial.ServerError](err); refused {
		return "", nil
	}
	if err != nil || len(rows) == 0 {
		return "", err
	}
	return rows[0][0], nil
}

// query reads a small result. A null becomes "".
func (c *connection) query(ctx context.Context, sql string, args ...string) ([][]string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var rows [][]string
	err := c.each(ctx, sql, args, func(values [][]byte) error {
		row := make([]string, len(values))
		for i, v := range values {
			row[i] = string(v)
		}
		rows = append(rows, row)
		return nil
	})
	return rows, err
}

// each calls fn with every row of a result. values are valid until fn returns. If fn fails, the
// connection is no longer usable.
func (c *connection) each(ctx context.Context, sql string, args []string, fn func(values [][]byte) error) error {
	params := make([][]byte, len(args))
	for i, a := range args {
		params[i] = []byte(a)
	}
	r := c.ExecParams(ctx, sql, params, nil, nil, nil)
	for r.NextRow() {
		if err := fn(r.Values()); err != nil {
			return err
		}
	}
	_, err := r.Close()
	return pgdial.Explain(err)
}

// patience limits one transaction, and idle time and lock waits in it.
const patience = time.Minute

// begin opens a transaction with one snapshot of the table, and returns the snapshot's head.
// Nobody can alter the table before the transaction ends. Changes since the last transaction
// are detected here, so rows are read with the table's current columns.
func (c *connection) begin(ctx context.Context) (head, error) {
	// Row security would omit rows silently, so it must be an error. Synchronised or parallel
	// scans would return rows out of order.
	sql := "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL row_security = off; SET LOCAL timezone = 'UTC'; " +
		"SET LOCAL client_encoding = 'UTF8'; SET LOCAL datestyle = 'ISO'; SET LOCAL synchronize_seqscans = off; SET LOCAL enable_seqscan = off; SET LOCAL max_parallel_workers_per_gather = 0; " +
		fmt.Sprintf("SET LOCAL statement_timeout = %[1]d; SET LOCAL idle_in_transaction_session_timeout = %[1]d; SET LOCAL lock_timeout = 10000; ", patience.Milliseconds()) +
		"LOCK TABLE " + c.name + " IN ACCESS SHARE MODE"
	at := time.Now().UTC()
	if err := c.run(ctx, sql); err != nil {
		return head{}, fmt.Errorf("begin to read %s: %w", c.name, err)
	}
	rows, err := c.query(ctx, `SELECT pg_snapshot_xmin(s)::text, pg_snapshot_xmax(s)::text, pg_relation_filenode($1::oid)::text,
		(pg_relation_size($1::oid) / current_setting('block_size')::bigint)::text, to_regclass($2)::oid::text,
		row_security_active(to_regclass($2)::oid), `+shapeSQL+` FROM pg_current_snapshot() s`, fmt.Sprint(c.place.Table), c.name)
	if err != nil {
		return head{}, fmt.Errorf("look at %s: %w", c.name, err)
	}
	r := rows[0]
	if oid(r[4]) != c.place.Table {
		return head{}, fmt.Errorf("another table has taken the place of %s: it is looked up anew", c.name)
	}
	if r[5] == "t" {
		return head{}, c.hidden(ctx)
	}
	if r[6] != c.shape {
		if err := c.learn(ctx, r[6]); err != nil {
			return head{}, err
		}
	}
	var n [4]uint64
	for i, text := range r[:4] {
		if n[i], err = strconv.ParseUint(text, 10, 63); err != nil {
			return head{}, fmt.Errorf("look at %s: the server's answer is no number", c.name)
		}
	}
	return head{at: at, xmin: n[0], xmax: n[1], file: n[2], blocks: int64(n[3])}, nil
}

// hidden returns an error if policies hide rows from the role.
func (c *connection) hidden(ctx context.Context) error {
	names, err := c.query(ctx, "SELECT coalesce(string_agg(quote_ident(polname), ', ' ORDER BY polname), 'none, which hides all') FROM pg_policy WHERE polrelid = $1::oid", fmt.Sprint(c.place.Table))
	if err != nil {
		return err
	}
	return misconfigured("row-level security hides rows of %s from the role (policies: %s): ALTER ROLE ... BYPASSRLS, or let the role see all", c.name, names[0][0])
}

// run runs statements without results.
func (c *connection) run(ctx context.Context, sql string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err := c.Exec(ctx, sql).ReadAll()
	return pgdial.Explain(err)
}

func (c *connection) commit(ctx context.Context) error { return c.run(ctx, "COMMIT") }

// head describes a snapshot.
type head struct {
	at         time.Time // a time before the snapshot: everything committed by then is in it
	xmin, xmax uint64    // all transactions below xmin are finished; none from xmax on has begun
	file       uint64    // the file with the table; it differs after a rewrite
	blocks     int64
}

// full returns the full number of a transaction from the low 32 bits in a row. If rows
// are older than 2^32 transactions, the number may be too large: such a row is read
// again, never skipped.
func (h head) full(xid uint64) uint64 { return h.xmax - (h.xmax-xid)&(1<<32-1) }

// tid is a row's place: block and item.
type tid uint64

func (t tid) block() int64 { return int64(t >> 16) }

func (t tid) String() string { return fmt.Sprintf("(%d,%d)", t>>16, t&0xffff) }

func parseTID(text string) (tid, error) {
	block, item, ok := strings.Cut(strings.Trim(text, "()"), ",")
	b, err := strconv.ParseUint(block, 10, 32)
	i, err2 := strconv.ParseUint(item, 10, 16)
	if err != nil || err2 != nil || !ok {
		return 0, errors.New("the server's answer is no place of a row")
	}
	return tid(b<<16 | i), nil
}
