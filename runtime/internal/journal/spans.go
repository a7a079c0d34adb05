package journal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"auditrelay/internal/proof"
)

// A lane's log may have an event's outcomes anywhere. To find them without reading the whole
// log, each write of entries stores a span: the first and last sequence of its outcomes, and
// the place of its entries. A span is stored under the blocks of sequences that it touches. The
// size of a block depends on its level. A span belongs to the lowest level at which it touches
// at most two blocks. So each block has few spans, since most writes are chunks, which do not
// overlap.
//
// An older program adds to a log without storing spans. So a mark under SpanMarkKey gives the
// range of leaves that have spans without gaps. All other leaves are read.

const (
	firstSpanLevel = 8 // blocks of 256 sequences
	spanLevelStep  = 4
)

// spanned is the range of a log's leaves whose writes have spans.
type spanned struct{ from, to uint64 }

func (s spanned) record() []byte {
	return binary.AppendUvarint(binary.AppendUvarint(nil, s.from), s.to)
}

// spannedOf returns the range of a log that has spans.
func (j *Journal) spannedOf(name string) (s spanned, err error) {
	v, ok, err := j.Get(SpanMarkKey(name))
	if err != nil || !ok {
		return s, err
	}
	if err := parseUvarints(v, &s.from, &s.to); err != nil {
		return s, fmt.Errorf("read which entries of log %s have spans: %w", name, ErrCorrupt)
	}
	return s, nil
}

// span stores the span of entries, which are the next of the log, in tx.
func (t *Tree) span(tx *Tx, entries [][]byte) {
	if t.spanned.to != t.edge.size {
		t.spanned.from = t.edge.size
	}
	t.spanned.to = t.edge.size + uint64(len(entries))
	tx.Set(SpanMarkKey(t.name), t.spanned.record())
	first, last := uint64(math.MaxUint64), uint64(0)
	for _, e := range entries {
		if s, ok := proof.OutcomeSequence(e); ok {
			first, last = min(first, s), max(last, s)
		}
	}
	if first > last {
		return
	}
	level := firstSpanLevel
	for level+spanLevelStep < 64 && last>>level > first>>level+1 {
		level += spanLevelStep
	}
	var value []byte
	for _, n := range [...]uint64{first, last, uint64(len(entries))} {
		value = binary.AppendUvarint(value, n)
	}
	for block := first >> level; block <= last>>level; block++ {
		tx.Set(SpanKey(t.name, level, block, t.edge.size), value)
	}
}

// Outcomes calls fn in order for every stored outcome of the event at sequence in the log name.
// It reads only the writes that may have one, which are few however long the log is, and the
// parts of the log without spans.
func (j *Journal) Outcomes(ctx context.Context, name string, sequence uint64, fn func(index uint64, o proof.Outcome) error) error {
	have, err := j.spannedOf(name)
	if err != nil {
		return err
	}
	see := func(index uint64, entry []byte) error {
		if index%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if s, ok := proof.OutcomeSequence(entry); !ok || s != sequence {
			return nil
		}
		parsed, err := proof.ParseEntry(entry)
		if o, ok := parsed.(proof.Outcome); err == nil && ok {
			return fn(index, o)
		}
		return err
	}
	if have.from > 0 {
		if err := j.Entries(name, 0, have.from, see); err != nil {
			return err
		}
	}
	writes, err := j.writesAbout(name, sequence, have)
	if err != nil {
		return err
	}
	for _, index := range writes {
		if err := j.write(name, index, see); err != nil {
			return err
		}
	}
	size, err := j.TreeSize(name)
	if err != nil || size <= have.to {
		return err
	}
	return j.Entries(name, have.to, size, see)
}

// writesAbout returns in order where the writes start that may have an outcome of the event at
// sequence, in the range with spans.
func (j *Journal) writesAbout(name string, sequence uint64, have spanned) (writes []uint64, err error) {
	head := j.Head().Next
	for level := firstSpanLevel; level < 64; level += spanLevelStep {
		block := sequence >> level
		err := j.Scan(SpanKey(name, level, block, 0), SpanKey(name, level, block, math.MaxUint64), func(k Key, v []byte) error {
			var first, last, count uint64
			if err := parseUvarints(v, &first, &last, &count); err != nil {
				return fmt.Errorf("read a span of log %s: %w", name, ErrCorrupt)
			}
			_, _, index, _ := k.Split()
			if first <= sequence && sequence <= last && index >= have.from && index < have.to {
				writes = append(writes, index)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if head>>level < 2 {
			break // no span touches more than two blocks of this level
		}
	}
	slices.Sort(writes)
	return slices.Compact(writes), nil
}

// write calls fn for the entries of the write that starts at index. There are none if it was
// pruned or erased.
func (j *Journal) write(name string, index uint64, fn func(index uint64, entry []byte) error) error {
	k := EntryKey(name, index)
	j.scanned.Add(1)
	v, ok, err := j.Get(k)
	var entries [][]byte
	if err == nil && ok {
		entries, err = j.splitEntries(k, v)
	}
	if errors.Is(err, ErrErased) {
		return nil
	}
	for i, e := range entries {
		if err := fn(index+uint64(i), e); err != nil {
			return err
		}
	}
	return err
}

// pruneSpans deletes in tx the spans of the blocks that are wholly below a sequence.
func pruneSpans(tx *Tx, name string, before uint64) {
	for level := firstSpanLevel; level < 64 && before>>level > 0; level += spanLevelStep {
		tx.DeleteRange(SpanKey(name, level, 0, 0), SpanKey(name, level, before>>level, 0))
	}
}

// parseUvarints parses all of v as numbers.
func parseUvarints(v []byte, into ...*uint64) error {
	for _, p := range into {
		n, size := binary.Uvarint(v)
		if size <= 0 {
			return errDamaged
		}
		*p, v = n, v[size:]
	}
	if len(v) > 0 {
		return errDamaged
	}
	return nil
}
