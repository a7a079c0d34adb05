package delivery_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"auditrelay"
	"auditrelay/internal/proof"
	"auditrelay/runtime/internal/delivery"
	"auditrelay/runtime/internal/journal"

	"golang.org/x/mod/sumdb/tlog"
)

// checkAccepted compares the log of accepted events with the events.
func (w *world) checkAccepted(events []auditrelay.Event) error {
	head := w.journal.Accepted()
	leaves, err := w.journal.AcceptedLeaves(1, w.journal.Head().Next)
	if err != nil {
		return err
	}
	if head.Size != uint64(len(events))+1 || head.First != 1 {
		return fmt.Errorf("the log of what was accepted has %d leaves from sequence %d on, for %d events", head.Size, head.First, len(events))
	}
	for i := range events {
		e, err := w.journal.Prove(events[i].Sequence)
		if _, erased := w.erased[events[i].Sequence]; erased {
			continue
		}
		if err != nil {
			return err
		}
		e.Entry.Commitment = proof.Commit(e.Salt, sha256.Sum256(e.Body))
		if leaf := proof.LeafHash(e.Entry.Append(nil)); leaf != leaves[i] || !bytes.HasSuffix(e.Body, events[i].Data) {
			return fmt.Errorf("the leaf of event %d is not of what is stored", events[i].Sequence)
		}
	}
	begin := proof.Begin{First: 1}.Append(nil)
	return checkTree(w.journal, head.Name, append([]proof.Hash{proof.LeafHash(begin)}, leaves...), head.Root)
}

// checkTree compares a log's leaves with its root and with the hashes of its tiles, using
// another implementation.
func checkTree(j *journal.Journal, name string, leaves []proof.Hash, root proof.Hash) error {
	stored := []proof.Hash{}
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var out []tlog.Hash
		for _, i := range indexes {
			out = append(out, stored[i])
		}
		return out, nil
	})
	for i, leaf := range leaves {
		more, err := tlog.StoredHashesForRecordHash(int64(i), leaf, reader)
		if err != nil {
			return err
		}
		stored = append(stored, more...)
	}
	size := int64(len(leaves))
	want, err := tlog.TreeHash(size, reader)
	if err != nil {
		return err
	}
	got, err := tlog.TreeHash(size, j.TreeReader(name))
	if err != nil || got != want || root != want {
		return fmt.Errorf("log %s: its root at %d is %v, that of its leaves is %v, %w", name, size, got, want, err)
	}
	return nil
}

// logged is the content of a lane's log.
type logged struct {
	first    uint64
	outcomes map[uint64]proof.Outcome // the last of each sequence
	ranges   []proof.Range
	payloads map[string]proof.Payload
	possible map[string]bool // keys of payloads that may have arrived
}

func (l *logged) of(sequence uint64) (o proof.Outcome, ok bool) {
	if o, ok = l.outcomes[sequence]; ok {
		return o, true
	}
	for _, r := range l.ranges {
		if r.From <= sequence && sequence < r.To {
			return proof.Outcome{Sequence: sequence, Outcome: r.Outcome}, true
		}
	}
	return o, false
}

