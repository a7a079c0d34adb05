package auditstore

import (
	"bytes"
	"context"
	"fmt"

	"auditrelay"
)

// ReadBack returns the stored versions of a payload's records, one per line; see
// auditrelay.Reader. Tombstones have no id and are left out.
func (s *Store) ReadBack(ctx context.Context, p *auditrelay.Payload) ([]byte, error) {
	_, records, err := Parse(p)
	if err != nil {
		return nil, err
	}
	var held bytes.Buffer
	for i := range records {
		r := &records[i]
		if r.Tombstone {
			continue
		}
		found, ok, err := s.Find(ctx, r.Namespace, r.ID)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, fmt.Errorf("read back from the store: %w", auditrelay.ErrMissing)
		}
		held.Write(found.Data)
		held.WriteByte('\n')
	}
	return held.Bytes(), nil
}
