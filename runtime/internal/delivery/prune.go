package delivery

import (
	"encoding/json"
	"errors"
	"fmt"

	"auditrelay"
	"auditrelay/runtime/internal/journal"
)

// Prune removes the records of chunks that lie wholly before a sequence: their outcomes, the
// receipts of their events and payloads, and resolved dead letters. It keeps everything that an
// operator can still act on.
func Prune(j *journal.Journal, tx *journal.Tx, s *State, before uint64) error {
	k, value, ok, err := j.Last(journal.ChunkKey(s.ID, 0), journal.ChunkKey(s.ID, before))
	var keep chunkRecord
	switch {
	case errors.Is(err, journal.ErrErased):
		// The chunk's own number is no longer known, so its receipts are removed with a later
		// chunk.
		_, _, keep.From, _ = k.Split()
	case err != nil || !ok:
		return err
	default:
		if err := json.Unmarshal(value, &keep); err != nil {
			return fmt.Errorf("decode a chunk of callback %s: %w", s.LaneName(), err)
		}
	}
	tx.DeleteRange(journal.ChunkKey(s.ID, 0), k)
	if err := pruneFrames(j, tx, s, keep.From); err != nil {
		return err
	}
	published := uint64(1) << 62 // for a sink that keeps no proofs
	if s.Attested.Published > 0 {
		published = s.Attested.Published
	}
	if err := j.PruneEntries(tx, journal.DeliveredName(j.Identity().Incarnation, s.ID), keep.From, published); err != nil {
		return err
	}
	tx.DeleteRange(journal.ReceiptKey(s.ID, 0), journal.ReceiptKey(s.ID, keep.Number))
	tx.DeleteRange(journal.ResolvedKey(s.ID, 0), journal.ResolvedKey(s.ID, keep.From))
	return j.ScanAll(journal.DeadLetterKey(s.ID, 0), journal.DeadLetterKey(s.ID, keep.From), func(k journal.Key, value []byte, erased bool) error {
		resolved := erased // an erased one is always resolved
		if !resolved {
			d, err := decodeDeadLetter(value)
			if err != nil {
				return err
			}
			resolved = d.Resolved != auditrelay.Pending
		}
		if resolved {
			_, _, sequence, _ := k.Split()
			tx.Delete(journal.DeadLetterKey(s.ID, sequence))
		}
		return nil
	})
}
