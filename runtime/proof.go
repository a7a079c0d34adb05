package runtime

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"auditrelay/internal/proof"
	"auditrelay/internal/receipts"
	"auditrelay/runtime/internal/delivery"
	"auditrelay/runtime/internal/journal"

	"golang.org/x/mod/sumdb/tlog"
)

// ErrUnsigned: the relay signs nothing, so it can prove nothing.
var ErrUnsigned = errors.New("the relay signs no proofs")

// EventProof proves one event's outcome on one callback to anyone who has the public key.
type EventProof struct {
	Callback string
	Replay   string
	Sequence uint64
	// File is the proof in the format of c2sp.org/tlog-proof, with evidence as its extra data. See
	// docs/reference/proofs.md.
	File []byte
}

// Prove returns the proofs of an event's outcomes, one for each callback and replay that has one. An empty
// callback selects all. Prove omits a callback without an outcome. A proof also discloses the last possible
// delivery of different content, if there is one. The recipient of a proof can test guesses of that event's
// content, but not of any other event.
//
// Errors: ErrUnsigned, ErrNotSeen, ErrErased; ErrTrimmed if retention removed the event.
func (r *Runtime) Prove(ctx context.Context, namespace, id, callback string) ([]EventProof, error) {
	if r.signing == nil {
		return nil, ErrUnsigned
	}
	sequence, _, err := r.lookup(namespace, id)
	if err != nil {
		return nil, err
	}
	states, err := delivery.States(r.journal)
	if err != nil {
		return nil, err
	}
	var proofs []EventProof
	for _, s := range states {
		if callback != "" && s.Callback != callback {
			continue
		}
		file, err := r.proveOutcome(ctx, s, sequence)
		if err != nil {
			return nil, fmt.Errorf("prove the outcome on callback %s: %w", s.LaneName(), err)
		}
		if file == nil {
			continue
		}
		p := EventProof{Callback: s.Callback, Sequence: sequence, File: file.Text()}
		if s.Replay != nil {
			p.Replay = s.Replay.ID
		}
		proofs = append(proofs, p)
	}
	return proofs, nil
}

// acceptedEvidence proves that an event was accepted, by the log of an incarnation. The evidence is empty if
// that log does not have the event, or no signature covers it.
func (r *Runtime) acceptedEvidence(sequence uint64, incarnation string) (proof.Evidence, error) {
	var e proof.Evidence
	proven, err := r.journal.Prove(sequence)
	if errors.Is(err, errors.ErrUnsupported) {
		return e, nil
	}
	if err != nil || proven.Log != journal.AcceptedName(incarnation) {
		return e, err
	}
	var head proof.Checkpoint
	var signed []byte
	if id := r.journal.Identity(); incarnation == id.Incarnation {
		now := r.journal.Accepted()
		head = proof.Checkpoint{Origin: proof.Origin(id.ID, incarnation, ""), Size: now.Size, Root: now.Root}
		signed, err = r.signing.sign(head)
	} else {
		signed, head, err = r.signedBefore(proven.Log)
	}
	if err != nil || head.Size <= proven.Index {
		return e, err
	}
	hashes, err := tlog.ProveRecord(int64(head.Size), int64(proven.Index), r.journal.TreeReader(proven.Log))
	if err != nil {
		return e, err
	}
	if e.Head, err = proof.SplitBody(proven.Body); err != nil {
		return e, err
	}
	e.Accepted, e.AcceptedSalt, e.AcceptedIndex = proven.Entry.Append(nil), proven.Salt, proven.Index
	e.AcceptedHashes, e.AcceptedHead = hashes, signed
	return e, nil
}

