package journal

import (
	"errors"
	"maps"

	"auditrelay"
	"auditrelay/internal/proof"
)

// group is one synced write under construction. Transactions are added in order; each sees the
// earlier ones.
type group struct {
	j      *Journal
	batch  Batch
	state  state
	frame  frame
	events []*pending                         // events of this group, by sequence from frame.first
	also   map[uint64][]auditrelay.Provenance // further provenances in this group, by sequence
	owned  bool                               // the group has its own copy of state.emitted
	period *period                            // period of the new data in this group, once known; nil: not encrypted
	known  bool
	err    error // an encryption error, which fails the group

	accepted *edge        // the log of accepted events with this group's events
	leaves   []proof.Hash // leaves of this group's events
}

// begin starts a group of about the given size. Only the leader calls it.
func (j *Journal) begin(bytes int) (*group, error) {
	if j.closed.Load() {
		return nil, ErrClosed
	}
	if j.fault.get() != nil {
		return nil, j.failed()
	}
	g := &group{j: j, batch: j.store.Batch(bytes), state: *j.state.Load()}
	g.state.received = max(j.options.Now().UnixNano(), g.state.received)
	g.frame = frame{first: g.state.next, received: g.state.received}
	return g, nil
}

func (g *group) close() { g.batch.Close() }

func (g *group) keep(err error) {
	if g.err == nil {
		g.err = err
	}
}

func (g *group) put(key, value []byte) { set(g.batch, key, value) }

// add writes tx into the group, or rejects it and leaves the group unchanged.
func (g *group) add(tx *Tx) ([]Appended, error) {
	if err := g.j.space.admit(tx, g.batch.Len()); err != nil {
		g.j.reclaim()
		return nil, err
	}
	if tx.trim > 0 {
		return nil, g.trim(tx.trim)
	}
	if err := g.begins(tx); err != nil {
		return nil, err
	}
	g.j.windowMu.Lock()
	defer g.j.windowMu.Unlock()
	start := len(g.events)
	out := make([]Appended, len(tx.events))
	var conflicts []ConflictAt
	for i := range tx.events {
		p := &tx.events[i]
		found, err := g.find(p)
		if err != nil {
			g.undo(start)
			return nil, err
		}
		if found.Status == Conflict && tx.allOrNothing {
			at := ConflictAt{Index: i, Sequence: found.Sequence}
			if at.Sequence >= g.frame.first+uint64(start) {
				at.Sequence = 0
			}
			conflicts = append(conflicts, at)
		}
		if found.Status == 0 {
			found = g.stage(p)
		}
		out[i] = found
	}
	if len(conflicts) > 0 {
		g.undo(start)
		return nil, &ConflictError{Conflicts: conflicts}
	}
	if err := g.addProvenances(tx, out); err != nil {
		g.undo(start)
		return nil, err
	}
	g.write(start)
	for _, o := range tx.ops {
		switch o.kind {
		case opSet:
			if o.of == ofNow {
				value, err := g.j.sealedValue(g.period, o.key, o.arg)
				g.keep(err) // cannot happen: the current period is never destroyed
				o.arg = value
			}
			g.put(o.key, o.arg)
		case opDelete:
			g.batch.Delete(o.key)
		case opDeleteRange:
			g.batch.DeleteRange(o.key, o.arg)
		}
	}
	return out, nil
}

// begins determines the period of tx's new data, starting a new period if one is due.
func (g *group) begins(tx *Tx) error {
	if g.known || len(tx.events) == 0 && !tx.now {
		return nil
	}
	p, began, err := g.j.current(g.state.next, g.state.received)
	if err != nil {
		return err
	}
	if began {
		g.put(keyEncrypted, []byte{1})
	}
	g.period, g.known = p, true
	return nil
}

// find looks for a stored or staged event with p's identity. Status 0 means that there is none.
func (g *group) find(p *pending) (found Appended, err error) {
	g.j.window.find(p.hash, func(sequence uint64) bool {
		var equal, same bool
		var received int64
		if sequence >= g.frame.first {
			other := g.events[sequence-g.frame.first]
			received = g.frame.received
			same = other.namespace == p.namespace && other.id == p.id
			equal = same && g.j.equal(p.version(), other.version())
		} else {
			same, equal, received, err = g.compare(sequence, p)
		}
		if err != nil || !same {
			return err == nil
		}
		found = Appended{Sequence: sequence, Received: fromUnixNano(received), Status: Conflict}
		if equal {
			found.Status = Duplicate
		}
		return false
	})
	return found, err
}

