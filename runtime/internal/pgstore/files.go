package pgstore

import (
	"context"
	"fmt"
)

// Files returns the small files that follow the journal from relay to relay.
func (m *Member) Files(ctx context.Context) (map[string][]byte, error) {
	all, err := m.files(ctx)
	if missingTable(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("journal on Postgres, %s: read the files of the fleet: %w", m.s.place(), explain(err))
	}
	return all, nil
}

func (m *Member) files(ctx context.Context) (map[string][]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, m.s.options.Attempt)
	defer cancel()
	db, err := m.s.connect(ctx, "fleet")
	if err != nil {
		return nil, err
	}
	defer closeConn(db)
	rows, err := db.Query(ctx, "SELECT name, content FROM "+m.s.names.files)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := map[string][]byte{}
	for rows.Next() {
		var name string
		var content []byte
		if err := rows.Scan(&name, &content); err != nil {
			return nil, err
		}
		all[name] = content
	}
	return all, rows.Err()
}
