package delivery

import (
	"bytes"
	"fmt"
	"hash/crc32"

	"auditrelay"
	"auditrelay/runtime/internal/journal"
)

// If a payload's body consists of the stored events of its records, each followed by a line
// feed, the seal does not store the body. The journal already has these bytes, keeps them while
// the payload is pending (see Lane.Floor), and never changes them. The body is rebuilt without
// the sink's code, and a checksum guards the result.

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// joins reports whether the body of p consists of its records' stored events, one a line. It is
// false for a replay of dead letters, since Floor does not protect them.
func (a *Assembled) joins(p *auditrelay.Payload) bool {
	if a.dead() || scattered(p.Sequences) {
		return false
	}
	rest, all := p.Body, len(p.Body) > 0
	a.each(p, func(_, at int) {
		j := &a.Judged[at]
		if n := len(j.Data); all {
			all = j.Outcome == auditrelay.Delivered && asStored(j) && len(rest) > n && rest[n] == '\n' && bytes.Equal(rest[:n], j.Data)
			rest = rest[min(n+1, len(rest)):]
		}
	})
	return all && len(rest) == 0
}

// leastRun is the minimum average number of consecutive events for each read that rebuilds a
// body. Scattered events, for example after a condition, would need one read each at every
// attempt. On a server each read is a round trip.
const leastRun = 16

func scattered(sequences []uint64) bool {
	runs := 1
	for i := 1; i < len(sequences); i++ {
		if sequences[i] != sequences[i-1]+1 {
			runs++
		}
	}
	return runs > 1+len(sequences)/leastRun
}

// asStored reports whether the delivered data is the event's own memory.
func asStored(j *Judged) bool {
	return len(j.Data) > 0 && len(j.Data) == len(j.Event.Data) && &j.Data[0] == &j.Event.Data[0]
}

// joinStep limits the events that are read at a time.
const (
	joinStep      = 1024
	joinStepBytes = 1 << 20
)

// joinEvents rebuilds the body of a joined payload.
func joinEvents(j *journal.Journal, meta *payloadMeta, sequences []uint64) ([]byte, error) {
	body := bytes.NewBuffer(make([]byte, 0, meta.Size))
	for len(sequences) > 0 {
		n := 1
		for n < min(len(sequences), joinStep) && sequences[n] == sequences[0]+uint64(n) {
			n++
		}
		events, _, err := j.Read(sequences[0], n, joinStepBytes)
		if err == nil && len(events) == 0 {
			err = journal.ErrCorrupt
		}
		if err != nil {
			return nil, fmt.Errorf("read event %d: %w", sequences[0], err)
		}
		for i := range events {
			body.Write(events[i].Data)
			body.WriteByte('\n')
		}
		sequences = sequences[len(events):]
	}
	if int64(body.Len()) != meta.Size || crc32.Checksum(body.Bytes(), castagnoli) != *meta.Joined {
		return nil, fmt.Errorf("its events are not what was sealed: %w", journal.ErrCorrupt)
	}
	return body.Bytes(), nil
}