// compare reads a stored event and compares p with it.
func (g *group) compare(sequence uint64, p *pending) (same, equal bool, received int64, err error) {
	record, closer, err := g.j.store.Get(eventKey(sequence))
	if err != nil {
		if errors.Is(err, ErrAbsent) {
			err = errMissing
		}
		return false, false, 0, g.j.damaged(sequence, sequence+1, err)
	}
	defer closer.Close()
	received, body, err := g.j.body(sequence, record, nil)
	if errors.Is(err, ErrErased) {
		// The keyed hashes and the ids are equal, but the content of the erased event is
		// unknown. Treating p as its duplicate could silently lose different content.
		return true, false, received, nil
	}
	var head, data []byte
	if err == nil {
		head, data, err = splitBody(body)
	}
	if err != nil {
		return false, false, 0, g.j.damaged(sequence, sequence+1, err)
	}
	if !sameIdentity(head, p.namespace, p.id) {
		return false, false, 0, nil
	}
	stored := version{data: data}
	if p.ingest != nil || body[0] == ingestVersion || body[0] == mappedVersion {
		e, err := decodeEvent(sequence, received, string(head), head, data)
		if err != nil {
			return false, false, 0, g.j.damaged(sequence, sequence+1, err)
		}
		if stored.ingest = e.Ingest; ownTime(e.TimeFrom) {
			stored.time = e.Time
		}
	}
	return true, g.j.equal(p.version(), stored), received, nil
}

// stage gives p the next sequence.
func (g *group) stage(p *pending) Appended {
	a := Appended{Sequence: g.state.next, Received: fromUnixNano(g.frame.received), Status: Stored}
	g.j.window.push(p.hash)
	g.events = append(g.events, p)
	g.state.next++
	return a
}

// undo removes the events staged from start on. They are not in the batch yet.
func (g *group) undo(start int) {
	for range g.events[start:] {
		g.j.window.pop()
		g.state.next--
	}
	g.events = g.events[:start]
}

// write puts the events staged from start on into the batch.
func (g *group) write(start int) {
	for i, p := range g.events[start:] {
		sequence := g.frame.first + uint64(start+i)
		size := recordPrefix + len(p.body)
		encrypted := g.period != nil && !g.period.Plain
		if encrypted {
			size = sealedSize(g.period, len(p.body))
		}
		key, value := g.batch.Set(9, size)
		copy(key, eventKey(sequence))
		if encrypted {
			g.j.putSealed(value, g.period, sequence, g.frame.received, p.body)
		} else {
			putPrefix(value, p.sum, sequence, g.frame.received)
			copy(value[recordPrefix:], p.body)
		}

		g.frame.add(p.hash, p.target, p.data)
		g.state.bytes += uint64(p.data)
		if p.target != "" {
			if !g.owned {
				g.owned = true
				if g.state.emitted = maps.Clone(g.state.emitted); g.state.emitted == nil {
					g.state.emitted = map[string]uint64{}
				}
			}
			g.state.emitted[p.target]++
		}
	}
}

// commit writes the group and publishes it. A group without changes is not written.
func (g *group) commit() error {
	j := g.j
	if g.err != nil {
		j.fault.set(g.err)
		return j.failed()
	}
	if g.batch.Empty() {
		return nil
	}
	if len(g.events) > 0 {
		g.put(frameKey(g.frame.first), g.frame.record())
		g.accept()
		if g.err != nil {
			j.fault.set(g.err)
			return j.failed()
		}
	} else {
		g.state.received = j.state.Load().received
	}
	g.state.commits++
	g.put(keyHead, g.state.record())
	size := g.batch.Len()
	if err := j.apply(g.batch); err != nil {
		return err
	}
	j.space.wrote(size)
	j.windowMu.Lock()
	j.window.settle(g.state.oldest)
	j.windowMu.Unlock()
	if g.accepted != nil {
		j.accepted.Store(g.accepted)
	}
	j.recent.add(g)
	j.publish(&g.state, len(g.events) > 0)
	return nil
}