func (w *world) readLog(l *simLane) (*logged, error) {
	name := journal.DeliveredName(w.journal.Identity().Incarnation, l.state.ID)
	tree, err := w.journal.OpenTree(name)
	if err != nil {
		return nil, err
	}
	leaves, err := w.journal.TreeHashes(name, 0, 0, int(tree.Size()))
	if err != nil {
		return nil, err
	}
	if err := checkTree(w.journal, name, leaves, tree.Root()); err != nil {
		return nil, err
	}
	told := map[uint64][]uint64{}
	log := &logged{outcomes: map[uint64]proof.Outcome{}, payloads: map[string]proof.Payload{}, possible: map[string]bool{}}
	err = w.journal.Entries(name, 0, tree.Size(), func(index uint64, entry []byte) error {
		if entry == nil {
			return nil // erased
		}
		if proof.LeafHash(entry) != leaves[index] {
			return fmt.Errorf("entry %d is not its leaf's", index)
		}
		parsed, err := proof.ParseEntry(entry)
		if err != nil {
			return err
		}
		switch e := parsed.(type) {
		case proof.Begin:
			if index > 0 {
				return fmt.Errorf("the log begins again at %d", index)
			}
			log.first = e.First
		case proof.Outcome:
			told[e.Sequence] = append(told[e.Sequence], index)
			if e.Outcome != 0 {
				log.outcomes[e.Sequence] = e
			}
		case proof.Range:
			log.ranges = append(log.ranges, e)
		case proof.Payload:
			if e.Flags&proof.FlagPossible != 0 {
				log.possible[e.Key] = true
				return nil
			}
			log.payloads[e.Key] = e
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return log, w.checkFound(name, told)
}

// checkFound checks that a look-up of one event's outcomes finds the same as a walk through the
// log. It checks every fourth event.
func (w *world) checkFound(name string, told map[uint64][]uint64) error {
	size, err := w.journal.TreeSize(name)
	if err != nil {
		return err
	}
	for sequence := 1 + size%4; sequence < w.journal.Head().Next; sequence += 4 { // the others in another run
		var found []uint64
		if err := w.journal.Outcomes(context.Background(), name, sequence, func(index uint64, _ proof.Outcome) error {
			found = append(found, index)
			return nil
		}); err != nil {
			return err
		}
		if !slices.Equal(found, told[sequence]) {
			return fmt.Errorf("log %s has outcomes of event %d at %d, and those at %d are found", name, sequence, told[sequence], found)
		}
	}
	return nil
}

// checkLog compares a lane's log with the outcomes of its events and with the destination.
func (w *world) checkLog(l *simLane, log *logged, e *auditrelay.Event, end delivery.Ending) error {
	o, ok := log.of(e.Sequence)
	if _, erased := w.erased[e.Sequence]; erased {
		return nil
	}
	if !ok {
		if e.Sequence >= log.first && log.first > 0 && e.Sequence < l.machine.Floor() {
			return fmt.Errorf("the log says nothing of event %d", e.Sequence)
		}
		return nil
	}
	if want := byte(end.Outcome); end.Assigned && o.Outcome != want {
		return fmt.Errorf("the log says of event %d that its outcome is %s, it is %s", e.Sequence, auditrelay.Outcome(o.Outcome), end.Outcome)
	}
	if !end.Assigned && len(log.outcomes) > 0 && o.Accepted != (proof.Hash{}) {
		return fmt.Errorf("the log has an outcome of event %d, which is not assigned", e.Sequence)
	}
	if o.Delivered != proof.Record && o.Delivered != proof.Tombstone {
		return nil // checkStated covers payloads that may have arrived
	}
	for _, p := range l.sink.objects {
		for _, line := range l.sink.lines(p) {
			if line.sequence == e.Sequence && line.tombstone == (o.Delivered == proof.Tombstone) && sha256.Sum256(line.data) == o.Digest {
				return nil
			}
		}
	}
	return fmt.Errorf("the log says that event %d was delivered with digest %x, and the destination has no such record", e.Sequence, o.Digest[:4])
}

// attest signs a lane's log in two steps. The second may never come.
func (w *world) attest(l *simLane) error {
	w.logf("%s attests", l.name)
	if err := w.commit(l, func(tx *journal.Tx) error { return l.machine.Clock(tx, w.now, w.journal.Accepted()) }); err != nil {
		return err
	}
	l.works = append(l.works, func(w *world) error {
		return w.commit(l, func(tx *journal.Tx) error {
			return l.machine.Attest(tx, w.now, l.place, func(c proof.Checkpoint) ([]byte, error) {
				return []byte(c.Text()), nil
			})
		})
	})
	return nil
}

// checkBundles checks that the published bundles match the log without a gap.
func (w *world) checkBundles(l *simLane) error {
	name := journal.DeliveredName(w.journal.Identity().Incarnation, l.state.ID)
	published := map[uint64]bool{}
	for key, p := range l.sink.objects {
		if !strings.HasPrefix(key, proofPrefix) {
			continue
		}
		files, err := proof.ReadBundle(p.Body)
		if err != nil {
			return err
		}
		c, err := proof.ParseCheckpoint(string(files[0].Data))
		if err != nil {
			return err
		}
		root, err := tlog.TreeHash(int64(c.Size), w.journal.TreeReader(name))
		if err != nil || root != c.Root {
			return fmt.Errorf("a checkpoint at %d has root %v, the log has %v, %w", c.Size, c.Root, root, err)
		}
		for _, f := range files[1:] {
			for at := uint64(0); at < c.Size; at += proof.TileWidth {
				n := min(proof.TileWidth, c.Size-at)
				if f.Name != proof.TilePath(0, at/proof.TileWidth, int(n)) {
					continue
				}
				hashes, err := w.journal.TreeHashes(name, 0, at, int(n))
				if err != nil {
					return err
				}
				for i, h := range hashes {
					if !bytes.Equal(h[:], f.Data[i*32:][:32]) {
						return fmt.Errorf("leaf %d is published with another hash", at+uint64(i))
					}
					published[at+uint64(i)] = true
				}
			}
		}
	}
	state := l.machine.State()
	for at := range state.Attested.Published {
		if !published[at] {
			return fmt.Errorf("leaf %d of %d is not published", at, state.Attested.Published)
		}
	}
	return w.checkEnded(l, name, &state)
}

// checkEnded checks that an ended replay has signed all its statements: nobody opens it again.
func (w *world) checkEnded(l *simLane, name string, state *delivery.State) error {
	if l.opts.Attest == 0 || !l.machine.Done() || state.Log != w.journal.Identity().Incarnation {
		return nil
	}
	tree, err := w.journal.OpenTree(name)
	if err != nil {
		return err
	}
	if state.Attested.Size != tree.Size() {
		return fmt.Errorf("a replay has ended, and %d of %d leaves are signed", state.Attested.Size, tree.Size())
	}
	return nil
}

// checkStated checks that everything at the destination is in the log, as delivered or as given
// up.
func (w *world) checkStated(l *simLane, log *logged) error {
	for key, p := range l.sink.objects {
		if len(p.Body) == 0 || strings.HasPrefix(key, proofPrefix) || len(w.erased) > 0 {
			continue // nothing arrived, or the log makes no statement, or the entry is erased
		}
		if _, ok := log.payloads[key]; !ok && !log.possible[key] {
			return fmt.Errorf("the destination has payload %s, and the log does not tell of it", key)
		}
	}
	return nil
}

// checkPayloads checks that everything delivered according to the log is there.
func (w *world) checkPayloads(l *simLane, log *logged) error {
	for key, p := range log.payloads {
		at, ok := l.sink.objects[key]
		if !ok {
			return fmt.Errorf("the log has payload %s, the destination does not", key)
		}
		if at.Digest != "" && int(p.Records) == len(at.Sequences) && sha256.Sum256(at.Body) != p.Digest {
			return fmt.Errorf("payload %s is not what the log says", key)
		}
	}
	return nil
}
