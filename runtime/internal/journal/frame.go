package journal

import (
	"encoding/binary"
	"math"
	"slices"
	"time"
)

// frame is the index of one shared write. It has what the window and the counts need, so that
// the events need not be read. Its key is its first sequence.
type frame struct {
	first    uint64
	received int64 // in Unix ns, the same for the whole write
	bytes    uint64
	hashes   []uint64
	targets  []string // targets of emitted records
	target   []uint32 // for each event, 1 + index in targets, or 0 for none; nil if targets is empty
}

const frameVersion = 1

func (f *frame) end() uint64 { return f.first + uint64(len(f.hashes)) }

// add adds one event.
func (f *frame) add(hash uint64, target string, size int) {
	f.hashes = append(f.hashes, hash)
	f.bytes += uint64(size)
	if target == "" && f.targets == nil {
		return
	}
	for len(f.target) < len(f.hashes)-1 {
		f.target = append(f.target, 0)
	}
	index := slices.Index(f.targets, target)
	if index < 0 && target != "" {
		index = len(f.targets)
		f.targets = append(f.targets, target)
	}
	f.target = append(f.target, uint32(index+1))
}

// record encodes the frame.
func (f *frame) record() []byte {
	b := make([]byte, 0, 32+9*len(f.hashes))
	b = append(b, frameVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(f.received))
	b = binary.AppendUvarint(b, f.bytes)
	b = binary.AppendUvarint(b, uint64(len(f.hashes)))
	for _, h := range f.hashes {
		b = binary.BigEndian.AppendUint64(b, h)
	}
	b = binary.AppendUvarint(b, uint64(len(f.targets)))
	for _, t := range f.targets {
		b = appendString(b, t)
	}
	for _, t := range f.target {
		b = binary.AppendUvarint(b, uint64(t))
	}
	return sealRecord(frameKey(f.first), b)
}

// decodeFrame decodes a frame. It does not keep record.
func decodeFrame(first uint64, record []byte) (*frame, error) {
	r, err := openRecord(frameKey(first), record)
	if err != nil {
		return nil, err
	}
	if r.byte() != frameVersion {
		return nil, errDamaged
	}
	f := &frame{first: first, received: int64(r.uint64()), bytes: r.uvarint()}
	count := r.uvarint()
	if count == 0 || count > uint64(len(r.b))/8 || first+count < first {
		return nil, errDamaged
	}
	f.hashes = make([]uint64, count)
	for i := range f.hashes {
		f.hashes[i] = r.uint64()
	}
	for n := r.uvarint(); n > 0 && r.err == nil; n-- {
		f.targets = append(f.targets, string(r.bytes()))
	}
	if len(f.targets) > 0 {
		f.target = make([]uint32, count)
		for i := range f.target {
			t := r.uvarint()
			if t > uint64(len(f.targets)) || t > math.MaxUint32 {
				r.fail()
			}
			f.target[i] = uint32(t)
		}
	}
	if r.err != nil || len(r.b) > 0 {
		return nil, errDamaged
	}
	return f, nil
}

func (f *frame) time() time.Time { return fromUnixNano(f.received) }
