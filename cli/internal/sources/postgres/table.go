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

// connection is one to the server, and the table as it is there.
type connection struct {
	*pgconn.PgConn
	name    string // of the table, as SQL has it
	place   place
	columns []column
	made    []string                   // what the server makes of them
	shape   string                     // of the columns: another one where they changed
	altered func(before, now []string) // is called where they did, with their names; may be nil
	told    *atomic.Bool               // a notification came, in a wait or beside an answer
}

// place identifies a table across connections.
type place struct {
	System   string `json:"system"`   // of the cluster; empty where the role may not know
	Timeline string `json:"timeline"` // changes with a failover and a restore in time
	Database uint32 `json:"database"`
	Table    uint32 `json:"table"`
}

type column struct {
	name string
	key  []byte // the name as JSON, with its colon
	form form
}

// form is how a column's text becomes JSON.
type form uint8

const (
	formJSON form = iota // it is JSON
	formText
	formTime  // without an offset, and in UTC
	formTimed // with its offset
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

// expression is what the server makes of the column. Text is not made JSON there: that
// takes it three times as long.
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

// appendText appends a JSON string. What is not UTF-8 stays so, and is refused later.
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

const oldest = 140000 // the first server that reads a range of a table by place

// ConfigError says that the table cannot be read with the configuration of the database
// or of the relay.
type ConfigError struct{ Err error }

func (e *ConfigError) Error() string { return e.Err.Error() }
func (e *ConfigError) Unwrap() error { return e.Err }

func misconfigured(format string, args ...any) error {
	return &ConfigError{fmt.Errorf(format, args...)}
}

// connect opens a connection and looks the table up. The caller closes it.
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
	_ = c.Close(ctx) // what it was read for is done or will be read again
}

// describe looks the table up, and says whose it is.
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
	// A server may keep these to itself.
	if c.place.System, err = c.optional(ctx, "SELECT system_identifier::text FROM pg_control_system()"); err != nil {
		return err
	}
	c.place.Timeline, err = c.optional(ctx, "SELECT CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END")
	return err
}

// shapeSQL is the table's columns in one text; $1 is its oid.
const shapeSQL = `(SELECT string_agg(format('%s %s %s', a.attnum, a.atttypid, a.attname), ',' ORDER BY a.attnum)
	FROM pg_attribute a WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped)`

// learn reads which columns the table has.
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
	n, _ := strconv.ParseUint(text, 10, 32) // the server wrote it
	return uint32(n)
}

// optional asks for one value, and returns the empty one where the role may not know.
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

// query reads a small answer whole; null is the empty string.
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

// each calls fn with every row of an answer; the values are valid until it returns.
// Where fn fails the connection is not usable any more.
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

// patience bounds one transaction, and idleness and locks within it.
const patience = time.Minute

// begin opens a transaction that sees one state of the table, and says which. Nobody can
// alter the table before the transaction ends: what changed since the last one is found
// out here, and rows are read as the table is now.
func (c *connection) begin(ctx context.Context) (head, error) {
	// Row security would leave rows out without a word: it is an error instead. Scans
	// that begin anywhere, or run beside each other, would give rows out of order.
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

// hidden says that policies hide rows from the role, and which.
func (c *connection) hidden(ctx context.Context) error {
	names, err := c.query(ctx, "SELECT coalesce(string_agg(quote_ident(polname), ', ' ORDER BY polname), 'none, which hides all') FROM pg_policy WHERE polrelid = $1::oid", fmt.Sprint(c.place.Table))
	if err != nil {
		return err
	}
	return misconfigured("row-level security hides rows of %s from the role (policies: %s): ALTER ROLE ... BYPASSRLS, or let the role see all", c.name, names[0][0])
}

// run runs statements that answer nothing.
func (c *connection) run(ctx context.Context, sql string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err := c.Exec(ctx, sql).ReadAll()
	return pgdial.Explain(err)
}

func (c *connection) commit(ctx context.Context) error { return c.run(ctx, "COMMIT") }

// head is what a snapshot sees.
type head struct {
	at         time.Time // before the snapshot: what was committed by then is in it
	xmin, xmax uint64    // below xmin all transactions are finished; at xmax none has begun
	file       uint64    // that holds the table; another one where it was rewritten
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
