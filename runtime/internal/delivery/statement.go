package delivery

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"auditrelay"
	"auditrelay/internal/proof"
	"auditrelay/internal/receipts"
	"auditrelay/runtime/internal/journal"
)

// Each lane has a log of delivered records: a Merkle tree with a leaf for each event's outcome.
// The transaction that makes an outcome durable also adds its leaf. For an event in a payload
// this is when the payload is settled, for all others the seal. Until a payload is settled, its
// entries are stored with it. If an event's outcome changes, the event gets another leaf.

// ReceiptSalt returns the name of the salts of the commitments to a lane's receipts.
func ReceiptSalt(laneID string) string { return "delivered/" + laneID }

// state prepares the log entries of the batch's events.
func (a *Assembled) state(at Place) error {
	if len(a.Judged) == 0 {
		return nil
	}
	a.outcomes = make([]proof.Outcome, len(a.Judged))
	var accepted []proof.Hash
	first := a.Judged[0].Event.Sequence
	var err error
	if at.Proofs != nil && !a.dead() {
		if accepted, err = at.Proofs.AcceptedLeaves(first, a.Judged[len(a.Judged)-1].Event.Sequence+1); err != nil {
			return err
		}
	}
	rendered := a.rendered
	commit := newReceiptCommitter(at)
	for i := range a.Judged {
		j, o := &a.Judged[i], &a.outcomes[i]
		o.Sequence, o.Outcome = j.Event.Sequence, byte(j.Outcome)
		switch {
		case accepted != nil:
			o.Accepted = accepted[o.Sequence-first]
		case at.Proofs != nil:
			leaf, err := at.Proofs.AcceptedLeaves(o.Sequence, o.Sequence+1)
			if err != nil {
				return err
			}
			o.Accepted = leaf[0]
		}
		if len(rendered) > 0 && rendered[0].Sequence == o.Sequence {
			o.Digest, o.Delivered = j.Sum, proof.Record
			if data := rendered[0].Data; len(data) == 0 || len(j.Data) == 0 || &data[0] != &j.Data[0] || j.Sum == ([sha256.Size]byte{}) {
				o.Digest = sha256.Sum256(data)
			}
			if rendered[0].Tombstone {
				o.Delivered = proof.Tombstone
			}
			rendered = rendered[1:]
		}
		if o.Receipt, err = commit.to(j); err != nil {
			return err
		}
	}
	if _, ok := at.Sink.(auditrelay.Manifester); ok {
		a.origins = originsOf(a.rendered)
	}
	a.rendered = nil
	for i := range a.payloads {
		p, m := &a.payloads[i], &a.marks[i]
		m.outcomes = a.outcomesOf(p)
		m.joined = a.joins(p)
	}
	return nil
}

// outcomesOf returns the log entries of a payload's records, in order.
func (a *Assembled) outcomesOf(p *auditrelay.Payload) []proof.Outcome {
	n, from := len(p.Sequences), a.find(p.Sequences[0])
	// Sequences ascend in both. If first and last have the same distance in both, all between
	// are the same.
	if last := from + n - 1; last < len(a.Judged) && a.Judged[last].Event.Sequence == p.Sequences[n-1] {
		return a.outcomes[from : last+1 : last+1]
	}
	outcomes := make([]proof.Outcome, n)
	a.each(p, func(k, at int) { outcomes[k] = a.outcomes[at] })
	return outcomes
}

// each calls fn for every record of a payload, with its index there and the index of its event
// in Judged.
func (a *Assembled) each(p *auditrelay.Payload, fn func(k, at int)) {
	at := 0 // records are in the order of events
	for k, s := range p.Sequences {
		if at >= len(a.Judged) || a.Judged[at].Event.Sequence != s {
			at = a.find(s)
		}
		fn(k, at)
		at++
	}
}

// find returns the index of a processed event by its sequence.
func (a *Assembled) find(sequence uint64) int {
	i, _ := slices.BinarySearchFunc(a.Judged, sequence, func(j Judged, s uint64) int {
		switch {
		case j.Event.Sequence < s:
			return -1
		case j.Event.Sequence > s:
			return 1
		}
		return 0
	})
	return i
}

// receiptCommitter commits to the receipts of one batch.
type receiptCommitter struct {
	config string
	salt   func(uint64) (proof.Salt, error) // nil if there are no receipts
	trails map[*receipts.Visit][sha256.Size]byte
	text   []byte
}

