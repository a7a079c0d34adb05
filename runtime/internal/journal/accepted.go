package journal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"auditrelay/internal/proof"
)

var emptyRoot = sha256.Sum256(nil)

// acceptedLog is the log of the events that one incarnation of the journal accepted. Leaf 0
// says where the log starts; the event at sequence First has leaf 1.
type acceptedLog struct {
	Name  string `json:"name"`
	First uint64 `json:"first"`

	size uint64 // number of leaves of a closed log
}

// keyLogs is the key of the list of the logs of accepted events, oldest first.
var keyLogs = MetaKey("accepted-logs")

// AcceptedName returns the name of the log of the events that an incarnation accepted.
func AcceptedName(incarnation string) string { return incarnation + "/accepted" }

// DeliveredName returns the name of the log of the records that a lane delivered in an
// incarnation.
func DeliveredName(incarnation, lane string) string { return incarnation + "/delivered/" + lane }

// openAccepted loads the log of accepted events, or starts one if this incarnation has none.
// That is so for a new, restored or recovered journal, and for one of an older program that
// kept no log.
func (j *Journal) openAccepted() error {
	plain, err := saltCipher(j.id.key[:])
	if err != nil {
		return err
	}
	j.plainSalt = plain
	switch value, closer, err := j.store.Get(keyLogs); {
	case errors.Is(err, ErrAbsent):
	case err != nil:
		return j.damaged(0, 0, err)
	default:
		err := json.Unmarshal(value, &j.logs)
		closer.Close()
		if err != nil {
			return &CorruptError{Err: fmt.Errorf("the list of logs: %w", err)}
		}
	}
	name := AcceptedName(j.id.Incarnation)
	if n := len(j.logs); n == 0 || j.logs[n-1].Name != name {
		if err := j.beginAccepted(name); err != nil {
			return err
		}
	}
	for i := range j.logs {
		if j.logs[i].size, err = j.treeSize(j.logs[i].Name); err != nil {
			return j.damaged(0, 0, err)
		}
	}
	e, err := j.loadEdge(name)
	if err != nil {
		return j.damaged(0, 0, err)
	}
	j.accepted.Store(&e)
	return j.catchUp()
}

// beginAccepted starts the log of this incarnation and closes the previous one.
func (j *Journal) beginAccepted(name string) error {
	begin := proof.Begin{First: j.state.Load().next}
	if n := len(j.logs); n > 0 {
		last := j.logs[n-1]
		e, err := j.loadEdge(last.Name)
		if err != nil {
			return j.damaged(0, 0, err)
		}
		begin.PreviousSize, begin.PreviousRoot = e.size, e.root()
		begin.Previous = last.originOf(j.id.ID)
	}
	j.logs = append(j.logs, acceptedLog{Name: name, First: begin.First})
	list, err := json.Marshal(j.logs)
	if err != nil {
		return err
	}
	b := j.store.Batch(0)
	set(b, keyLogs, list)
	entry := begin.Append(nil)
	set(b, EntryKey(name, 0), plainValue(proof.AppendEntries([]byte{0}, entry)))
	new(edge).write(name, []proof.Hash{proof.LeafHash(entry)}, func(k Key, v []byte) { set(b, k, v) })
	return j.apply(b)
}

func (l *acceptedLog) originOf(journal string) string {
	return proof.Origin(journal, l.Name[:len(l.Name)-len("/accepted")], "")
}

// catchUp adds the leaves of events that a program without logs accepted, for example an older
// version that ran for a while.
func (j *Journal) catchUp() error {
	log := &j.logs[len(j.logs)-1]
	s := j.state.Load()
	have := j.accepted.Load().size - 1 + log.First
	if have > s.next {
		return &CorruptError{From: s.next, To: have, Err: errors.New("the log of what was accepted has them, the journal does not")}
	}
	for have < s.next {
		n := min(s.next-have, maxGroupEvents)
		e := j.accepted.Load().clone()
		b := j.store.Batch(0)
		leaves := make([]proof.Hash, n)
		for i := range leaves {
			leaf, err := j.leafOf(have + uint64(i))
			if err != nil {
				return err
			}
			leaves[i] = leaf
		}
		e.write(log.Name, leaves, func(k Key, v []byte) { set(b, k, v) })
		if err := j.apply(b); err != nil {
			return err
		}
		j.accepted.Store(&e)
		have += n
	}
	log.size = j.accepted.Load().size
	return nil
}

// leafOf computes the leaf of a stored event. An unreadable event has a leaf without a
// commitment.
func (j *Journal) leafOf(sequence uint64) (proof.Hash, error) {
	a, _, err := j.acceptedEntry(sequence)
	if errors.Is(err, ErrErased) || errors.Is(err, ErrAbsent) {
		err = nil
	}
	if err != nil {
		return proof.Hash{}, j.damaged(sequence, sequence+1, err)
	}
	return proof.LeafHash(a.Append(nil)), nil
}

// acceptedEntry returns the entry of a stored event, and the body to which the entry commits.
func (j *Journal) acceptedEntry(sequence uint64) (proof.Accepted, []byte, error) {
	a := proof.Accepted{Sequence: sequence}
	record, closer, err := j.store.Get(eventKey(sequence))
	if err != nil {
		return a, nil, err
	}
	defer closer.Close()
	received, body, err := j.body(sequence, record, nil)
	if err != nil {
		return a, nil, err
	}
	p, _ := j.keyring.Load().at(sequence)
	salt, err := j.salt(p, sequence, acceptedTag)
	if err != nil {
		return a, nil, err
	}
	a.Received, a.Commitment = received, proof.Commit(salt, sha256.Sum256(body))
	return a, slices.Clone(body), nil
}

