package runtime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"auditrelay/internal/proof"
	"auditrelay/runtime/internal/delivery"
	"auditrelay/runtime/internal/journal"

	"golang.org/x/mod/sumdb/note"
)

// signing signs the logs' checkpoints.
type signing struct {
	signer note.Signer
	public string
	every  time.Duration

	mu       sync.Mutex
	accepted time.Time // when the log of accepted events was last signed
}

// openSigning returns nil if there is no key.
func (r *Runtime) openSigning(o ProofOptions) (*signing, error) {
	if o.Key == "" && o.Signer == nil {
		return nil, nil
	}
	s := &signing{every: cmp.Or(o.Every, time.Minute)}
	var err error
	if o.Signer != nil {
		s.public = o.Signer.PublicKey()
		s.signer, err = newRemoteSigner(r.ctx, o.Signer)
	} else if s.signer, err = proof.Signer(o.Key); err == nil {
		s.public, err = proof.PublicKey(o.Key)
	}
	if err != nil {
		return nil, fmt.Errorf("proofs: key: %w", err)
	}
	if o.PreviousKey == "" {
		return s, nil
	}
	record, err := proof.RotationTo(o.PreviousKey, s.public, s.signer)
	if err != nil {
		return nil, fmt.Errorf("proofs: previous key: %w", err)
	}
	tx := new(journal.Tx)
	if err := delivery.AppendRotation(r.journal, tx, record); err != nil {
		return nil, err
	}
	if !tx.Empty() {
		_, err = r.journal.Commit(tx)
	}
	return s, err
}

// remoteSigner adapts a Signer to package note.
type remoteSigner struct {
	note.Verifier
	ctx    context.Context // ends with the runtime
	signer Signer
}

func newRemoteSigner(ctx context.Context, s Signer) (note.Signer, error) {
	v, err := note.NewVerifier(s.PublicKey())
	if err != nil {
		return nil, err
	}
	return &remoteSigner{v, ctx, s}, nil
}

// Sign implements note.Signer.
func (s *remoteSigner) Sign(message []byte) ([]byte, error) { return s.signer.Sign(s.ctx, message) }

func (s *signing) sign(c proof.Checkpoint) ([]byte, error) { return c.Sign(s.signer) }

// signAccepted signs the durable part of the log of accepted events, if that is due or if now is true.
func (r *Runtime) signAccepted(now bool) {
	if r.signing == nil {
		return
	}
	r.signing.mu.Lock()
	defer r.signing.mu.Unlock()
	if !now && time.Since(r.signing.accepted) < r.signing.every {
		return
	}
	id, head := r.journal.Identity(), r.journal.Accepted()
	signed, err := r.signing.sign(proof.Checkpoint{Origin: proof.Origin(id.ID, id.Incarnation, ""), Size: head.Size, Root: head.Root})
	if err == nil {
		tx := new(journal.Tx)
		tx.Set(delivery.CheckpointKey(head.Name), signed)
		_, err = r.journal.Commit(tx)
	}
	if err != nil {
		r.log.Error("cannot sign the log of accepted events; the relay retries", "error", err)
		return
	}
	r.signing.accepted = time.Now()
}

// signTimeout limits how long signAll waits for callbacks.
const signTimeout = 10 * time.Second

// signAll signs the durable part of every log, and seals the bundles for the destinations. It reports
// whether it succeeded for all: a callback that does not respond in time keeps its last checkpoint.
func (r *Runtime) signAll(ctx context.Context) (all bool) {
	if r.signing == nil {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, signTimeout)
	defer cancel()
	r.mu.Lock()
	pumps := slices.Collect(maps.Values(r.pumps))
	r.mu.Unlock()
	all = true
	for _, p := range pumps {
		err := p.sign(ctx)
		for range maxCheckpointTries { // each covers a part of a long log
			if err != nil || !p.seen.Load().Unproved {
				break
			}
			err = p.sign(ctx)
		}
		if err != nil && !errors.Is(err, errStopped) {
			r.log.Warn("cannot sign the log of a callback; its last checkpoint stands", "callback", p.name, "error", err)
		}
		all = all && err == nil && !p.seen.Load().Unproved
	}
	r.signAccepted(true)
	return all
}

// lastProofsTimeout limits how long a removal waits for a destination to accept the proofs.
const lastProofsTimeout = 5 * time.Second

// lastProofs delivers the bundles of proofs that removed callbacks sealed when they stopped. No later step
// delivers them, and without them the last records of such a callback would look forged. The outcome is not
// recorded: if the removal fails, each bundle is delivered again, which is harmless.
func (r *Runtime) lastProofs(stopped []*pump, removed []Change) {
	ctx, cancel := context.WithTimeout(r.ctx, lastProofsTimeout)
	defer cancel()
	for _, p := range stopped {
		switch p.seen.Load().Condition.State {
		case delivery.Active, delivery.Withholding, delivery.Detached:
		default:
			continue // the destination accepts nothing, or must get nothing
		}
		if !slices.ContainsFunc(removed, func(c Change) bool { return c.Object == p.callback.Name }) {
			continue
		}
		for _, number := range p.machine.Bundles() {
			payload, err := delivery.Load(r.journal, p.laneID, number)
			if err == nil {
				lapsed := r.inLease(ctx, func(ctx context.Context) { _, err = deliver(ctx, p.callback.Sink, payload) })
				err = errors.Join(err, lapsed)
			}
			if err != nil {
				r.log.Warn("the last proofs of a removed callback were not delivered: verify cannot check its last deliveries", "callback", p.name, "error", err)
				break
			}
		}
	}
}

// open reads a checkpoint that this key signed.
func (s *signing) open(signed []byte) (proof.Checkpoint, error) {
	known, err := note.NewVerifier(s.public)
	if err != nil {
		return proof.Checkpoint{}, err
	}
	return proof.OpenCheckpoint(signed, note.VerifierList(known))
}
