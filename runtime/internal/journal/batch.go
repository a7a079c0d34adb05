package journal

import (
	"bytes"
	"encoding/binary"
)

// batch is the part of a batch of the storage engine that the scan of a log needs: its number
// in the engine's own numbering, the state in it, and on request its events. See Pebble's
// package batchrepr.
type batch struct {
	sequence uint64
	count    uint32
	head     *state // nil if it has none
}

const (
	batchHeader = 12 // sequence (8) count (4)

	batchDelete       = 0
	batchSet          = 1
	batchLogData      = 3
	batchSingleDelete = 7
	batchRangeDelete  = 15
	batchDeleteSized  = 23
)

// lastHead returns the state at the end of a batch, where the journal puts it, or nil if there
// is none. b is the batch or its end.
func lastHead(b []byte) *state {
	put := append([]byte{batchSet, byte(len(keyHead))}, keyHead...)
	i := bytes.LastIndex(b, put)
	if i < 0 {
		return nil
	}
	r := reader{b: b[i+len(put):]}
	value := r.bytes()
	if r.err != nil || len(r.b) > 0 {
		return nil
	}
	s, err := decodeState(value)
	if err != nil {
		return nil
	}
	return s
}

func decodeBatch(record []byte) (*batch, error) { return visitBatch(record, nil) }

// visitBatch parses a batch. If set is not nil, it calls set for each pair that the batch sets.
// Both arguments are parts of record.
func visitBatch(record []byte, set func(key, value []byte)) (*batch, error) {
	if len(record) < batchHeader {
		return nil, errDamaged
	}
	b := &batch{sequence: binary.LittleEndian.Uint64(record), count: binary.LittleEndian.Uint32(record[8:])}
	r := reader{b: record[batchHeader:]}
	n := uint32(0)
	for len(r.b) > 0 {
		kind := r.byte()
		key := r.bytes()
		var value []byte
		switch kind {
		case batchSet, batchRangeDelete, batchDeleteSized:
			value = r.bytes()
		case batchDelete, batchSingleDelete, batchLogData:
		default:
			r.fail()
		}
		if r.err != nil {
			return nil, r.err
		}
		if kind != batchLogData {
			n++
		}
		if kind != batchSet {
			continue
		}
		if string(key) == string(keyHead) {
			head, err := decodeState(value)
			if err != nil {
				return nil, err
			}
			b.head = head
		}
		if set != nil {
			set(key, value)
		}
	}
	if n != b.count {
		return nil, errDamaged
	}
	return b, nil
}
