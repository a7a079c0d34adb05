package pgstore

import (
	"encoding/binary"
	"fmt"

	"auditrelay/runtime/internal/journal"
)

// batch implements journal.Batch. Commit encodes its content.
type batch struct {
	ops   []op
	arena []byte
	bytes int
}

type op struct {
	kind       opKind
	key, value []byte // for a deleted range: from and to
}

type opKind uint8

const (
	opSet opKind = iota
	opDelete
	opDeleteRange
)

const leastArena = 4 << 10

// Batch implements journal.Store.
func (s *Store) Batch(bytes int) journal.Batch {
	return &batch{arena: make([]byte, 0, max(bytes, leastArena))}
}

// take allocates n bytes.
func (b *batch) take(n int) []byte {
	if n > cap(b.arena)-len(b.arena) {
		b.arena = make([]byte, 0, max(n, leastArena))
	}
	at := len(b.arena)
	b.arena = b.arena[:at+n]
	return b.arena[at : at+n : at+n]
}

func (b *batch) copied(p []byte) []byte {
	c := b.take(len(p))
	copy(c, p)
	return c
}

func (b *batch) add(o op) {
	b.ops = append(b.ops, o)
	b.bytes += len(o.key) + len(o.value) + 8
}

// Set implements journal.Batch.
func (b *batch) Set(keyBytes, valueBytes int) (key, value []byte) {
	key, value = b.take(keyBytes), b.take(valueBytes)
	b.add(op{opSet, key, value})
	return key, value
}

// Delete implements journal.Batch.
func (b *batch) Delete(key []byte) { b.add(op{kind: opDelete, key: b.copied(key)}) }

// DeleteRange implements journal.Batch.
func (b *batch) DeleteRange(from, to []byte) { b.add(op{opDeleteRange, b.copied(from), b.copied(to)}) }

// Len implements journal.Batch.
func (b *batch) Len() int { return b.bytes }

// Empty implements journal.Batch.
func (b *batch) Empty() bool { return len(b.ops) == 0 }

// Close implements journal.Batch.
func (b *batch) Close() error { return nil }

// write is a batch as one transaction.
type write struct {
	head                  []byte
	eventsFrom, indexFrom int64 // 0 if nothing is trimmed
	frame                 frameRow
	events                int
	state                 []change // in order
	bytes                 int
}

// frameRow is a row of the table frames.
type frameRow struct {
	first                  int64
	index, lengths, events []byte
}

// change is one statement on the table state.
type change struct {
	kind         opKind
	keys, values [][]byte
	at           map[string]int // for opSet: the index of each key
}

// encode sorts the content of a batch by table.
func (b *batch) encode() (*write, error) {
	w := &write{bytes: b.bytes}
	for _, o := range b.ops {
		space, sequence := journal.SpaceOf(o.key)
		var err error
		switch {
		case space == journal.SpaceState:
			w.change(o)
		case o.kind == opSet:
			err = w.append(space, sequence, o.value)
		case o.kind == opDeleteRange:
			err = w.trim(space, o)
		default:
			err = fmt.Errorf("a single key of space %d is deleted", space)
		}
		if err != nil {
			return nil, fmt.Errorf("journal on Postgres: %w", err)
		}
	}
	if w.events > 0 && w.frame.index == nil {
		return nil, fmt.Errorf("journal on Postgres: %d events without an index record", w.events)
	}
	return w, nil
}

func (w *write) append(space journal.Space, sequence uint64, value []byte) error {
	switch space {
	case journal.SpaceHead:
		w.head = value
	case journal.SpaceIndex:
		w.frame.index = value
		if w.events == 0 || int64(sequence) != w.frame.first {
			return fmt.Errorf("the index record of %d, the events begin at %d", sequence, w.frame.first)
		}
	default:
		if w.events == 0 {
			w.frame.first, w.frame.events = int64(sequence), make([]byte, 0, w.bytes)
		}
		if int64(sequence) != w.frame.first+int64(w.events) {
			return fmt.Errorf("event %d does not follow", sequence)
		}
		w.events++
		w.frame.lengths = binary.AppendUvarint(w.frame.lengths, uint64(len(value)))
		w.frame.events = append(w.frame.events, value...)
	}
	return nil
}

func (w *write) trim(space journal.Space, o op) error {
	end, to := journal.SpaceOf(o.value)
	switch {
	case end != space:
		return fmt.Errorf("a range from space %d to %d is deleted", space, end)
	case space == journal.SpaceEvents:
		w.eventsFrom = int64(to)
	case space == journal.SpaceIndex:
		w.indexFrom = int64(to)
	}
	return nil
}

// change merges an operation into the last statement if possible.
func (w *write) change(o op) {
	var c *change
	if n := len(w.state); n > 0 && w.state[n-1].kind == o.kind && o.kind != opDeleteRange {
		c = &w.state[n-1]
	} else {
		w.state = append(w.state, change{kind: o.kind})
		c = &w.state[n]
	}
	if o.kind != opSet {
		c.keys, c.values = append(c.keys, o.key), append(c.values, o.value)
		return
	}
	if c.at == nil {
		c.at = map[string]int{}
	}
	if i, ok := c.at[string(o.key)]; ok {
		c.values[i] = o.value
		return
	}
	c.at[string(o.key)] = len(c.keys)
	c.keys, c.values = append(c.keys, o.key), append(c.values, o.value)
}
