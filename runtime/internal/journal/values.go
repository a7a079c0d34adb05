package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

// Get returns a copy of the value under k. ok is false if there is none. It returns ErrErased
// if its period's key was destroyed. Get, Scan and Last may see a commit shortly before it is
// durable, even one that then fails. A caller that needs more must read what it committed
// itself.
func (j *Journal) Get(k Key) (value []byte, ok bool, err error) {
	done, err := j.reading()
	if err != nil {
		return nil, false, err
	}
	defer done()
	value, ok, err = j.get(k)
	if errors.Is(err, fs.ErrNotExist) { // its blob file may have been deleted meanwhile
		value, ok, err = j.get(k)
	}
	return value, ok, j.valueError("get", err)
}

func (j *Journal) get(k Key) (value []byte, ok bool, err error) {
	v, closer, err := j.store.Get(k)
	if errors.Is(err, ErrAbsent) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	defer closer.Close()
	stored, own, err := j.blob(k, v)
	if err != nil {
		return nil, false, err
	}
	plain, box, err := valueBox(k, stored)
	switch {
	case err != nil:
		return nil, false, err
	case box != nil:
		plain, err = j.openBox(nil, k, box)
		return plain, err == nil, err
	case own:
		return plain, true, nil
	}
	return append([]byte{}, plain...), true, nil
}

// Scan calls fn in order for every key in [from, to), in the state at the start of Scan. If fn
// returns an error, Scan stops and returns it. k and v are valid only until fn returns, and
// must not be modified.
func (j *Journal) Scan(from, to Key, fn func(k Key, v []byte) error) error {
	done, err := j.reading()
	if err != nil {
		return err
	}
	defer done()
	var scratch []byte
	return j.scan(from, to, func(k, v []byte) error {
		plain, err := j.value(k, v, scratch)
		if err != nil {
			return j.valueError("scan", err)
		}
		scratch = larger(scratch, plain, v)
		return fn(k, plain)
	})
}

// ScanAll is Scan, but continues after an erased value and reports it to fn.
func (j *Journal) ScanAll(from, to Key, fn func(k Key, v []byte, erased bool) error) error {
	return j.ScanAllAt(from, nil, to, fn)
}

// ScanAllAt is ScanAll, but starts with the greatest key that is not above at, if there is one
// in [from, to).
func (j *Journal) ScanAllAt(from, at, to Key, fn func(k Key, v []byte, erased bool) error) error {
	done, err := j.reading()
	if err != nil {
		return err
	}
	defer done()
	var scratch []byte
	return j.scanAt(from, at, to, func(k, v []byte) error {
		plain, err := j.value(k, v, scratch)
		if errors.Is(err, ErrErased) {
			return fn(k, nil, true)
		}
		if err != nil {
			return j.valueError("scan", err)
		}
		scratch = larger(scratch, plain, v)
		return fn(k, plain, false)
	})
}

// larger returns the memory for decrypting the next value: that of plain, unless it is part of
// stored.
func larger(scratch, plain, stored []byte) []byte {
	if len(plain) < len(stored) && cap(plain) > cap(scratch) && bytes.HasPrefix(stored, valueMark[:]) && stored[len(valueMark)] == valueSealed {
		return plain
	}
	return scratch
}

// Last returns a copy of the greatest key in [from, to) and of its value. ok is false if there
// is none. If the value is erased, Last returns the key together with the *ErasedError.
func (j *Journal) Last(from, to Key) (k Key, v []byte, ok bool, err error) {
	done, err := j.reading()
	if err != nil {
		return nil, nil, false, err
	}
	defer done()
	it, err := j.store.Iterate(from, to)
	if err != nil {
		return nil, nil, false, j.valueError("last", err)
	}
	defer it.Close()
	if !it.Last() {
		return nil, nil, false, j.valueError("last", it.Error())
	}
	value, err := it.ValueAndErr()
	if err == nil {
		k = append(Key{}, it.Key()...)
		value, err = j.value(k, value, nil)
	}
	if err != nil {
		return k, nil, false, j.valueError("last", err)
	}
	return k, append([]byte{}, value...), true, nil
}

// FirstKey returns a copy of the smallest key in [from, to). ok is false if there is none.
func (j *Journal) FirstKey(from, to Key) (k Key, ok bool, err error) {
	done, err := j.reading()
	if err != nil {
		return nil, false, err
	}
	defer done()
	it, err := j.store.Iterate(from, to)
	if err != nil {
		return nil, false, j.valueError("first", err)
	}
	defer it.Close()
	if !it.First() {
		return nil, false, j.valueError("first", it.Error())
	}
	return append(Key{}, it.Key()...), true, nil
}

func (j *Journal) scan(from, to []byte, fn func(k, v []byte) error) error {
	return j.scanAt(from, nil, to, fn)
}

// scanAt starts with the greatest key that is not above at, if there is one in [from, to).
func (j *Journal) scanAt(from, at, to []byte, fn func(k, v []byte) error) error {
	it, err := j.store.Iterate(from, to)
	if err != nil {
		return j.valueError("scan", err)
	}
	defer it.Close()
	ok := len(at) > 0 && it.SeekLT(append(slices.Clip(at), 0))
	if !ok && it.Error() == nil {
		ok = it.First()
	}
	for ; ok; ok = it.Next() {
		j.scanned.Add(1)
		v, err := it.ValueAndErr()
		if err != nil {
			return j.valueError("scan", err)
		}
		if err := fn(it.Key(), v); err != nil {
			return err
		}
	}
	return j.valueError("scan", it.Error())
}

func (j *Journal) valueError(op string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("journal: %s: %w", op, j.damaged(0, 0, err))
}