func newReceiptCommitter(at Place) *receiptCommitter {
	c := &receiptCommitter{config: at.Config, trails: map[*receipts.Visit][sha256.Size]byte{}}
	if at.Receipts != nil && at.Proofs != nil {
		c.salt = at.Proofs.Salts(ReceiptSalt(at.Lane))
	}
	return c
}

func (c *receiptCommitter) to(j *Judged) (proof.Hash, error) {
	if c.salt == nil {
		return proof.Hash{}, nil
	}
	salt, err := c.salt(j.Event.Sequence)
	if err != nil {
		return proof.Hash{}, err
	}
	var visit *receipts.Visit // events with the same path share their trail
	if len(j.Trail) > 0 {
		visit = &j.Trail[0]
	}
	trail, ok := c.trails[visit]
	if !ok {
		c.text = receipts.AppendTrail(c.text[:0], c.config, j.Trail)
		trail = sha256.Sum256(c.text)
		c.trails[visit] = trail
	}
	r := receiptOf(j)
	c.text = r.AppendStatement(c.text[:0], trail)
	return proof.Commit(salt, sha256.Sum256(c.text)), nil
}

// statement encodes the entries that are stored with a sealed payload: the payload's own entry,
// then those of its records.
func (l *Lane) statement(meta *payloadMeta, stored [sha256.Size]byte, outcomes []proof.Outcome) []byte {
	p := proof.Payload{Number: meta.Number, Records: uint32(len(outcomes)), Digest: stored, Key: meta.Key}
	if meta.Manifest {
		p.Flags |= proof.FlagManifest
	}
	if meta.Dead {
		p.Flags |= proof.FlagReplay
	}
	out := make([]byte, 0, len(meta.Key)+64+(proof.OutcomeBytes+2)*len(outcomes))
	out = proof.AppendEntries(out, p.Append(nil))
	var entry [proof.OutcomeBytes]byte
	for i := range outcomes {
		out = proof.AppendEntries(out, outcomes[i].Append(entry[:0]))
	}
	return out
}

// stated holds the decoded entries that are stored with a payload.
type stated struct {
	payload  proof.Payload
	outcomes []proof.Outcome
}

// entries returns the leaves of a delivered payload.
func (s *stated) entries() [][]byte {
	out := make([][]byte, 0, len(s.outcomes)+1)
	out = append(out, s.payload.Append(nil))
	memory := make([]byte, 0, len(s.outcomes)*proof.OutcomeBytes)
	for i := range s.outcomes {
		n := len(memory)
		memory = s.outcomes[i].Append(memory)
		out = append(out, memory[n:len(memory):len(memory)])
	}
	return out
}

func (s *stated) bySequence() map[uint64]*proof.Outcome {
	m := make(map[uint64]*proof.Outcome, len(s.outcomes))
	for i := range s.outcomes {
		m[s.outcomes[i].Sequence] = &s.outcomes[i]
	}
	return m
}

// sealedEntries reads the entries that are stored with a payload: the payload's own entry, then
// those of its records. A payload that a program without logs sealed has none.
func (l *Lane) sealedEntries(p *pending) ([][]byte, error) {
	value, ok, err := l.journal.Get(journal.StatementKey(l.state.ID, p.Number))
	if err != nil || !ok {
		return nil, err
	}
	entries, err := proof.SplitEntries(value)
	ok = err == nil && len(entries) > 0
	for i := 0; ok && i < len(entries); i++ {
		want := proof.KindOutcome
		if i == 0 {
			want = proof.KindPayload
		}
		ok = len(entries[i]) > 0 && proof.Kind(entries[i][0]) == want
	}
	if !ok {
		return nil, l.badStatement(p)
	}
	return entries, nil
}

func (l *Lane) badStatement(p *pending) error {
	return fmt.Errorf("read what is to be stated of payload %d of callback %s: %w", p.Number, l.state.LaneName(), journal.ErrCorrupt)
}

// loadStated reads the entries that are stored with a payload. If there are none, it builds
// them without the digests.
func (l *Lane) loadStated(p *pending) (*stated, error) {
	entries, err := l.sealedEntries(p)
	if err != nil {
		return nil, err
	}
	if entries == nil {
		return l.restated(p)
	}
	s := &stated{outcomes: make([]proof.Outcome, 0, len(entries)-1)}
	for i, e := range entries {
		entry, err := proof.ParseEntry(e)
		payload, isPayload := entry.(proof.Payload)
		outcome, isOutcome := entry.(proof.Outcome)
		switch {
		case err == nil && i == 0 && isPayload:
			s.payload = payload
		case err == nil && i > 0 && isOutcome:
			s.outcomes = append(s.outcomes, outcome)
		default:
			return nil, l.badStatement(p)
		}
	}
	return s, l.update(s)
}

