package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// A value of the callbacks' state that is about events is stored as
//
//	mark(4) sealed(1) crc(4) box
//
// The crc covers box and key. For a value in a blob file see blobRef. Any other value is stored
// as it is. If it starts with the mark, mark and bare(1) are put before it.
var valueMark = [4]byte{0xa7, 'a', 'r', 'e'}

const (
	valueBare   = 0
	valueSealed = 1

	valuePrefix = len(valueMark) + 1 + 4
	// maxValueOverhead is the maximum difference between the sizes of a stored value and the
	// value.
	maxValueOverhead = valuePrefix + maxBoxOverhead
)

// plainValue returns the stored form of an unencrypted v.
func plainValue(v []byte) []byte {
	if !bytes.HasPrefix(v, valueMark[:]) {
		return v
	}
	return append(append(valueMark[:], valueBare), v...)
}

// sealedValue returns the stored form of v, which is about events of a period. p is nil if they
// are not encrypted. It returns *ErasedError if the period's key was destroyed.
func (j *Journal) sealedValue(p *period, key, v []byte) ([]byte, error) {
	switch {
	case p == nil || p.Plain:
		return plainValue(v), nil
	case p.Erased():
		return nil, &ErasedError{Period: p.Number, From: p.From, To: p.To}
	}
	out := make([]byte, valuePrefix, valuePrefix+boxSize(p.Number, len(v)))
	copy(out, valueMark[:])
	out[len(valueMark)] = valueSealed
	out = j.appendBox(out, p, key, v)
	binary.BigEndian.PutUint32(out[valuePrefix-4:], recordSum(key, out[valuePrefix:]))
	return out, nil
}

// valueBox returns the box of a stored value. If the value is not encrypted, box is nil and
// plain is the value.
func valueBox(key, stored []byte) (plain, box []byte, err error) {
	if !bytes.HasPrefix(stored, valueMark[:]) {
		return stored, nil, nil
	}
	switch rest := stored[len(valueMark):]; {
	case len(rest) > 0 && rest[0] == valueBare:
		return rest[1:], nil, nil
	case len(rest) > 5 && rest[0] == valueSealed && binary.BigEndian.Uint32(rest[1:]) == recordSum(key, rest[5:]):
		return nil, rest[5:], nil
	}
	return nil, nil, errDamaged
}

// value returns the value of what is stored under key, in scratch or in stored. It returns
// *ErasedError if its period's key was destroyed.
func (j *Journal) value(key, stored, scratch []byte) ([]byte, error) {
	stored, _, err := j.blob(key, stored)
	if err != nil {
		return nil, err
	}
	plain, box, err := valueBox(key, stored)
	if err != nil || box == nil {
		return plain, err
	}
	return j.openBox(scratch[:0], key, box)
}

// HeldBy returns the first key in [from, to) whose value is encrypted with the key of a period.
// ok is false if there is none. HeldBy does not need the encryption key.
func (j *Journal) HeldBy(number uint64, from, to Key) (k Key, ok bool, err error) {
	done, err := j.reading()
	if err != nil {
		return nil, false, err
	}
	defer done()
	err = j.scan(from, to, func(key, stored []byte) error {
		stored, _, err := j.blob(key, stored)
		if err != nil {
			return j.valueError("scan", err)
		}
		_, box, err := valueBox(key, stored)
		if err != nil || box == nil {
			return j.valueError("scan", err)
		}
		if n, _, err := boxPeriod(box); err != nil || n != number {
			return j.valueError("scan", err)
		}
		k, ok = bytes.Clone(key), true
		return errStop
	})
	if errors.Is(err, errStop) {
		err = nil
	}
	return k, ok, err
}

// encrypt encrypts the values of tx that belong to periods of stored events. The caller of
// Commit does this, so that the leader, who writes for all, need not.
func (j *Journal) encrypt(tx *Tx) error {
	k := j.keyring.Load()
	for i := range tx.ops {
		o := &tx.ops[i]
		if o.kind != opSet || o.of != ofEvents {
			continue
		}
		p, _ := k.at(o.about)
		arg, err := j.sealedValue(p, o.key, o.arg)
		if err != nil {
			return err
		}
		o.arg = arg
	}
	return nil
}

// An event's record of version 3 has a box instead of its body. The box contains a body of
// version 1, 2 or 4. It is bound to the record's key and time.
const sealedVersion = 3

func eventBound(sequence uint64, received int64) []byte {
	return binary.BigEndian.AppendUint64(eventKey(sequence), uint64(received))
}

// putSealed writes an event's encrypted record into dst, which must have its size.
func (j *Journal) putSealed(dst []byte, p *period, sequence uint64, received int64, body []byte) {
	dst[recordPrefix] = sealedVersion
	out := j.appendBox(dst[:recordPrefix+1], p, eventBound(sequence, received), body)
	putPrefix(dst, crc32.Checksum(out[recordPrefix:], castagnoli), sequence, received)
}

func sealedSize(p *period, body int) int { return recordPrefix + 1 + boxSize(p.Number, body) }

// body verifies an event's record and returns its body, in scratch or in record. It returns
// *ErasedError, together with the time, if its period's key was destroyed.
func (j *Journal) body(sequence uint64, record, scratch []byte) (received int64, body []byte, err error) {
	received, body, err = checkRecord(sequence, record)
	if err != nil || len(body) == 0 || body[0] != sealedVersion {
		return received, body, err
	}
	body, err = j.openBox(scratch[:0], eventBound(sequence, received), body[1:])
	if erased, ok := errors.AsType[*ErasedError](err); ok {
		erased.From, erased.To = sequence, sequence+1
	}
	return received, body, err
}

// recordSealed reports whether a verified record is encrypted.
func recordSealed(record []byte) bool {
	return len(record) > recordPrefix && record[recordPrefix] == sealedVersion
}
