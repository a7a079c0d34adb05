package auditstore

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Keep bounds what a store holds. Its zero value keeps everything.
type Keep struct {
	Age  time.Duration // since the record's event was received
	Rows int64         // the oldest beyond them go
}

// purgeBatch is how many records one transaction deletes: deliveries wait for it.
const purgeBatch = 500

// Purge deletes some of the records that keep does not cover, the ones received
// longest ago first, in one small transaction, and returns how many; it is done when
// that is 0. How many were deleted is counted in the same transaction, until Told.
//
// It goes by the time of receipt, which no producer chooses.
func (s *Store) Purge(ctx context.Context, now time.Time, keep Keep) (n int64, err error) {
	err = s.transaction(ctx, func(tx *sql.Tx) error {
		n = 0
		if keep.Age > 0 {
			q := s.statement("DELETE FROM " + s.tables.events + " WHERE position IN (SELECT position FROM " + s.tables.events + " WHERE received < ").
				arg(micros(now.Add(-keep.Age))).text(" ORDER BY received LIMIT ").arg(int64(purgeBatch)).text(")")
			if n, err = s.delete(ctx, tx, q); err != nil {
				return err
			}
		}
		if n == 0 && keep.Rows > 0 {
			rows, err := s.number(ctx, tx, metaRows)
			if err != nil {
				return err
			}
			if over := min(rows-keep.Rows, purgeBatch); over > 0 {
				q := s.statement("DELETE FROM " + s.tables.events + " WHERE position IN (SELECT position FROM " + s.tables.events + " ORDER BY received, position LIMIT ").arg(over).text(")")
				if n, err = s.delete(ctx, tx, q); err != nil {
					return err
				}
			}
		}
		if err := s.add(ctx, tx, metaRows, -n); err != nil {
			return err
		}
		return s.add(ctx, tx, metaPurged, n)
	})
	if err != nil {
		return 0, fmt.Errorf("purge: %w", err)
	}
	return n, nil
}

func (s *Store) delete(ctx context.Context, tx *sql.Tx, q *statement) (int64, error) {
	result, err := tx.ExecContext(ctx, q.String(), q.args...)
	if err != nil {
		return 0, fmt.Errorf("delete: %w", err)
	}
	return result.RowsAffected()
}

// Untold is how many records were purged and not told of yet.
func (s *Store) Untold(ctx context.Context) (int64, error) { return s.number(ctx, s.db, metaPurged) }

// Told says that n purged records were told of.
func (s *Store) Told(ctx context.Context, n int64) error {
	return s.transaction(ctx, func(tx *sql.Tx) error { return s.add(ctx, tx, metaPurged, -n) })
}