// update sets the current outcome of tombstones: a dead letter may have been resolved before
// its tombstone arrived.
func (l *Lane) update(s *stated) error {
	for i := range s.outcomes {
		o := &s.outcomes[i]
		if o.Delivered != proof.Tombstone || o.Outcome != byte(auditrelay.DeadLettered) {
			continue
		}
		ended, ok := l.resolved[o.Sequence]
		if !ok {
			d, err := loadDeadLetter(l.journal, l.state.ID, o.Sequence)
			if err != nil {
				return err
			}
			if d != nil {
				ended = d.Resolved
			}
		}
		if ended != auditrelay.Pending {
			o.Outcome = byte(ended)
		}
	}
	return nil
}

func (l *Lane) restated(p *pending) (*stated, error) {
	sequences, tombstones, err := decodeSequences(p.Records)
	if err != nil {
		return nil, err
	}
	s := &stated{payload: proof.Payload{Number: p.Number, Records: uint32(len(sequences)), Key: p.Key}}
	for _, sequence := range sequences {
		o := proof.Outcome{Sequence: sequence, Outcome: byte(auditrelay.Delivered), Delivered: proof.Record}
		if tombstones[sequence] {
			judged, err := tombstoned(l.journal, l.state.ID, p.Chunk, sequence)
			if err != nil {
				return nil, err
			}
			o.Outcome, o.Delivered = byte(judged.Outcome), proof.Tombstone
		}
		s.outcomes = append(s.outcomes, o)
	}
	if p.Manifest {
		s.payload.Flags |= proof.FlagManifest
	}
	return s, l.update(s)
}

// states adds entries to the lane's log. about is a sequence in the period of their events, and
// last the greatest sequence; 0 if they have none.
func (l *Lane) states(tx *journal.Tx, about, last uint64, entries ...[]byte) error {
	if len(entries) == 0 {
		return nil
	}
	if err := l.openTree(tx); err != nil {
		return err
	}
	l.tree.Append(tx, about, last, entries...)
	l.news = true
	return nil
}

// statesSealed adds the entries that are stored with a payload to the lane's log. If the log
// can refer to them, they stay where they are and belong to the log.
func (l *Lane) statesSealed(tx *journal.Tx, p *pending, entries [][]byte) error {
	at := journal.StatementKey(l.state.ID, p.Number)
	if !l.journal.Lends(at) {
		return l.states(tx, max(p.of(), 1), p.Last, entries...)
	}
	if err := l.openTree(tx); err != nil {
		return err
	}
	l.tree.AppendStated(tx, p.Last, at, entries...)
	l.news, p.stated = true, true
	return nil
}

// openTree loads the lane's log, or starts one if this incarnation has none.
func (l *Lane) openTree(tx *journal.Tx) error {
	id := l.journal.Identity()
	if l.tree == nil {
		tree, err := l.journal.OpenTree(journal.DeliveredName(id.Incarnation, l.state.ID))
		if err != nil {
			return fmt.Errorf("open the log of callback %s: %w", l.state.LaneName(), err)
		}
		l.tree = tree
	}
	if l.state.Log == id.Incarnation {
		return nil
	}
	begin := proof.Begin{First: l.Floor()}
	if before := l.state.Log; before != "" {
		tree, err := l.journal.OpenTree(journal.DeliveredName(before, l.state.ID))
		if err != nil {
			return fmt.Errorf("open the earlier log of callback %s: %w", l.state.LaneName(), err)
		}
		begin.Previous = proof.Origin(id.ID, before, l.state.ID)
		begin.PreviousSize, begin.PreviousRoot = tree.Size(), tree.Root()
	}
	l.tree.Append(tx, 0, 0, begin.Append(nil))
	l.state.Log = id.Incarnation
	return nil
}

