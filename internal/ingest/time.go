package ingest

import (
	"time"

	"auditrelay"
	"auditrelay/document"
)

// longestTime bounds what is looked at as a time; document.ParseTime takes no more.
const longestTime = 64

// parseTime reads updated_at, decoded.
func parseTime(b []byte) (time.Time, auditrelay.TimeSource) {
	t, naive, ok := document.ParseTime(b)
	switch {
	case !ok:
		return time.Time{}, auditrelay.TimeUnreadable
	case naive:
		return t, auditrelay.TimeNaive
	}
	return t, auditrelay.TimeOfEvent
}
