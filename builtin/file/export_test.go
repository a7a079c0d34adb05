package file

import "time"

// SetNow gives the sink a clock.
func (s *Sink) SetNow(now func() time.Time) { s.data.now, s.notes.now = now, now }
