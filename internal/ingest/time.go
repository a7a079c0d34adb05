package ingest

import (
	"time"

	"auditrelay"
	"auditrelay/document"
)

// longestTime is the maximum length of a time. document.ParseTime accepts no more.
const longestTime = 64

// parseTime reads a decoded updated_at.
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
