package journal

import (
	"bytes"
	"time"

	"auditrelay"
	"auditrelay/document"
)

// version is one version of an event; the same event may arrive several times.
type version struct {
	data   []byte
	time   time.Time // the event's own time; zero if it has none
	ingest *auditrelay.Ingest
}

func (p *pending) version() version { return version{data: p.Data(), time: p.time, ingest: p.ingest} }

// DigestWith sets the digest of an event's received form, without its time. The journal needs
// it to compare events that filters changed before they were stored, since different events may
// be equal afterwards. Call DigestWith before the first Commit of an event with an Ingest.
// Without it such events are equal to no other event.
func (j *Journal) DigestWith(digest func(data []byte) [16]byte) {
	j.windowMu.Lock()
	j.digest = digest
	j.windowMu.Unlock()
}

// equal reports whether two versions are the same event. The caller must hold windowMu.
func (j *Journal) equal(a, b version) bool {
	if a.ingest == nil && b.ingest == nil {
		return bytes.Equal(a.data, b.data) || document.Equal(a.data, b.data)
	}
	if j.digest == nil || j.received(a) != j.received(b) {
		return false
	}
	return a.time.IsZero() || b.time.IsZero() || document.SameTime(a.time, b.time)
}

// received returns the digest of the received form.
func (j *Journal) received(v version) [16]byte {
	if v.ingest != nil {
		return v.ingest.Digest
	}
	return j.digest(v.data)
}
