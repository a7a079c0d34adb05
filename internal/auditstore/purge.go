package auditstore

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Keep limits what a store keeps. The zero value keeps everything.
type Keep struct {
	Age  time.Duration // since the record's event was received
	Rows int64         // above it the oldest records are deleted
}

// purgeBatch is how many records one transaction deletes. Deliveries wait for that transaction.
const purgeBatch = 500

// Purge deletes some of the records that exceed keep, those received longest ago first, in one
// small transaction. It returns how many; 0 means that none is left. The same transaction adds
// the number to Untold, until Told.
//
// Purge uses the time of receipt, which no producer can choose.
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

// Untold returns the number of purged records that were not reported yet.
func (s *Store) Untold(ctx context.Context) (int64, error) { return s.number(ctx, s.db, metaPurged) }

// Told notes that n purged records were reported.
func (s *Store) Told(ctx context.Context, n int64) error {
	return s.transaction(ctx, func(tx *sql.Tx) error { return s.add(ctx, tx, metaPurged, -n) })
}
