package postgres

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"auditrelay"
	"auditrelay/cli/internal/api"
	"auditrelay/internal/pgdial"
	"auditrelay/runtime"
)

// Reconciliation configures a comparison.
type Reconciliation struct {
	URL           auditrelay.Secret
	Schema, Table string
	Namespace     string // namespace of the events; default: auditrelay.NamespaceLiteLLM
	// From and To limit the events by their own time (updated_at); To is exclusive.
	From, To time.Time
	// Repair submits the rows that the journal lacks.
	Repair bool
}

// The results of a comparison.
type (
	Difference = api.Difference
	Reconciled = api.Reconciled
)

// atATime is the number of ids that are compared, and rows that are in memory, at a time.
const atATime = 2_000

// Reconcile compares the table with the journal over a range of time, in both directions, and
// calls fn with each difference. Its memory does not depend on the range. A row that arrives
// during the comparison may be reported as missing.
func Reconcile(ctx context.Context, rt *runtime.Runtime, o Reconciliation, fn func(Difference) error) (Reconciled, error) {
	if o.Table == "" {
		o.Table = DefaultTable
	}
	c, err := connect(ctx, o.URL, o.Schema, o.Table)
	if err != nil {
		return Reconciled{}, &TableError{err}
	}
	defer c.close()
	r := reconciler{rt: rt, c: c, o: o, fn: fn,
		intake: intake{relay: rt, provenance: auditrelay.Provenance{Source: sourceName, Principal: o.Table}, namespace: o.Namespace}}
	if stats := rt.Stats(); stats.Oldest > 1 {
		r.done.JournalSince = stats.OldestAt.UTC()
	}
	if err := r.table(ctx); err != nil {
		return r.done, err
	}
	return r.done, r.journal(ctx)
}

// TableError says that the table could not be read.
type TableError struct{ Err error }

func (e *TableError) Error() string { return "the table could not be read: " + e.Err.Error() }
func (e *TableError) Unwrap() error { return e.Err }

type reconciler struct {
	rt     *runtime.Runtime
	c      *connection
	o      Reconciliation
	fn     func(Difference) error
	intake intake
	done   Reconciled
}

// table looks up each row in the journal.
func (r *reconciler) table(ctx context.Context) error {
	const span = 1 << 12 // in blocks
	file := uint64(0)
	for at, end := int64(0), int64(1); at < end; {
		err := func() error {
			h, err := r.c.begin(ctx)
			if err != nil {
				return &TableError{err}
			}
			if file != 0 && file != h.file {
				return &TableError{fmt.Errorf("%s was rewritten meanwhile: compare again", r.c.name)}
			}
			file, end = h.file, h.blocks
			if at >= end {
				return r.c.commit(ctx)
			}
			w := wanted{from: r.o.From, to: r.o.To}
			list, next, err := r.c.list(ctx, h, w, at, min(at+span, end), 5*atATime)
			if err != nil {
				return &TableError{err}
			}
			for len(list) > 0 {
				n := min(len(list), atATime)
				if err := r.lookUp(ctx, list[:n]); err != nil {
					return err
				}
				list = list[n:]
			}
			at = next
			return r.c.commit(ctx)
		}()
		if err != nil {
			return err
		}
	}
	return nil
}

// lookUp reports which of these rows the journal lacks.
func (r *reconciler) lookUp(ctx context.Context, list []listed) error {
	places := make(map[tid]listed, len(list))
	for _, l := range list {
		places[l.tid] = l
	}
	var ids []string
	var at []listed
	var times []time.Time
	sql := fmt.Sprintf(`SELECT ctid::text, left("id"::text, %d), extract(epoch FROM "updated_at")::numeric(20, 3)::text FROM ONLY %s WHERE ctid = ANY($1::tid[]) AND isfinite("updated_at")`, maxID, r.c.name)
	err := r.c.apart(ctx, list, func(list []listed, given func(tid)) error {
		return r.c.each(ctx, sql, []string{tidArray(list)}, func(v [][]byte) error {
			t, err := parseTID(string(v[0]))
			if err != nil {
				return err
			}
			given(t)
			ids, at, times = append(ids, string(v[1])), append(at, places[t]), append(times, epoch(string(v[2])))
			return nil
		})
	}, func(listed, *pgdial.ServerError) error {
		r.done.Unreadable++
		return nil
	})
	if err != nil {
		return &TableError{fmt.Errorf("read ids of %s: %w", r.c.name, err)}
	}
	r.done.Rows += uint64(len(ids))
	found, err := r.rt.Find(ctx, r.o.Namespace, ids)
	if err != nil {
		return err
	}
	for i, sequence := range found {
		if sequence > 0 {
			continue
		}
		d := Difference{MissingFrom: api.MissingFromJournal, ID: ids[i], Time: times[i]}
		if times[i].Before(r.done.JournalSince) {
			d.Unsure = true
			r.done.Unsure++
		} else {
			r.done.MissingInJournal++
			if r.o.Repair {
				if err := r.repair(ctx, at[i], &d); err != nil {
					return err
				}
			}
		}
		if err := r.fn(d); err != nil {
			return err
		}
	}
	return nil
}

