package delivery

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"auditrelay"
	"auditrelay/internal/proof"
	"auditrelay/runtime/internal/journal"

	"golang.org/x/mod/sumdb/tlog"
)

// Attested says how far a lane's log is signed, and how far it is published at the destination.
type Attested struct {
	Size        uint64    `json:"size"`
	Root        string    `json:"root"` // in hexadecimal
	At          time.Time `json:"at"`
	Published   uint64    `json:"published,omitempty"`
	PublishedAt time.Time `json:"published_at,omitzero"`
}

const (
	// maxUnsigned is the maximum number of unsigned leaves, whatever the time. It is also the
	// maximum number of leaves in one bundle, about 5 MiB.
	maxUnsigned = 1 << 15
	// idleRounds is the number of checkpoints without new outcomes after which one is
	// published.
	idleRounds = 60
	// signPause is the pause after the first failure to sign. It doubles with each further one, up to
	// the time between two checkpoints.
	signPause = time.Second
)

// attests reports whether a checkpoint is due.
func (l *Lane) attests(s *step) bool {
	if l.opts.Attest <= 0 || l.attesting {
		return false
	}
	if s.now.Before(l.signAfter) {
		s.at(l.signAfter)
		return false
	}
	a := &l.state.Attested
	due := a.At.Add(l.opts.Attest)
	switch {
	case l.tree != nil && l.tree.Size() >= a.Size+maxUnsigned:
		return true
	case l.news && (l.ended() || l.hurried && len(l.pending) == 0 && l.state.Cursor >= s.end && len(l.deadQueue) == 0):
		return true
	case a.At.After(s.now.Add(l.opts.Attest)): // the clock went back
		return true
	case !s.now.Before(due):
		return true
	}
	s.at(due)
	return false
}

// Unattested reports whether the log has outcomes that no checkpoint covers.
func (l *Lane) Unattested() bool { return l.opts.Attest > 0 && l.news }

// Bundles returns the numbers of the sealed, unsettled bundles of proofs, in order.
func (l *Lane) Bundles() (numbers []uint64) {
	for _, p := range l.pending {
		if p.Proof {
			numbers = append(numbers, p.Number)
		}
	}
	return numbers
}

// Clock adds a leaf with the time to the log, in tx. Signing takes two steps; this is the
// first, and Attest is the second, after the first is durable. accepted is the head of the log
// of accepted events.
func (l *Lane) Clock(tx *journal.Tx, now time.Time, accepted journal.AcceptedHead) error {
	l.attesting = true
	c := proof.Clock{Time: now.Unix(), Floor: l.Floor(), First: accepted.First, AcceptedSize: accepted.Size, AcceptedRoot: accepted.Root}
	news := l.news
	if err := l.states(tx, 0, 0, c.Append(nil)); err != nil {
		return err
	}
	l.news = news
	return l.state.put(tx)
}

// Attest signs the log and stores the checkpoint in tx. If the sink keeps proofs, it also seals
// a bundle of the new leaves. The whole log must be durable. After an error, the caller must discard tx and
// call Unattest.
func (l *Lane) Attest(tx *journal.Tx, now time.Time, at Place, sign func(proof.Checkpoint) ([]byte, error)) (err error) {
	before := l.state.Attested
	defer func() {
		if err != nil {
			l.state.Attested = before
		}
	}()
	l.attesting, l.signAfter = false, time.Time{}
	id := l.journal.Identity()
	name := journal.DeliveredName(id.Incarnation, l.state.ID)
	a := &l.state.Attested
	if a.Size > l.tree.Size() { // of another incarnation
		*a = Attested{}
	}
	keeper, publishes := at.Sink.(auditrelay.Prover)
	c := proof.Checkpoint{Origin: proof.Origin(id.ID, id.Incarnation, l.state.ID), Size: l.tree.Size(), Root: l.tree.Root()}
	if publishes && c.Size > a.Published+maxUnsigned {
		c.Size = a.Published + maxUnsigned
		root, err := tlog.TreeHash(int64(c.Size), l.journal.TreeReader(name))
		if err != nil {
			return err
		}
		c.Root = root
	}
	signed, err := sign(c)
	if err != nil {
		return err
	}
	if publishes {
		if publishes, err = l.tells(name, c.Size); err != nil {
			return err
		}
		publishes = publishes || !a.PublishedAt.IsZero() && !now.Before(a.PublishedAt.Add(idleRounds*l.opts.Attest))
	}
	a.Size, a.Root, a.At = c.Size, hex.EncodeToString(c.Root[:]), now
	if publishes {
		if err := l.publish(tx, now, at, keeper, name, signed); err != nil {
			return err
		}
	}
	l.signTries = 0
	tx.Set(CheckpointKey(name), signed)
	l.news = l.news && c.Size < l.tree.Size()
	return l.state.put(tx)
}

// Unattest reports that Attest failed. A later round signs the log.
func (l *Lane) Unattest(now time.Time) {
	l.attesting, l.state.Attested.At = false, now
	l.signAfter = now.Add(min(l.opts.Attest, signPause<<min(l.signTries, 10)))
	l.signTries++
}

