package journal

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// Every value that the journal stores for itself begins with a CRC-32C, on top
// of Pebble's own checksums, which do not reach from writer to reader and do not
// tell one key's value from another's.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errDamaged = errors.New("damaged record")

// reader takes a record apart. After the first mistake it yields zero values and
// keeps the error; no input makes it panic or allocate more than its own size.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail() {
	r.b, r.err = nil, errDamaged
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) uint64() uint64 {
	b := r.take(8)
	if b == nil {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

// take returns the next n bytes, not copied.
func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) bytes() []byte { return r.take(r.uvarint()) }

func appendString(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

// seal puts the checksum of a record's bytes and of its key before it.
func sealRecord(key, body []byte) []byte {
	out := make([]byte, 4, 4+len(body))
	binary.BigEndian.PutUint32(out, recordSum(key, body))
	return append(out, body...)
}

// openRecord checks and removes what sealRecord put there.
func openRecord(key, record []byte) (*reader, error) {
	if len(record) < 4 || binary.BigEndian.Uint32(record) != recordSum(key, record[4:]) {
		return nil, errDamaged
	}
	return &reader{b: record[4:]}, nil
}

func recordSum(key, body []byte) uint32 {
	return crc32.Update(crc32.Checksum(body, castagnoli), castagnoli, key)
}
