package file

import (
	"testing"
	"time"
)

// SetNow gives the sink a clock.
func (s *Sink) SetNow(now func() time.Time) { s.data.now, s.notes.now = now, now }

// RotationEntry is the line by which a state file records a rotation.
func RotationEntry(t testing.TB, name string) []byte {
	line, err := appendEntry(nil, entry{Rotate: name})
	if err != nil {
		t.Fatal(err)
	}
	return line
}