// accept adds the leaves of the group's events to the log.
func (g *group) accept() {
	j := g.j
	e := j.accepted.Load().clone()
	leaves := make([]proof.Hash, len(g.events))
	var entry [proof.AcceptedBytes]byte
	for i, p := range g.events {
		a := proof.Accepted{Sequence: g.frame.first + uint64(i), Received: g.frame.received}
		salt, err := j.salt(g.period, a.Sequence, acceptedTag)
		g.keep(err) // cannot happen: the current period is never destroyed
		a.Commitment = proof.Commit(salt, p.digest)
		leaves[i] = proof.LeafHash(a.Append(entry[:0]))
	}
	e.write(j.logs[len(j.logs)-1].Name, leaves, func(k Key, v []byte) { g.put(k, v) })
	g.accepted, g.leaves = &e, leaves
}

// AcceptedHead is the head of the log of accepted events.
type AcceptedHead struct {
	Name  string
	First uint64 // the sequence of leaf 1
	Size  uint64
	Root  proof.Hash
}

// Accepted returns the head of this incarnation's log of accepted events. All of it is durable.
func (j *Journal) Accepted() AcceptedHead {
	e, log := j.accepted.Load(), &j.logs[len(j.logs)-1]
	return AcceptedHead{Name: log.Name, First: log.First, Size: e.size, Root: e.root()}
}

// AcceptedLeaves returns the leaf hashes of the events in [from, to), which must all be stored.
// The hash of an event that was accepted before there was a log is zero.
func (j *Journal) AcceptedLeaves(from, to uint64) ([]proof.Hash, error) {
	done, err := j.reading()
	if err != nil {
		return nil, err
	}
	defer done()
	hashes := make([]proof.Hash, to-from)
	if _, ok := j.recent.leaves(hashes[:0], from, to); ok {
		return hashes, nil
	}
	for i := range j.logs {
		log, end := &j.logs[i], to
		if i+1 < len(j.logs) {
			end = min(end, j.logs[i+1].First)
		}
		first := max(from, log.First)
		if first >= end {
			continue
		}
		found, err := j.treeHashes(log.Name, 0, first-log.First+1, int(end-first))
		if err != nil {
			return nil, fmt.Errorf("journal: read the leaves of events %d to %d: %w", first, end-1, err)
		}
		copy(hashes[first-from:], found)
	}
	return hashes, nil
}

// ProvenEvent is an event with all data of its leaf in the log of accepted events.
type ProvenEvent struct {
	Entry proof.Accepted
	Salt  proof.Salt
	Body  []byte // the body to which the leaf commits; see docs/reference/proofs.md
	Log   string
	Index uint64 // index of the leaf
}

// Prove returns the proof that the event at sequence was accepted.
//
// Errors: ErrTrimmed, ErrErased, ErrCorrupt; errors.ErrUnsupported if the event was accepted
// before there was a log.
func (j *Journal) Prove(sequence uint64) (ProvenEvent, error) {
	done, err := j.reading()
	if err != nil {
		return ProvenEvent{}, err
	}
	defer done()
	var p ProvenEvent
	for _, log := range j.logs {
		if log.First <= sequence {
			p.Log, p.Index = log.Name, sequence-log.First+1
		}
	}
	if p.Log == "" {
		return p, fmt.Errorf("journal: event %d was accepted before there was a log: %w", sequence, errors.ErrUnsupported)
	}
	p.Entry, p.Body, err = j.acceptedEntry(sequence)
	if errors.Is(err, ErrAbsent) {
		err = ErrTrimmed
	}
	if err == nil {
		p.Salt, err = j.Salts(AcceptedSalt)(sequence)
	}
	if err != nil {
		err = fmt.Errorf("journal: prove event %d: %w", sequence, j.damaged(sequence, sequence+1, err))
	}
	return p, err
}

// AcceptedSalt is the name of the salts of the log of accepted events.
const AcceptedSalt = "accepted"

var acceptedTag = saltTag(AcceptedSalt)

func saltTag(log string) uint64 {
	sum := sha256.Sum256([]byte(log))
	return binary.BigEndian.Uint64(sum[:])
}

// saltCipher derives from a key the cipher that generates salts. A salt is AES of the sequence
// and the log's tag. So some salts reveal nothing about others, and without the key nobody can
// compute any.
func saltCipher(key []byte) (cipher.Block, error) {
	derived, err := hkdf.Key(sha256.New, key, nil, "auditrelay salt 1", 32)
	if err != nil {
		return nil, err
	}
	return aes.NewCipher(derived)
}

// salt returns an event's salt. Without encryption the key is the journal's own and is stored
// in the journal. The salts then hide events from everyone who does not have the data
// directory.
func (j *Journal) salt(p *period, sequence, tag uint64) (salt proof.Salt, err error) {
	block := j.plainSalt
	switch {
	case p == nil || p.Plain:
	case p.Erased():
		return salt, &ErasedError{Period: p.Number, From: sequence, To: sequence + 1}
	default:
		block = p.salt
	}
	binary.BigEndian.PutUint64(salt[:8], sequence)
	binary.BigEndian.PutUint64(salt[8:], tag)
	block.Encrypt(salt[:], salt[:])
	return salt, nil
}

// Salts returns a function that returns the salt of an event in a log, by sequence. It returns
// ErrErased if the key of the event's period was destroyed.
func (j *Journal) Salts(log string) func(sequence uint64) (proof.Salt, error) {
	tag := saltTag(log)
	return func(sequence uint64) (proof.Salt, error) {
		p, _ := j.keyring.Load().at(sequence)
		return j.salt(p, sequence, tag)
	}
}
