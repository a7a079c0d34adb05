package delivery

import (
	"encoding/json"
	"fmt"

	"auditrelay"
	"auditrelay/internal/journal"
)

// Prune forgets what is kept of chunks that lie wholly before a sequence: their
// outcomes, the receipts of their events and payloads, and dead letters that are resolved.
// What an operator may still act on stays.
func Prune(j *journal.Journal, tx *journal.Tx, s *State, before uint64) error {
	k, value, ok, err := j.Last(journal.ChunkKey(s.ID, 0), journal.ChunkKey(s.ID, before))
	if err != nil || !ok {
		return err
	}
	var keep chunkRecord
	if err := json.Unmarshal(value, &keep); err != nil {
		return fmt.Errorf("decode a chunk of callback %s: %w", s.LaneName(), err)
	}
	tx.DeleteRange(journal.ChunkKey(s.ID, 0), k)
	if err := pruneFrames(j, tx, s, keep.From); err != nil {
		return err
	}
	tx.DeleteRange(journal.ReceiptKey(s.ID, 0), journal.ReceiptKey(s.ID, keep.Number))
	err = scanDeadLetters(j, s.ID, 0, func(d *deadLetter) error {
		if d.Sequence >= keep.From {
			return errStop
		}
		if d.Resolved != auditrelay.Pending {
			tx.Delete(journal.DeadLetterKey(s.ID, d.Sequence))
		}
		return nil
	})
	if err == errStop {
		err = nil
	}
	return err
}