// proveOutcome proves the last outcome of an event on a lane, and discloses the last possible delivery of
// different content. It looks in the lane's last log first, then in those of earlier incarnations. It
// returns nil if there is no outcome, or an earlier log has one that no signature covers.
func (r *Runtime) proveOutcome(ctx context.Context, s *delivery.State, sequence uint64) (*proof.File, error) {
	for incarnation := s.Log; incarnation != ""; {
		name := journal.DeliveredName(incarnation, s.ID)
		found, err := r.findOutcome(ctx, name, sequence)
		if err != nil {
			return nil, err
		}
		if found.outcome != nil {
			return r.proveIn(ctx, s, incarnation, sequence, found)
		}
		if incarnation, err = r.incarnationBefore(name); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// proveIn proves an outcome in the lane's log of an incarnation.
func (r *Runtime) proveIn(ctx context.Context, s *delivery.State, incarnation string, sequence uint64, found found) (*proof.File, error) {
	name := journal.DeliveredName(incarnation, s.ID)
	outcome, possible := found.outcome, found.besides()
	last := outcome.index
	if possible != nil {
		last = max(last, possible.index)
	}
	var signed []byte
	var checkpoint proof.Checkpoint
	var err error
	if incarnation == r.journal.Identity().Incarnation {
		signed, checkpoint, err = r.checkpointOf(ctx, s, name, last)
	} else if signed, checkpoint, err = r.signedBefore(name); err == nil && checkpoint.Size <= last {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	file := &proof.File{Index: outcome.index, Checkpoint: signed}
	if file.Hashes, err = tlog.ProveRecord(int64(checkpoint.Size), int64(outcome.index), r.journal.TreeReader(name)); err != nil {
		return nil, err
	}
	e, err := r.acceptedEvidence(sequence, incarnation)
	if err != nil {
		return nil, err
	}
	e.Entry = outcome.Append(nil)
	if possible != nil {
		e.Possible, e.PossibleIndex = possible.Append(nil), possible.index
		if e.PossibleHashes, err = tlog.ProveRecord(int64(checkpoint.Size), int64(possible.index), r.journal.TreeReader(name)); err != nil {
			return nil, err
		}
	}
	if err := r.receiptEvidence(s, outcome.Outcome, &e); err != nil {
		return nil, err
	}
	file.Extra = e.Append(nil)
	return file, nil
}

// incarnationBefore returns the incarnation of the log that a lane's log continues, "" if there is none.
func (r *Runtime) incarnationBefore(name string) (incarnation string, err error) {
	err = r.journal.Entries(name, 0, 1, func(_ uint64, entry []byte) error {
		if entry == nil {
			return nil
		}
		parsed, err := proof.ParseEntry(entry)
		if begin, ok := parsed.(proof.Begin); ok && begin.Previous != "" {
			_, incarnation, _, err = proof.ParseOrigin(begin.Previous)
		}
		return err
	})
	return incarnation, err
}

// signedBefore returns the last signature of a log of an earlier incarnation, and the checkpoint that it
// signs: of size 0 if the present key did not sign it. This relay signs no more of such a log, since the
// relay that was backed up may do so.
func (r *Runtime) signedBefore(name string) ([]byte, proof.Checkpoint, error) {
	signed, ok, err := r.journal.Get(delivery.CheckpointKey(name))
	if err != nil || !ok {
		return nil, proof.Checkpoint{}, err
	}
	c, err := r.signing.open(signed)
	if err != nil {
		return nil, proof.Checkpoint{}, nil //nolint:nilerr // another key's
	}
	return signed, c, nil
}

// leaf is an outcome in a log.
type leaf struct {
	proof.Outcome
	index uint64
}

// found holds the leaves that describe how an event ended on a lane.
type found struct {
	outcome  *leaf // the last leaf with an outcome
	possible *leaf // the last leaf with a possible delivery
}

// besides returns the possible delivery if its content differs from the outcome's.
func (f *found) besides() *leaf {
	if f.possible == nil || f.possible.index == f.outcome.index || f.possible.Digest == f.outcome.Digest && f.outcome.Delivered != proof.Nothing {
		return nil
	}
	return f.possible
}

// findOutcome finds the last outcome and the last possible delivery of an event in a log. They may be in
// different leaves.
func (r *Runtime) findOutcome(ctx context.Context, name string, sequence uint64) (f found, err error) {
	err = r.journal.Outcomes(ctx, name, sequence, func(at uint64, o proof.Outcome) error {
		if o.Outcome != 0 {
			f.outcome = &leaf{o, at}
		}
		if o.IsPossible() {
			f.possible = &leaf{o, at}
		}
		return nil
	})
	return f, err
}

// checkpointOf returns a signed checkpoint of a lane's log that covers a leaf: the last one, or a new one.
// A new one is needed, for example, for an ended log that a former key signed.
func (r *Runtime) checkpointOf(ctx context.Context, s *delivery.State, name string, index uint64) ([]byte, proof.Checkpoint, error) {
	for try := 0; ; try++ {
		signed, ok, err := r.journal.Get(delivery.CheckpointKey(name))
		if err != nil {
			return nil, proof.Checkpoint{}, err
		}
		if ok {
			c, err := r.signing.open(signed)
			if err == nil && c.Size > index {
				return signed, c, nil
			}
		}
		r.mu.Lock()
		p := r.pumps[s.LaneName()]
		r.mu.Unlock()
		if p == nil {
			return r.ended(s, name, index)
		}
		if try == maxCheckpointTries {
			return nil, proof.Checkpoint{}, errors.New("its outcome is not signed yet; try again in a minute")
		}
		if err := p.sign(ctx); err != nil {
			return nil, proof.Checkpoint{}, err
		}
	}
}

// ended signs the whole log of a lane that no longer grows: a finished replay or a removed callback.
func (r *Runtime) ended(s *delivery.State, name string, index uint64) ([]byte, proof.Checkpoint, error) {
	size, err := r.journal.TreeSize(name)
	if err == nil && size <= index {
		err = errors.New("its log lacks the outcome")
	}
	if err != nil {
		return nil, proof.Checkpoint{}, err
	}
	id := r.journal.Identity()
	c := proof.Checkpoint{Origin: proof.Origin(id.ID, id.Incarnation, s.ID), Size: size}
	if c.Root, err = r.journal.TreeRoot(name, size); err != nil {
		return nil, c, err
	}
	signed, err := r.signing.sign(c)
	return signed, c, err
}

// maxCheckpointTries limits the checkpoints for one proof. Each may cover only a part of a log that was not
// signed for a long time.
const maxCheckpointTries = 64

// receiptEvidence discloses the receipt that an outcome commits to, if the receipt still exists.
func (r *Runtime) receiptEvidence(s *delivery.State, o proof.Outcome, e *proof.Evidence) error {
	if o.Receipt == (proof.Hash{}) {
		return nil
	}
	salt, err := r.journal.Salts(delivery.ReceiptSalt(s.ID))(o.Sequence)
	if err != nil {
		return err
	}
	return delivery.Receipts(r.journal, r.receipts, s, o.Sequence, o.Sequence+1, func(d delivery.Receipt) error {
		trail := receipts.AppendTrail(nil, d.Config, d.Trail)
		statement := d.AppendStatement(nil, sha256.Sum256(trail))
		if proof.Commit(salt, sha256.Sum256(statement)) == o.Receipt {
			e.ReceiptSalt, e.Statement, e.Trail = salt, statement, trail
		}
		return nil
	})
}
