package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"auditrelay"
	"auditrelay/config"
	"auditrelay/internal/auditstore"
	"auditrelay/runtime"
)

// tableStore is the table_name of the relay's own events about stores.
const tableStore = "auditrelay_store"

// keepEvery is how often stores are held to what they are to keep.
const keepEvery = time.Hour

// setStores puts the stores of a configuration in force.
func (d *daemon) setStores(cfg *config.Config) error {
	all, serves, err := d.build.storesOf(cfg)
	if err != nil {
		return err
	}
	d.stores.set(all, serves)
	return nil
}

// keepStores deletes what stores are not to keep, at start and once an hour.
func (d *daemon) keepStores(ctx context.Context) {
	ticker := time.NewTicker(keepEvery)
	defer ticker.Stop()
	for {
		for _, l := range d.stores.all() {
			if l.keep == (auditstore.Keep{}) {
				continue
			}
			if err := d.purge(ctx, l, time.Now()); err != nil && ctx.Err() == nil {
				d.log.Error("the store could not be held to what it is to keep; tried again in an hour", "callback", l.callback, "error", err)
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// purged is what the relay's own event says of a purge.
type purged struct {
	Rows int64  `json:"rows"`
	Age  string `json:"keep_age,omitempty"`
	Keep int64  `json:"keep_rows,omitempty"`
	Left int64  `json:"left"`
}

// purge deletes what l is not to keep and tells how much. What a purge before deleted and
// did not come to tell is told with it: the count stands in the store.
func (d *daemon) purge(ctx context.Context, l *liveStore, now time.Time) error {
	s, err := l.maintain(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	var failed error
	for {
		n, err := s.Purge(ctx, now, l.keep)
		if err != nil {
			failed = err // what was deleted is told nevertheless
			break
		}
		if n == 0 {
			break
		}
	}
	// The end of the relay does not come between a deletion and its record.
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
	err = d.rt.Record(ctx, runtime.Change{Actor: "retention", Action: auditrelay.ActionDeleted, Table: tableStore, Object: l.callback, After: after})
	if err != nil {
		return errors.Join(failed, fmt.Errorf("record that %d records were deleted: %w", n, err))
	}
	d.log.Info("the store was held to what it is to keep", "callback", l.callback, "deleted", n, "left", left)
	return errors.Join(failed, s.Told(ctx, n))
}
