package journal

import (
	"bytes"
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
		// What it decodes to is stable.
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
	m := mark{identity: Identity{ID: "a", Incarnation: "b"}, next: 3, commits: 2}
	f.Add(m.text())
	f.Fuzz(func(t *testing.T, text []byte) {
		if m, err := parseMark(text); err == nil && !bytes.Equal(m.text(), text) {
			t.Fatal("another text was accepted")
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
