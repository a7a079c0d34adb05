package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"auditrelay"
	"auditrelay/internal/auditstore"
	"auditrelay/runtime"
)

// tableStore is the table_name of own records about stores.
const tableStore = "auditrelay_store"

// keepEvery is the interval of the stores' maintenance.
const keepEvery = time.Hour

// keepAgain is the interval after a failure.
const keepAgain = time.Minute

// keepStores maintains stores at the start and once an hour. It updates stores of an older
// version, deletes records beyond keep, and reports lost transactions.
func (d *daemon) keepStores(ctx context.Context) {
	failing := map[string]bool{}
	for {
		wait := keepEvery
		for _, l := range d.stores.all() {
			err := d.tend(ctx, l, time.Now())
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				wait = keepAgain
			}
			switch {
			case err != nil && !failing[l.callback]:
				d.log.Error("store maintenance failed (retention, records of an earlier version); the relay retries every minute", "callback", l.callback, "error", err)
			case err == nil && failing[l.callback]:
				d.log.Info("store maintenance works again", "callback", l.callback)
			}
			failing[l.callback] = err != nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// tend maintains one store.
func (d *daemon) tend(ctx context.Context, l *liveStore, now time.Time) error {
	if l.file != "" {
		if _, err := os.Stat(l.file); errors.Is(err, fs.ErrNotExist) {
			return nil // nothing was delivered yet
		}
	}
	s, err := l.maintain(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := d.fill(ctx, l, s); err != nil {
		return err
	}
	if err := d.tellLost(ctx, l, s); err != nil {
		return err
	}
	if l.keep == (auditstore.Keep{}) {
		return nil
	}
	return d.purge(ctx, l, s, now)
}

// fill prepares records of an older version for searches inside values.
func (d *daemon) fill(ctx context.Context, l *liveStore, s *auditstore.Store) error {
	missing, err := s.Missing(ctx)
	if errors.Is(err, auditstore.ErrEarlier) {
		d.log.Warn("the store goes on with the tables of an earlier version", "callback", l.callback, "why", err)
		return nil
	}
	if err != nil || missing == 0 {
		return err
	}
	begun := time.Now()
	d.log.Info("records of an earlier version are made ready to be searched inside values", "callback", l.callback, "records", missing)
	for more := true; more; {
		if more, err = s.Fill(ctx); err != nil {
			return err
		}
	}
	d.log.Info("all records can be searched inside values", "callback", l.callback, "seconds", time.Since(begun).Seconds())
	return nil
}

// lost describes transactions that a store lost, in an own record.
type lost struct {
	Transactions int64  `json:"lost_transactions"`
	Todo         string `json:"todo"`
}

// tellLost records that a store lost acknowledged transactions.
func (d *daemon) tellLost(ctx context.Context, l *liveStore, s *auditstore.Store) error {
	n, err := s.UntoldLost(ctx)
	if err != nil || n == 0 {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	after := lost{Transactions: n, Todo: "auditrelay store rebuild"}
	if err := d.rt.Record(ctx, runtime.Change{By: runtime.By{Principal: "store"}, Act: "lose", Action: auditrelay.ActionUpdated, Table: tableStore, Object: l.callback, After: after}); err != nil {
		return fmt.Errorf("record that the store lost %d transactions: %w", n, err)
	}
	return s.ToldLost(ctx, n)
}

// purged describes a purge in an own record.
type purged struct {
	Rows int64  `json:"rows"`
	Age  string `json:"keep_age,omitempty"`
	Keep int64  `json:"keep_rows,omitempty"`
	Left int64  `json:"left"`
}

// purge deletes records beyond keep and records their number. If an earlier purge deleted
// records but did not record it, they are included, since the store has the count.
func (d *daemon) purge(ctx context.Context, l *liveStore, s *auditstore.Store, now time.Time) error {
	if l.keep.Rows > 0 {
		// A user may have deleted some. With the old count purge would delete too many.
		if err := s.Recount(ctx); err != nil {
			return err
		}
	}
	var failed error
	for {
		n, err := s.Purge(ctx, now, l.keep)
		if err != nil {
			failed = err // the deletions so far are recorded nevertheless
			break
		}
		if n == 0 {
			break
		}
	}
	// The relay's stop must not come between a deletion and its record.
	ctx = context.WithoutCancel(ctx)
	n, err := s.Untold(ctx)
	if err != nil || n == 0 {
		return errors.Join(failed, err)
	}
	left, err := s.Rows(ctx)
	if err != nil {
		return errors.Join(failed, err)
	}
	after := purged{Rows: n, Keep: l.keep.Rows, Left: left}
	if l.keep.Age > 0 {
		after.Age = l.keep.Age.String()
	}
	err = d.rt.Record(ctx, runtime.Change{By: runtime.By{Principal: "retention"}, Act: "purge", MakesRoom: true, Action: auditrelay.ActionDeleted, Table: tableStore, Object: l.callback, After: after})
	if err != nil {
		return errors.Join(failed, fmt.Errorf("record that %d records were deleted: %w", n, err))
	}
	d.log.Info("the store deleted old records", "callback", l.callback, "deleted", n, "left", left)
	return errors.Join(failed, s.Told(ctx, n))
}
