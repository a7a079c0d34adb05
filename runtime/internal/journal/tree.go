package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"auditrelay/internal/proof"

	"golang.org/x/mod/sumdb/tlog"
)

// A tree is an append-only Merkle log as in RFC 6962. Its leaf hashes are stored under LeafKey,
// those of one write together, and the hashes of its full tiles under NodeKey. Both outlive the
// events, since they reveal nothing about them. The entries of the leaves are stored under
// EntryKey until they are pruned, and are erased with their events.

// edge is the right edge of a tree: everything that an append needs. A shared edge is
// immutable.
type edge struct {
	size  uint64
	nodes []proof.Hash // hashes of the full subtrees, largest first: one for each set bit of size
}

func (e *edge) clone() edge { return edge{e.size, slices.Clone(e.nodes)} }

// add appends a leaf. It calls full for each tile that the leaf fills, with the tile's level
// and its index in the level above.
func (e *edge) add(leaf proof.Hash, full func(level int, index uint64, h proof.Hash)) {
	h, index := leaf, e.size
	for height := 1; index&1 == 1; height++ {
		n := len(e.nodes) - 1
		h = proof.NodeHash(e.nodes[n], h)
		e.nodes, index = e.nodes[:n], index>>1
		if height%tileHeight == 0 && full != nil {
			full(height/tileHeight, index, h)
		}
	}
	e.nodes = append(e.nodes, h)
	e.size++
}

// tileHeight is the height of a tile of proof.TileWidth hashes.
const tileHeight = 8

// root returns the tree's root.
func (e *edge) root() proof.Hash {
	if len(e.nodes) == 0 {
		return proof.Hash(emptyRoot)
	}
	h := e.nodes[len(e.nodes)-1]
	for _, left := range slices.Backward(e.nodes[:len(e.nodes)-1]) {
		h = proof.NodeHash(left, h)
	}
	return h
}

// write stores new leaves and the tiles that they fill, with set.
func (e *edge) write(name string, leaves []proof.Hash, set func(k Key, v []byte)) {
	value := make([]byte, 0, len(leaves)*len(proof.Hash{}))
	for i := range leaves {
		value = append(value, leaves[i][:]...)
	}
	set(LeafKey(name, e.size), value)
	for i := range leaves {
		e.add(leaves[i], func(level int, index uint64, h proof.Hash) { set(NodeKey(name, level, index), h[:]) })
	}
}

// Tree is one log, open for appending. It is not safe for concurrent use. If its transaction
// fails, the tree no longer knows the durable state: open it anew.
type Tree struct {
	name    string
	edge    edge
	spanned spanned
}

// OpenTree loads a log. A log that does not exist is empty.
func (j *Journal) OpenTree(name string) (*Tree, error) {
	done, err := j.reading()
	if err != nil {
		return nil, err
	}
	defer done()
	e, err := j.loadEdge(name)
	if err != nil {
		return nil, err
	}
	have, err := j.spannedOf(name)
	return &Tree{name: name, edge: e, spanned: have}, err
}

// TreeSize returns the number of leaves of a log.
func (j *Journal) TreeSize(name string) (uint64, error) {
	done, err := j.reading()
	if err != nil {
		return 0, err
	}
	defer done()
	return j.treeSize(name)
}

// TreeRoot returns the root of the first size leaves of a log, which must have that many. On
// each level of tiles it reads only the hashes that are in no full tile.
func (j *Journal) TreeRoot(name string, size uint64) (proof.Hash, error) {
	done, err := j.reading()
	if err != nil {
		return proof.Hash{}, err
	}
	defer done()
	e, err := j.edgeAt(name, size)
	return e.root(), err
}

// Size returns the number of leaves.
func (t *Tree) Size() uint64 { return t.edge.size }

// Root returns the log's root.
func (t *Tree) Root() proof.Hash { return t.edge.root() }

