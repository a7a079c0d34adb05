package journal

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func FuzzEventRecord(f *testing.F) {
	e := emitted("a")
	f.Add(appendBody(nil, &e))
	e = event("b", body(1))
	f.Add(appendBody(nil, &e))
	f.Fuzz(func(t *testing.T, record []byte) {
		checkRecord(1, record)
		head, data, err := splitBody(record)
		if err != nil {
			return
		}
		e, err := decodeEvent(1, 0, string(head), head, data)
		if err != nil {
			return
		}
		// The decoded value is stable.
		head, data, err = splitBody(appendBody(nil, &e))
		if err != nil || !sameIdentity(head, e.Namespace, e.ID) {
			t.Fatal(err)
		}
		again, err := decodeEvent(1, 0, string(head), head, data)
		if diff := cmp.Diff(e, again); diff != "" || err != nil {
			t.Fatal(err, diff)
		}
	})
}

func FuzzFrame(f *testing.F) {
	fr := frame{first: 7, received: 9}
	fr.add(1, "", 10)
	fr.add(2, "alerts", 10)
	f.Add(uint64(7), fr.record()[4:])
	f.Fuzz(func(t *testing.T, first uint64, record []byte) {
		fr, err := decodeFrame(first, sealRecord(frameKey(first), record))
		if err != nil {
			return
		}
		again, err := decodeFrame(first, fr.record())
		if diff := cmp.Diff(fr, again, cmp.AllowUnexported(frame{})); diff != "" || err != nil {
			t.Fatal(err, diff)
		}
	})
}

func FuzzMarker(f *testing.F) {
	m := mark{identity: Identity{ID: "a", Incarnation: "b"}}
	f.Add(m.text())
	m.before = &anchor{next: 3, commits: 2}
	f.Add(m.text())
	a := anchor{turn: 9, next: 3, commits: 2, received: 1, logs: []uint32{4, 7}}
	f.Add(a.slot(m.identity))
	f.Fuzz(func(t *testing.T, text []byte) {
		if m, err := parseMark(text); err == nil && !bytes.Equal(m.text(), text) {
			t.Fatal("another text was accepted")
		}
		if a, err := parseSlot(text, m.identity); err == nil && !bytes.Equal(a.slot(m.identity), text) {
			t.Fatal("another slot was accepted")
		}
	})
}

func FuzzStateAndKeys(f *testing.F) {
	s := state{commits: 3, next: 5, oldest: 2, bytes: 9, received: 1, emitted: map[string]uint64{"a": 1}}
	f.Add(s.record()[4:])
	f.Add([]byte(PayloadKey("s3\x00", 7)))
	f.Add([]byte(MetaKey("x")))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := decodeState(sealRecord(keyHead, b)); err == nil {
			if _, err := decodeState(s.record()); err != nil {
				t.Fatal(err)
			}
		}
		decodeIdentity(sealRecord(keyIdentity, b))
		kind, lane, number, ok := Key(b).Split()
		if !ok {
			return
		}
		made := numbered(kind, lane, number)
		if kind == KindLane || kind == KindMeta || kind == KindModule || kind == KindSelection {
			made = appendName(nil, kind, lane)
		}
		if !bytes.Equal(made, b) {
			t.Fatalf("%x splits as %x", b, made)
		}
	})
}

// Any bytes on the disk are refused, unless they are what was encrypted.
func FuzzStoredValue(f *testing.F) {
	o := mem()
	o.Encryption = Encryption{Key: masterKey(1)}
	j, err := Open("j", o)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { j.Close() })
	tx := &Tx{}
	tx.Append(event("a", body(1)))
	if _, err := j.Commit(tx); err != nil {
		f.Fatal(err)
	}
	key, want := BodyKey("s3", 1), []byte("what was encrypted")
	p := j.keyring.Load().last()
	sealed, err := j.sealedValue(p, key, want)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add(plainValue(valueMark[:]))
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, stored []byte) {
		got, err := j.value(key, stored, nil)
		if err == nil && bytes.HasPrefix(stored, valueMark[:]) && stored[len(valueMark)] == valueSealed && !bytes.Equal(got, want) {
			t.Errorf("%q", got)
		}
		j.body(1, stored, nil)
	})
}

func FuzzKeyring(f *testing.F) {
	text, err := (&keyring{salt: newSalt(), periods: []*period{{Period: Period{Number: 1, From: 1, Plain: true}}}}).text("j")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, b []byte) {
		// A valid checksum, since most inputs would fail there.
		b = fmt.Appendf(b, "crc32c %08x\n", checksum(b))
		k, err := parseKeyring(b, "j")
		if err != nil {
			return
		}
		again, err := k.text("j")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseKeyring(again, "j"); err != nil {
			t.Fatal(err)
		}
	})
}
