package journal

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// Every value of the journal starts with a CRC-32C. Pebble's own checksums do not reach from
// writer to reader, and do not detect a value under a wrong key.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errDamaged = errors.New("damaged record")

// reader parses a record. After the first error it returns zero values and keeps the error. No
// input makes it panic or allocate more than the input's size.
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

// take returns the next n bytes without copying.
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

// sealRecord puts the checksum of a record's bytes and its key before the record.
func sealRecord(key, body []byte) []byte {
	out := make([]byte, 4, 4+len(body))
	binary.BigEndian.PutUint32(out, recordSum(key, body))
	return append(out, body...)
}

// openRecord verifies and removes the checksum of sealRecord.
func openRecord(key, record []byte) (*reader, error) {
	if len(record) < 4 || binary.BigEndian.Uint32(record) != recordSum(key, record[4:]) {
		return nil, errDamaged
	}
	return &reader{b: record[4:]}, nil
}

func recordSum(key, body []byte) uint32 {
	return crc32.Update(crc32.Checksum(body, castagnoli), castagnoli, key)
}
