package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"auditrelay/internal/pgdial"
)

// listed is one row of a range: its place and its transaction.
type listed struct {
	tid tid
	xid uint64
}

// wanted selects the rows of a range.
type wanted struct {
	lower uint64    // inserted by this or a later transaction
	since time.Time // if set: or updated at or after
	from  time.Time // if set: and updated at or after
	to    time.Time // if set: and updated before
}

const instant = "2006-01-02 15:04:05.999999"

// list returns at most most rows in blocks [from, to), in order, and the block to continue
// from.
func (c *connection) list(ctx context.Context, h head, w wanted, from, to int64, most int) (rows []listed, next int64, err error) {
	mine := fmt.Sprintf("(%[1]d - ((%[1]d - xmin::text::bigint) & 4294967295) >= %[2]d", h.xmax, w.lower)
	args := []string{fmt.Sprintf("(%d,0)", from), fmt.Sprintf("(%d,0)", to)}
	if !w.since.IsZero() {
		args = append(args, w.since.UTC().Format(instant))
		mine += fmt.Sprintf(` OR "updated_at" >= $%d::timestamp`, len(args))
	}
	mine += ")"
	if !w.from.IsZero() {
		args = append(args, w.from.UTC().Format(instant))
		mine += fmt.Sprintf(` AND "updated_at" >= $%d::timestamp`, len(args))
	}
	if !w.to.IsZero() {
		args = append(args, w.to.UTC().Format(instant))
		mine += fmt.Sprintf(` AND "updated_at" < $%d::timestamp`, len(args))
	}
	sql := fmt.Sprintf("SELECT ctid::text, xmin::text FROM ONLY %s WHERE ctid >= $1::tid AND ctid < $2::tid AND %s LIMIT %d", c.name, mine, most)
	last := tid(0)
	err = c.each(ctx, sql, args, func(v [][]byte) error {
		t, err := parseTID(string(v[0]))
		xid, err2 := strconv.ParseUint(string(v[1]), 10, 32)
		if err = errors.Join(err, err2); err != nil {
			return err
		}
		if t < last {
			return errors.New("the server gives rows out of order")
		}
		last = t
		rows = append(rows, listed{t, h.full(xid)})
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("list rows of %s: %w", c.name, err)
	}
	if len(rows) < most {
		return rows, to, nil
	}
	// The last block may have more rows.
	next = last.block()
	if next == from {
		return nil, 0, fmt.Errorf("list rows of %s: more than %d in one block", c.name, most)
	}
	for len(rows) > 0 && rows[len(rows)-1].tid.block() == next {
		rows = rows[:len(rows)-1]
	}
	return rows, next, nil
}

// row is one row as an event.
type row struct {
	listed
	id    string // the id, if it is known, for finding the row
	data  []byte
	bytes int64 // size of the whole row; above maxRow, data has only the id
	// fault, if set, says why the server cannot return the row properly. data is then the row's
	// stored bytes, or only the id.
	fault *pgdial.ServerError
}

// maxRow limits how much of one row is read.
const maxRow = 16 << 20

// maxID limits how much of an id is read if the row is not read.
const maxID = 512

// fetch calls fn with the rows at these places, each in its own memory. A row that the server
// cannot return does not affect the others.
func (c *connection) fetch(ctx context.Context, at []listed, fn func(row) error) error {
	err := c.apart(ctx, at,
		func(at []listed, given func(tid)) error {
			return c.fetchThese(ctx, at, func(r row) error { given(r.tid); return fn(r) })
		},
		func(one listed, fault *pgdial.ServerError) error { return c.fetchFaulty(ctx, one, fault, fn) })
	if err != nil {
		return fmt.Errorf("read rows of %s: %w", c.name, err)
	}
	return nil
}

func (c *connection) fetchThese(ctx context.Context, at []listed, fn func(row) error) error {
	xids := make(map[tid]uint64, len(at))
	for _, l := range at {
		xids[l.tid] = l.xid
	}
	return c.each(ctx, c.fetchSQL(), []string{tidArray(at)}, func(v [][]byte) error {
		t, err := parseTID(string(v[0]))
		size, err2 := strconv.ParseInt(string(v[1]), 10, 64)
		if err = errors.Join(err, err2); err != nil {
			return err
		}
		r := row{listed: listed{t, xids[t]}, id: string(v[2]), bytes: size}
		if size <= maxRow {
			r.data = c.event(v[3:])
		} else if r.data, err = json.Marshal(map[string]string{"id": r.id}); err != nil {
			return err
		}
		return fn(r)
	})
}

// fetchFaulty calls fn with a row that the server cannot return in UTF-8, or not at all: with
// its stored bytes, otherwise with its id, otherwise with its place.
func (c *connection) fetchFaulty(ctx context.Context, at listed, fault *pgdial.ServerError, fn func(row) error) error {
	r := row{listed: at, fault: fault}
	bare := func(id string) (err error) {
		r.id = id
		r.data, err = json.Marshal(map[string]string{"id": id, "place": at.tid.String()})
		return err
	}
	for _, read := range []func() error{
		func() error {
			return c.fetchThese(ctx, []listed{at}, func(raw row) error {
				r.id, r.data, r.bytes = raw.id, raw.data, raw.bytes
				return nil
			})
		},
		func() error {
			sql := fmt.Sprintf(`SELECT left("id"::text, %d) FROM ONLY %s WHERE ctid = $1::tid`, maxID, c.name)
			return c.each(ctx, sql, []string{at.tid.String()}, func(v [][]byte) error { return bare(string(v[0])) })
		},
		func() error { return bare("") },
	} {
		// Without a conversion the server sends the stored bytes.
		err := c.attempt(ctx, "SET LOCAL client_encoding = 'SQL_ASCII'", read)
		if faultOfRow(err) != nil {
			continue
		}
		if err == nil && r.data != nil {
			err = fn(r)
		}
		return err // without data: the row no longer exists
	}
	return fault
}

// faultOfRow returns err if a row's content caused it: a failed conversion, or damage.
func faultOfRow(err error) *pgdial.ServerError {
	e, ok := errors.AsType[*pgdial.ServerError](err)
	if ok && (strings.HasPrefix(e.Code, "22") || e.Code == "XX001" || e.Code == "54000") {
		return e
	}
	return nil
}

// apart runs read on the rows at these places; read calls given for each row that it returned.
// If a row's content makes read fail, apart runs it on halves of the rest until that row is
// alone, and then calls faulty. It must run in a transaction, which continues.
func (c *connection) apart(ctx context.Context, at []listed, read func(at []listed, given func(tid)) error, faulty func(listed, *pgdial.ServerError) error) error {
	done := make(map[tid]bool, len(at))
	err := c.attempt(ctx, "", func() error { return read(at, func(t tid) { done[t] = true }) })
	fault := faultOfRow(err)
	if fault == nil {
		return err
	}
	var rest []listed
	for _, l := range at {
		if !done[l.tid] {
			rest = append(rest, l)
		}
	}
	switch n := len(rest) / 2; {
	case len(rest) == 0:
		return err // not caused by the content of a row
	case len(rest) == 1:
		return faulty(rest[0], fault)
	default:
		if err := c.apart(ctx, rest[:n], read, faulty); err != nil {
			return err
		}
		return c.apart(ctx, rest[n:], read, faulty)
	}
}

// attempt runs fn so that the transaction continues after an error of the server. The settings
// in with apply only to fn.
func (c *connection) attempt(ctx context.Context, with string, fn func() error) error {
	if err := c.run(ctx, "SAVEPOINT attempt; "+with); err != nil {
		return err
	}
	err := fn()
	if _, refused := errors.AsType[*pgdial.ServerError](err); err != nil && !refused {
		return err // the connection is no longer usable
	}
	if undo := c.run(ctx, "ROLLBACK TO SAVEPOINT attempt; RELEASE SAVEPOINT attempt"); undo != nil {
		return undo
	}
	return err
}

// tidArray formats an array for Postgres.
func tidArray(at []listed) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, l := range at {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"%v"`, l.tid)
	}
	return b.String() + "}"
}

// fetchSQL measures a row before it sends it. The subqueries avoid converting a column to text
// more than once.
func (c *connection) fetchSQL() string {
	var made, sizes, sent []string
	for i, expression := range c.made {
		made = append(made, fmt.Sprintf("%s AS c%d", expression, i))
		sizes = append(sizes, fmt.Sprintf("coalesce(octet_length(c%d), 0)::bigint", i))
		sent = append(sent, fmt.Sprintf("CASE WHEN n <= %d THEN c%d END", maxRow, i))
	}
	return fmt.Sprintf(`SELECT t, n, k, %s FROM (SELECT *, %s AS n FROM (SELECT ctid::text AS t, left("id"::text, %d) AS k, %s FROM ONLY %s WHERE ctid = ANY($1::tid[]) OFFSET 0) a OFFSET 0) b`,
		strings.Join(sent, ", "), strings.Join(sizes, " + "), maxID, strings.Join(made, ", "), c.name)
}

// event combines a row's columns into an event in LiteLLM's form. A null is omitted.
func (c *connection) event(values [][]byte) []byte {
	size := 2
	for i, v := range values {
		size += len(c.columns[i].key) + len(v) + 16
	}
	b := append(make([]byte, 0, size), '{')
	for i, v := range values {
		if v == nil {
			continue
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = c.columns[i].append(append(b, c.columns[i].key...), v)
	}
	return append(b, '}')
}
