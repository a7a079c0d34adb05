package hostfuncs

import (
	"bytes"
	"testing"
)

// A recording of many pieces is that of its edits, one behind the other, without those
// that were taken back.
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
				s.record.bytes(text)
				if taken {
					s.record.undo()
				}
			}
			short.reset()
			short.node(byte(editString), []byte{1, byte(i)})
			short.bytes(text)
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
