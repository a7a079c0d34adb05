package journal

import (
	"bytes"
	"time"

	"auditrelay"
	"auditrelay/document"
)

// version is one telling of an event, of which another may come by another way.
type version struct {
	data   []byte
	time   time.Time // its own, zero where it has none
	ingest *auditrelay.Ingest
}

func (p *pending) version() version { return version{data: p.Data(), time: p.time, ingest: p.ingest} }

// DigestWith sets what digests the received form of an event, for comparing events
// of which filters took something before they were stored: what is left of two that
// differ may be the same. The digest is of the event without its time. To be called
// before the first Commit of an event with an Ingest; without it such events are
// equal to none.
func (j *Journal) DigestWith(digest func(data []byte) [16]byte) {
	j.windowMu.Lock()
	j.digest = digest
	j.windowMu.Unlock()
}

// equal reports whether two are the same event. It is called with windowMu held.
func (j *Journal) equal(a, b version) bool {
	if a.ingest == nil && b.ingest == nil {
		return bytes.Equal(a.data, b.data) || document.Equal(a.data, b.data)
	}
	if j.digest == nil || j.received(a) != j.received(b) {
		return false
	}
	return a.time.IsZero() || b.time.IsZero() || document.SameTime(a.time, b.time)
}

// received is the digest of what came.
func (j *Journal) received(v version) [16]byte {
	if v.ingest != nil {
		return v.ingest.Digest
	}
	return j.digest(v.data)
}
