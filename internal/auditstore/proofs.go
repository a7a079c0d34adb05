package auditstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"auditrelay"
)

// Bundles of proofs have their own table, keyed by log and checkpoint size. It is created if it
// is missing. Only verify reads its rows, so it does not change the version of the tables.

// Headers of a payload that contains a bundle.
const (
	proofHeader     = "Proof" // the log
	proofFromHeader = "Proof-From"
	proofSizeHeader = "Proof-Size"
)

// RenderProof returns the payload of a bundle. Equal bundles give equal payloads.
func RenderProof(p auditrelay.Proof) (auditrelay.Payload, error) {
	log := p.Callback + "/" + p.Journal
	if p.Replay != "" {
		log += "/replay=" + p.Replay
	}
	sum := sha256.Sum256(p.Bundle)
	return auditrelay.Payload{
		Key: fmt.Sprintf("%s/_proofs/%d-%x.tar", log, p.Size, sum[:6]), Body: p.Bundle, Digest: fmt.Sprintf("%x", sum),
		Headers: map[string]string{journalHeader: p.Journal, proofHeader: log, proofFromHeader: strconv.FormatUint(p.From, 10), proofSizeHeader: strconv.FormatUint(p.Size, 10)},
	}, nil
}

// IsProof reports whether RenderProof created a payload.
func IsProof(p *auditrelay.Payload) bool { return p.Headers[proofHeader] != "" }

// PutProof stores a bundle. Storing it again has no effect. The error wraps
// auditrelay.ErrProofGap if the store lacks earlier bundles. If the table is missing and the
// role may not create it, PutProof stores nothing and returns no error, so that records are
// still delivered. The first bundle after the table was created then reports the gap.
func (s *Store) PutProof(ctx context.Context, p *auditrelay.Payload) error {
	from, err := strconv.ParseInt(p.Headers[proofFromHeader], 10, 64)
	size, err2 := strconv.ParseInt(p.Headers[proofSizeHeader], 10, 64)
	if err != nil || err2 != nil {
		return errPayload
	}
	if !s.proofs {
		return nil
	}
	return s.transaction(ctx, func(tx *sql.Tx) error {
		var have int64
		q := s.statement("SELECT COALESCE(MAX(size), 0) FROM " + s.tables.proofs + " WHERE log = ").arg(p.Headers[proofHeader])
		if err := tx.QueryRowContext(ctx, q.String(), q.args...).Scan(&have); err != nil {
			return fmt.Errorf("look for earlier proofs: %w", err)
		}
		if have < from {
			return fmt.Errorf("the store has the log up to %d, and the bundle begins at %d: %w", have, from, auditrelay.ErrProofGap)
		}
		q = s.statement("INSERT INTO " + s.tables.proofs + " (log, size, bundle) VALUES (").arg(p.Headers[proofHeader]).text(", ").arg(size).text(", ").arg(p.Body).
			text(") ON CONFLICT (log, size) DO UPDATE SET bundle = excluded.bundle")
		if _, err := tx.ExecContext(ctx, q.String(), q.args...); err != nil {
			return fmt.Errorf("store proofs: %w", err)
		}
		return nil
	})
}

// prepareProofs creates the table if it is missing.
func (s *Store) prepareProofs(ctx context.Context) error {
	there := func() bool {
		var n int64
		err := s.db.QueryRowContext(ctx, "SELECT COUNT(*) FROM (SELECT 1 FROM "+s.tables.proofs+" LIMIT 1) p").Scan(&n)
		return err == nil
	}
	if s.proofs = there(); s.proofs || s.options.ReadOnly {
		return nil
	}
	_, err := s.db.ExecContext(ctx, s.proofsTable())
	if s.proofs = err == nil || there(); s.proofs || s.options.Denied != nil && s.options.Denied(err) {
		return nil
	}
	return fmt.Errorf("make the table of proofs: %w", err)
}

func (s *Store) proofsTable() string {
	_, text, bytes := s.options.Dialect.types()
	return "CREATE TABLE IF NOT EXISTS " + s.tables.proofs + " (log " + text + " NOT NULL, size BIGINT NOT NULL, bundle " + bytes + " NOT NULL, PRIMARY KEY (log, size))"
}

// Bundles calls fn for every bundle of proofs, ordered by log and size.
func (s *Store) Bundles(ctx context.Context, fn func(name string, bundle []byte) error) error {
	if !s.proofs {
		return nil
	}
	log, size := "", int64(-1)
	for {
		var bundle []byte
		q := s.statement("SELECT log, size, bundle FROM " + s.tables.proofs + " WHERE (log, size) > (").arg(log).text(", ").arg(size).text(") ORDER BY log, size LIMIT 1")
		err := s.db.QueryRowContext(ctx, q.String(), q.args...).Scan(&log, &size, &bundle)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err == nil {
			err = fn(fmt.Sprintf("_proofs/%s/%012d.tar", log, size), bytes.Clone(bundle))
		}
		if err != nil {
			return fmt.Errorf("read the proofs: %w", err)
		}
	}
}

// eachPage is how many rows Each reads at a time.
const eachPage = 500

// Each calls fn for every record in the order of insertion. fn must not keep the row.
func (s *Store) Each(ctx context.Context, fn func(r *Row) error) error {
	for after, more := int64(-1<<62), true; more; {
		st := s.rows().text(" WHERE e.position > ").arg(after).text(" ORDER BY e.position LIMIT ").arg(int64(eachPage))
		rows, err := s.db.QueryContext(ctx, st.String(), st.args...)
		if err != nil {
			return fmt.Errorf("read the records: %w", err)
		}
		var page []Row
		for rows.Next() {
			r, err := scanRow(rows.Scan)
			if err != nil {
				return errors.Join(fmt.Errorf("read the records: %w", err), rows.Close())
			}
			page = append(page, r)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return fmt.Errorf("read the records: %w", err)
		}
		for i := range page {
			after = page[i].Position
			if err := fn(&page[i]); err != nil {
				return err
			}
		}
		more = len(page) == eachPage
	}
	return nil
}

// Check returns the problems that the database finds in its own files, such as an index that
// lacks rows. It returns at most 20, and they quote no value. Postgres has no such check
// without an extension, so Check returns nothing for it.
func (s *Store) Check(ctx context.Context) (wrong []string, err error) {
	if s.options.Dialect != SQLite {
		return nil, nil
	}
	rows, err := s.db.QueryContext(ctx, "PRAGMA integrity_check(20)")
	if err != nil {
		return nil, fmt.Errorf("check the database: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, fmt.Errorf("check the database: %w", err)
		}
		if text != "ok" {
			wrong = append(wrong, text)
		}
	}
	return wrong, rows.Err()
}
