package delivery

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"auditrelay"
	"auditrelay/internal/receipts"
	"auditrelay/runtime/internal/journal"
)

// receiptOf returns the receipt of an event at the seal of its batch.
func receiptOf(j *Judged) receipts.Receipt {
	r := receipts.Receipt{Sequence: j.Event.Sequence, Outcome: j.Outcome, Cause: j.Cause, Filter: j.Filter,
		Reason: j.Reason, Emitted: len(j.Emitted), Trail: j.Trail, Input: j.Input}
	if j.Outcome == auditrelay.Delivered {
		r.Output = j.Output
	}
	return r
}

// sealFrame writes a batch's receipts.
func (l *Lane) sealFrame(tx *journal.Tx, now time.Time, a *Assembled) {
	if a.frame == nil {
		return
	}
	key, of := journal.FrameKey(l.state.ID, a.From), a.of()
	if a.dead() {
		l.state.DeadFrames++
		key = journal.DeadFrameKey(l.state.ID, l.state.DeadFrames)
	}
	tx.SetAbout(of, key, a.frame.Seal(now))
}

// Receipt is one event's receipt, with its frame's data.
type Receipt struct {
	receipts.Receipt
	At     time.Time // time of the seal
	Config string
	Again  bool // of a replayed dead letter
}

// Receipts calls fn with the receipts of a lane's events from first up to but not including
// end: those of its chunks by sequence, then those of replayed dead letters by time. It omits
// receipts of erased periods. It stops with an error of fn, or for a damaged frame.
func Receipts(j *journal.Journal, codec *receipts.Codec, s *State, first, end uint64, fn func(Receipt) error) error {
	// The frame that contains first may start before it.
	from, to := journal.FrameKey(s.ID, 0), journal.FrameKey(s.ID, end)
	if err := eachFrame(j, codec, s, [...]journal.Key{from, journal.FrameKey(s.ID, first), to}, first, end, false, fn); err != nil {
		return err
	}
	again, err := judgedAgain(j, s, first, end)
	if err != nil || !again {
		return err
	}
	from, to = journal.DeadFrameKey(s.ID, 0), journal.DeadFrameKey(s.ID, s.DeadFrames+1)
	return eachFrame(j, codec, s, [...]journal.Key{from, nil, to}, first, end, true, fn)
}

// judgedAgain reports whether a dead letter among the events may have been processed again.
// Such frames can be many, and are not ordered by event. For one event that never was a dead
// letter, none is read.
func judgedAgain(j *journal.Journal, s *State, first, end uint64) (bool, error) {
	if s.DeadFrames == 0 || end != first+1 {
		return s.DeadFrames > 0, nil
	}
	d, err := loadDeadLetter(j, s.ID, first)
	if errors.Is(err, journal.ErrErased) {
		return false, nil // its receipts are erased too
	}
	return d != nil, err
}

// eachFrame calls fn with the receipts in a range of frames, up to keys[2]. The range starts at
// keys[0], or at the greatest key that is not above keys[1].
func eachFrame(j *journal.Journal, codec *receipts.Codec, s *State, keys [3]journal.Key, first, end uint64, again bool, fn func(Receipt) error) error {
	// Read one frame at a time, so that a slow reader holds no resource of the journal.
	for from, at, to := keys[0], keys[1], keys[2]; ; {
		var k journal.Key
		var value []byte
		last := uint64(0)
		err := j.ScanAllAt(from, at, to, func(key journal.Key, v []byte, erased bool) error {
			if erased {
				return nil
			}
			h, err := receipts.ReadHeader(v)
			if err != nil {
				return damaged(s, key, err)
			}
			if h.Last < first || h.First >= end {
				return nil
			}
			k, value, last = bytes.Clone(key), bytes.Clone(v), h.Last
			return errStop
		})
		if err != errStop {
			return err
		}
		f, err := codec.DecodeRange(value, first, end)
		if err != nil {
			return damaged(s, k, err)
		}
		for _, r := range f.Receipts {
			if err := fn(Receipt{Receipt: r, At: f.At, Config: f.Config, Again: again}); err != nil {
				return err
			}
		}
		if !again && last >= end-1 {
			return nil // the frames of chunks follow each other
		}
		from, at = append(k, 0), nil
	}
}

// Refused returns the cause for which the destination rejected an event after its seal, or
// CauseNone if it did not.
func Refused(j *journal.Journal, s *State, sequence uint64) (auditrelay.Cause, error) {
	d, err := loadDeadLetter(j, s.ID, sequence)
	if err != nil || d == nil {
		return auditrelay.CauseNone, err
	}
	return d.Cause, nil
}

func damaged(s *State, k journal.Key, err error) error {
	_, _, number, _ := k.Split()
	return fmt.Errorf("read the receipts of callback %s, frame %d: %w", s.LaneName(), number, errors.Join(err, journal.ErrCorrupt))
}

// pruneFrames removes the receipts of chunks before the one at keep, and those of replayed dead
// letters that lie wholly before it.
func pruneFrames(j *journal.Journal, tx *journal.Tx, s *State, keep uint64) error {
	tx.DeleteRange(journal.FrameKey(s.ID, 0), journal.FrameKey(s.ID, keep))
	return j.ScanAll(journal.DeadFrameKey(s.ID, 0), journal.DeadFrameKey(s.ID, s.DeadFrames+1), func(k journal.Key, value []byte, erased bool) error {
		h, err := receipts.ReadHeader(value)
		// A damaged frame stays, so that readers get an error. An erased one is of no use.
		if erased || err == nil && h.Last < keep {
			_, _, number, _ := k.Split()
			tx.Delete(journal.DeadFrameKey(s.ID, number))
		}
		return nil
	})
}