// Append adds entries to the log, in tx. about is a sequence in the period of the entries'
// events, and last the greatest of their sequences; about is 0 if the entries are about no
// event.
func (t *Tree) Append(tx *Tx, about, last uint64, entries ...[]byte) {
	if len(entries) == 0 {
		return
	}
	size := binary.MaxVarintLen64
	for _, e := range entries {
		size += 2 + len(e)
	}
	value := proof.AppendEntries(binary.AppendUvarint(make([]byte, 0, size), last), entries...)
	if about == 0 {
		tx.SetPlain(EntryKey(t.name, t.edge.size), value)
	} else {
		tx.SetAbout(about, EntryKey(t.name, t.edge.size), value)
	}
	t.grow(tx, entries)
}

// AppendStated is Append for entries that are already stored under a StatementKey, all of them
// and in this order. They are not copied. From now on the log needs that value: it is erased
// with its period, and PruneEntries deletes it.
func (t *Tree) AppendStated(tx *Tx, last uint64, at Key, entries ...[]byte) {
	if len(entries) == 0 {
		return
	}
	stated := statedAt{last: last, count: uint64(len(entries)), key: at}
	tx.SetPlain(EntryKey(t.name, t.edge.size), stated.record())
	t.grow(tx, entries)
}

// grow adds the leaves of entries, and their span.
func (t *Tree) grow(tx *Tx, entries [][]byte) {
	t.span(tx, entries)
	leaves := make([]proof.Hash, len(entries))
	for i, e := range entries {
		leaves[i] = proof.LeafHash(e)
	}
	t.edge.write(t.name, leaves, tx.Set)
}

