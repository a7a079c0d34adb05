package hostfuncs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"runtime"
	"testing"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/filter"
)

// A recording of many pieces equals its successive edits, without those that were undone.
func TestRecordingsOfManyPieces(t *testing.T) {
	s := &State{}
	s.Record()
	var want []byte
	short := recording{}
	for range 2 {
		want = want[:0]
		s.record.reset()
		for i := range 40 {
			text := bytes.Repeat([]byte{byte(i)}, 30_000)
			for _, taken := range []bool{true, false} {
				s.record.node(byte(editString), []byte{1, byte(i)})
				s.record.bytes(text, nil)
				if taken {
					s.record.undo()
				}
			}
			short.reset()
			short.node(byte(editString), []byte{1, byte(i)})
			short.bytes(text, nil)
			want = append(want, short.log...)
		}
		if len(s.record.full) < 3 {
			t.Errorf("%d full pieces: this tests nothing", len(s.record.full))
		}
		for range 2 {
			if !bytes.Equal(s.Recorded(), want) {
				t.Error("the recording differs")
			}
		}
	}
}

// The findings that a lying worker reports are paid for before they take memory.
func TestForgedFindingsArePaidFor(t *testing.T) {
	const many = 4_000_000
	everything, err := document.ParsePath("**")
	if err != nil {
		t.Fatal(err)
	}
	paths := []*document.Path{everything}
	r, err := NewReplay(&Policy{Asked: paths, Granted: paths, EditBytes: 4 << 20, Paths: 8}, nil)
	if err != nil {
		t.Fatal(err)
	}
	log := binary.AppendUvarint([]byte{recordMatches, 1, 0, matchMask}, many)
	log = append(log, make([]byte, 2*many)...) // each of zero bytes
	data := []byte(`{"s":"x"}`)
	var d document.Document
	d.Reset(data)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err = r.Edit(&filter.Call{Event: &auditrelay.Event{Data: data}, Document: &d}, log, 8_000_000)
	runtime.ReadMemStats(&after)
	if f, ok := errors.AsType[*filter.Error](err); !ok || f.Cause != auditrelay.CauseFuel {
		t.Errorf("got %v, want the end of the fuel", err)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 64<<20 {
		t.Errorf("it took %d MiB", took>>20)
	}
}