// stateSealed adds the leaves of events that are in no payload, at the seal of a batch.
// ordinals are the batch's.
func (l *Lane) stateSealed(tx *journal.Tx, a *Assembled, ordinals []uint64) error {
	var entries [][]byte
	next, last := a.From, uint64(0)
	others := func(to uint64) { // events that are not assigned
		if !a.dead() && next < to {
			entries, last = append(entries, proof.Range{From: next, To: to}.Append(nil)), to-1
		}
	}
	for i := range a.outcomes {
		o := a.outcomes[i]
		others(o.Sequence)
		next = o.Sequence + 1
		if ordinals[i] != 0 {
			continue
		}
		o.Outcome, o.Delivered, o.Digest, last = byte(a.Judged[i].Outcome), proof.Nothing, proof.Hash{}, o.Sequence
		entries = append(entries, o.Append(nil))
	}
	others(a.To)
	about := max(a.of(), 1)
	if len(a.outcomes) == 0 {
		about = 0 // the period may be erased meanwhile, since the lane needs nothing of it
	}
	return l.states(tx, about, last, entries...)
}

// stateSettled adds the leaves of a delivered payload, without the records that failed.
func (l *Lane) stateSettled(tx *journal.Tx, p *pending, failed map[uint64]bool) error {
	if len(failed) == 0 && p.Tombstones == 0 { // the entries are still as sealed
		entries, err := l.sealedEntries(p)
		if err != nil {
			return err
		}
		if entries != nil {
			return l.statesSealed(tx, p, entries)
		}
	}
	s, err := l.loadStated(p)
	if err != nil {
		return err
	}
	if len(failed) > 0 {
		s.outcomes = slices.DeleteFunc(s.outcomes, func(o proof.Outcome) bool { return failed[o.Sequence] })
		s.payload.Records = uint32(len(s.outcomes))
	}
	last := uint64(0)
	for i := range s.outcomes {
		last = max(last, s.outcomes[i].Sequence)
	}
	return l.states(tx, max(p.of(), 1), last, s.entries()...)
}

// stateRefused adds the leaves of a rejected payload's records, except those in its
// replacements, which inherit their entries.
func (l *Lane) stateRefused(tx *journal.Tx, p *pending, r *replacement, failed map[uint64]bool) error {
	if err := l.stateEarlier(tx, p); err != nil {
		return err
	}
	if p.Manifest {
		return nil
	}
	s, err := l.loadStated(p)
	if err != nil {
		return err
	}
	known, inherited := s.bySequence(), map[uint64]bool{}
	for i := range r.payloads {
		sequences, m := r.payloads[i].Sequences, &r.marks[i]
		halved := len(m.outcomes) == 0
		if halved {
			m.outcomes = make([]proof.Outcome, len(sequences))
		}
		for k, sequence := range sequences {
			inherited[sequence] = true
			before := known[sequence]
			switch {
			case before == nil:
			case halved:
				m.outcomes[k] = *before
			default:
				m.outcomes[k].Accepted, m.outcomes[k].Receipt = before.Accepted, before.Receipt
			}
		}
	}
	var entries [][]byte
	arrived, last := false, uint64(0)
	gone := map[uint64]bool{} // records that did not arrive
	for i := range s.outcomes {
		o := s.outcomes[i]
		switch {
		case inherited[o.Sequence]:
			gone[o.Sequence] = true
			continue
		case failed[o.Sequence]:
			o.Outcome, o.Delivered, o.Digest = byte(auditrelay.DeadLettered), proof.Nothing, proof.Hash{}
		case r.given:
			o.Delivered, o.Digest = proof.Nothing, proof.Hash{}
		default:
			arrived = true
			continue
		}
		gone[o.Sequence], last = true, max(last, o.Sequence)
		entries = append(entries, o.Append(nil))
	}
	if arrived { // the sink named the records that did not arrive
		if err := l.stateSettled(tx, p, gone); err != nil {
			return err
		}
	}
	return l.states(tx, max(p.of(), 1), last, entries...)
}

// stateRange adds a leaf for a range whose assigned events all ended the same way without
// filters.
func (l *Lane) stateRange(tx *journal.Tx, from, to uint64, o auditrelay.Outcome) error {
	return l.states(tx, 0, to-1, proof.Range{Outcome: byte(o), From: from, To: to}.Append(nil))
}

// stateResolved adds the leaf of a dead letter that ended without being processed again.
func (l *Lane) stateResolved(tx *journal.Tx, d *deadLetter) error {
	o := proof.Outcome{Sequence: d.Sequence, Outcome: byte(d.Resolved)}
	leaf, err := l.journal.AcceptedLeaves(d.Sequence, d.Sequence+1)
	if err != nil {
		return err
	}
	o.Accepted = leaf[0]
	return l.states(tx, d.Sequence, d.Sequence, o.Append(nil))
}