// Entries calls fn in order for every stored entry of the log name with an index in [from, to).
// entry is nil if it was erased. It is valid until fn returns.
func (j *Journal) Entries(name string, from, to uint64, fn func(index uint64, entry []byte) error) error {
	first := EntryKey(name, from)
	k, _, ok, err := j.Last(EntryKey(name, 0), EntryKey(name, from+1))
	if err != nil && !errors.Is(err, ErrErased) {
		return err
	}
	if ok || err != nil {
		first = k
	}
	next := uint64(0) // the index after an erased value is that of the next record
	return j.ScanAll(first, EntryKey(name, to), func(k Key, v []byte, erased bool) error {
		_, _, index, _ := k.Split()
		if next = index; erased {
			if next < from {
				return nil
			}
			return fn(next, nil)
		}
		entries, err := j.splitEntries(k, v)
		if errors.Is(err, ErrErased) {
			if next < from {
				return nil
			}
			return fn(next, nil)
		}
		if err != nil {
			return err
		}
		for i, e := range entries {
			if at := index + uint64(i); at >= from && at < to {
				if err := fn(at, e); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// PruneEntries deletes in tx the entries of a log that are only about events before a sequence
// and are published. published is the published size of the log. Afterwards Outcomes finds
// nothing of those events.
func (j *Journal) PruneEntries(tx *Tx, name string, before, published uint64) error {
	pruneSpans(tx, name, before)
	err := j.ScanAll(EntryKey(name, 0), EntryKey(name, published), func(k Key, v []byte, erased bool) error {
		_, _, index, _ := k.Split()
		if erased {
			tx.Delete(EntryKey(name, index))
			return nil
		}
		at, err := parseKept(v)
		if err != nil {
			return err
		}
		if at.last >= before || index+at.count > published {
			return errStop
		}
		tx.Delete(EntryKey(name, index))
		if at.key != nil {
			tx.Delete(at.key)
		}
		return nil
	})
	if err == errStop {
		err = nil
	}
	return err
}

// loadEdge reads the right edge of a log. The caller must hold the journal open.
func (j *Journal) loadEdge(name string) (edge, error) {
	size, err := j.treeSize(name)
	if err != nil {
		return edge{}, err
	}
	return j.edgeAt(name, size)
}

// edgeAt reads the right edge that a log had at a given size. The caller must hold the journal
// open.
func (j *Journal) edgeAt(name string, size uint64) (edge, error) {
	e := edge{size: size}
	for level := (bits.Len64(size) - 1) / tileHeight; level >= 0 && size > 0; level-- {
		whole := size >> (level * tileHeight)
		n := whole % proof.TileWidth
		hashes, err := j.treeHashes(name, level, whole-n, int(n))
		if err != nil {
			return edge{}, err
		}
		var part edge
		for _, h := range hashes {
			part.add(h, nil)
		}
		e.nodes = append(e.nodes, part.nodes...)
	}
	return e, nil
}

func (j *Journal) treeSize(name string) (uint64, error) {
	it, err := j.store.Iterate(LeafKey(name, 0), LeafKey(name, 1<<62))
	if err != nil {
		return 0, err
	}
	defer it.Close()
	if !it.Last() {
		return 0, it.Error()
	}
	j.scanned.Add(1)
	value, err := it.ValueAndErr()
	if err != nil {
		return 0, err
	}
	_, _, first, _ := Key(it.Key()).Split()
	return first + uint64(len(value)/len(proof.Hash{})), nil
}

// treeHashes returns n hashes of a level of tiles from an index on. Level 0 has the leaves. The
// caller must hold the journal open.
func (j *Journal) treeHashes(name string, level int, from uint64, n int) ([]proof.Hash, error) {
	if n == 0 {
		return nil, nil
	}
	key := func(index uint64) []byte { return NodeKey(name, level, index) }
	if level == 0 {
		key = func(index uint64) []byte { return LeafKey(name, index) }
	}
	it, err := j.store.Iterate(key(0), key(from+uint64(n)))
	if err != nil {
		return nil, err
	}
	defer it.Close()
	hashes := make([]proof.Hash, 0, n)
	for ok := it.SeekLT(key(from + 1)); ok && len(hashes) < n; ok = it.Next() {
		_, _, index, _ := Key(it.Key()).Split()
		index &= 1<<56 - 1
		value, err := it.ValueAndErr()
		if err != nil {
			return nil, err
		}
		for ; len(value) >= len(proof.Hash{}) && len(hashes) < n; index, value = index+1, value[len(proof.Hash{}):] {
			switch want := from + uint64(len(hashes)); {
			case index > want:
				return nil, fmt.Errorf("hash %d of level %d of log %s is missing: %w", want, level, name, ErrCorrupt)
			case index == want:
				hashes = append(hashes, proof.Hash(value[:len(proof.Hash{})]))
			}
		}
	}
	if err := it.Error(); err != nil {
		return nil, err
	}
	if len(hashes) < n {
		return nil, fmt.Errorf("hash %d of level %d of log %s is missing: %w", from+uint64(len(hashes)), level, name, ErrCorrupt)
	}
	return hashes, nil
}

// TreeHashes returns n hashes of a log from an index on. Level 0 has the leaves. Each hash of a
// higher level is the root of a full tile of the level below.
func (j *Journal) TreeHashes(name string, level int, from uint64, n int) ([]proof.Hash, error) {
	done, err := j.reading()
	if err != nil {
		return nil, err
	}
	defer done()
	return j.treeHashes(name, level, from, n)
}

// TreeReader returns a reader of a log's hashes, for proofs.
func (j *Journal) TreeReader(name string) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]proof.Hash, error) {
		hashes := make([]proof.Hash, len(indexes))
		for i, stored := range indexes {
			level, n := tlog.SplitStoredHashIndex(stored)
			height := level % tileHeight
			below, err := j.TreeHashes(name, level/tileHeight, uint64(n)<<height, 1<<height)
			if err != nil {
				return nil, err
			}
			var part edge
			for _, h := range below {
				part.add(h, nil)
			}
			hashes[i] = part.root()
		}
		return hashes, nil
	})
}