// tells reports whether the log up to size has new leaves, other than times, since it was
// published.
func (l *Lane) tells(name string, size uint64) (more bool, err error) {
	err = l.journal.Entries(name, l.state.Attested.Published, size, func(_ uint64, entry []byte) error {
		if len(entry) > 0 && (proof.Kind(entry[0]) == proof.KindClock || proof.Kind(entry[0]) == proof.KindBegin) {
			return nil
		}
		more = true
		return errStop
	})
	if err == errStop {
		err = nil
	}
	return more, err
}

// CheckpointKey is the key of the last signed checkpoint of a log.
func CheckpointKey(log string) journal.Key { return journal.MetaKey("checkpoint/" + log) }

// RotationsKey is the key of the records of the signer's rotations, a list in JSON.
var RotationsKey = journal.MetaKey("proof-rotations")

// publish seals a bundle of the new leaves.
func (l *Lane) publish(tx *journal.Tx, now time.Time, at Place, keeper auditrelay.Prover, name string, signed []byte) error {
	a := &l.state.Attested
	bundle, err := l.bundle(name, a.Published, a.Size, signed)
	if err != nil {
		return fmt.Errorf("bundle the proofs of callback %s: %w", at.Callback, err)
	}
	p, err := renderProof(keeper, auditrelay.Proof{Callback: at.Callback, Journal: at.Journal, Replay: at.Replay, From: a.Published, Size: a.Size, Bundle: bundle})
	if err != nil {
		return fmt.Errorf("render the proofs of callback %s: %w", at.Callback, err)
	}
	p.Sequences = nil
	s := sealing{chunk: l.state.Cursor, manifest: true, proof: true, proofFrom: a.Published, of: l.journal.Head().Next, oldest: now}
	if _, err := l.sealPayloads(tx, []auditrelay.Payload{p}, make([]payloadMarks, 1), s); err != nil {
		return err
	}
	a.Published, a.PublishedAt = a.Size, now
	return nil
}

func renderProof(keeper auditrelay.Prover, proof auditrelay.Proof) (p auditrelay.Payload, err error) {
	defer recoverInto(&err, "the sink's RenderProof")
	return keeper.RenderProof(proof)
}

// bundle builds the bundle of a log's leaves from one size to another.
func (l *Lane) bundle(name string, from, size uint64, signed []byte) ([]byte, error) {
	files := []proof.BundleFile{{Name: proof.CheckpointName, Data: signed}}
	if value, ok, err := l.journal.Get(RotationsKey); err != nil {
		return nil, err
	} else if ok {
		files = append(files, proof.BundleFile{Name: proof.RotationsName, Data: value})
	}
	first := from / proof.TileWidth * proof.TileWidth
	entries := make([][]byte, size-first)
	err := l.journal.Entries(name, first, size, func(index uint64, entry []byte) error {
		entries[index-first] = append([]byte{}, entry...) // an erased entry is empty
		return nil
	})
	if err != nil {
		return nil, err
	}
	for at := first; at < size; at += proof.TileWidth {
		n := min(size-at, proof.TileWidth)
		data := proof.AppendEntries(nil, entries[at-first:at-first+n]...)
		files = append(files, proof.BundleFile{Name: proof.EntriesPath(at/proof.TileWidth, int(n)), Data: data})
	}
	for level := 0; size>>(8*level) > 0; level++ {
		begin, end := from>>(8*level), size>>(8*level)
		if begin == end {
			break
		}
		for at := begin / proof.TileWidth * proof.TileWidth; at < end; at += proof.TileWidth {
			n := min(end-at, proof.TileWidth)
			hashes, err := l.journal.TreeHashes(name, level, at, int(n))
			if err != nil {
				return nil, err
			}
			var data []byte
			for _, h := range hashes {
				data = append(data, h[:]...)
			}
			files = append(files, proof.BundleFile{Name: proof.TilePath(level, at/proof.TileWidth, int(n)), Data: data})
		}
	}
	return proof.AppendBundle(nil, files)
}

// unpublish marks a bundle's leaves as unpublished, since the destination does not have the
// bundle.
func (l *Lane) unpublish(p *pending) {
	if p.Proof {
		l.state.Attested.Published = min(l.state.Attested.Published, p.ProofFrom)
	}
}

// republish publishes the whole log again at once, since the destination lacks the bundles
// before one.
func (l *Lane) republish() {
	l.state.Attested.Published, l.state.Attested.At, l.news = 0, time.Time{}, true
}

// AppendRotation adds the record of a rotation to the stored ones, in tx, unless it is already
// there.
func AppendRotation(j *journal.Journal, tx *journal.Tx, record []byte) error {
	value, ok, err := j.Get(RotationsKey)
	if err != nil {
		return err
	}
	var records []string
	if ok {
		if err := json.Unmarshal(value, &records); err != nil {
			return fmt.Errorf("decode the records of rotations: %w", err)
		}
	}
	for _, r := range records {
		if r == string(record) {
			return nil
		}
	}
	if value, err = json.Marshal(append(records, string(record))); err != nil {
		return err
	}
	tx.Set(RotationsKey, value)
	return nil
}

// CheckpointOf returns the name of the log whose last signed checkpoint has the key k.
func CheckpointOf(k journal.Key) (log string, ok bool) {
	_, name, _, valid := k.Split()
	log, ok = strings.CutPrefix(name, "checkpoint/")
	return log, ok && valid
}