// repair submits one row, or puts it into quarantine.
func (r *reconciler) repair(ctx context.Context, at listed, d *Difference) error {
	return r.c.fetch(ctx, []listed{at}, func(one row) error {
		done, err := r.intake.take(ctx, []row{one})
		if err != nil {
			return err
		}
		d.Quarantined = done.Quarantined > 0
		if d.Repaired = done.Accepted+done.Duplicates > 0; d.Repaired {
			r.done.Repaired++
		}
		return nil
	})
}

// journal looks up each event in the table.
func (r *reconciler) journal(ctx context.Context) error {
	var batch []inJournal
	end := r.rt.Stats().Head // the next comparison covers later events
	for at := uint64(1); at < end; {
		if err := ctx.Err(); err != nil {
			return err
		}
		events, next, err := r.rt.Stored(at, atATime)
		if err != nil {
			return err
		}
		if next == at || len(events) == 0 {
			break
		}
		for _, e := range events {
			if e.Sequence < end && e.Namespace == cmp.Or(r.o.Namespace, auditrelay.NamespaceLiteLLM) && !e.Time.Before(r.o.From) && e.Time.Before(r.o.To) {
				one := inJournal{Event: e, unstorable: unstorable(e.Data)}
				one.Data = nil
				batch = append(batch, one)
			}
		}
		at = next
		if len(batch) >= atATime {
			if err := r.lookUpEvents(ctx, batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	return r.lookUpEvents(ctx, batch)
}

// inJournal is an event without its data.
type inJournal struct {
	auditrelay.Event
	unstorable bool
}

func (r *reconciler) lookUpEvents(ctx context.Context, batch []inJournal) error {
	if len(batch) == 0 {
		return nil
	}
	r.done.Events += uint64(len(batch))
	ids := make([]string, len(batch))
	for i, e := range batch {
		ids[i] = e.ID
	}
	present := map[string]bool{}
	sql := fmt.Sprintf(`SELECT "id"::text FROM ONLY %s WHERE "id" = ANY($1::text[])`, r.c.name)
	err := r.c.each(ctx, sql, []string{textArray(ids)}, func(v [][]byte) error {
		present[string(v[0])] = true
		return nil
	})
	if err != nil {
		return &TableError{fmt.Errorf("look ids up in %s: %w", r.c.name, err)}
	}
	for _, e := range batch {
		switch {
		case present[e.ID]:
		case e.Ingest != nil:
			r.done.Incomparable++ // the id may be a digest
		default:
			r.done.MissingInTable++
			if e.unstorable {
				r.done.Unstorable++
			}
			if err := r.fn(Difference{MissingFrom: api.MissingFromTable, ID: e.ID, Time: e.Time, Sequence: e.Sequence, Unstorable: e.unstorable}); err != nil {
				return err
			}
		}
	}
	return nil
}

// epoch parses seconds with three decimals.
func epoch(text string) time.Time {
	seconds, millis, _ := strings.Cut(text, ".")
	var s, ms int64
	if _, err := fmt.Sscan(seconds, &s); err != nil {
		return time.Time{}
	}
	if _, err := fmt.Sscanf(millis, "%d", &ms); err != nil {
		return time.Time{}
	}
	if strings.HasPrefix(seconds, "-") {
		ms = -ms
	}
	return time.UnixMilli(s*1000 + ms).UTC()
}

// textArray formats an array for Postgres. It omits values with a zero byte, which no table can
// contain.
func textArray(values []string) string {
	quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	var b strings.Builder
	b.WriteByte('{')
	for _, v := range values {
		if strings.IndexByte(v, 0) >= 0 {
			continue
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		b.WriteString(`"` + quote.Replace(v) + `"`)
	}
	return b.String() + "}"
}
