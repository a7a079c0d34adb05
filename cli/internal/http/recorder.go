package http

import (
	"net/http"

	"auditrelay"
	"auditrelay/cli/internal/api"
	"auditrelay/runtime"
)

// recorder records the readings of one request to the audit API before anything is shown. On
// the leader it writes to the journal. On a follower it asks the leader to.
type recorder interface {
	// reading records a reading of the store. object names a single record; it is empty for
	// several, and then the caller reports how many were shown by calling told. If refused is
	// not nil, the caller must answer with it and show nothing.
	reading(object string) (told func(events int), refused *api.Error)
	// export records the beginning of an export, and end its result. If refused is not nil, the
	// caller must answer with it and show nothing.
	export(of exportRecord) (end func(of exportRecord, failure error) error, refused *api.Error)
}

// journalRecorder is the recorder of a relay that has the journal.
type journalRecorder struct {
	s        *Server
	r        *http.Request
	who      principal
	callback string
}

func (j journalRecorder) reading(object string) (told func(events int), refused *api.Error) {
	return j.s.record(j.r, j.who, "store", object)
}

func (j journalRecorder) export(of exportRecord) (end func(of exportRecord, failure error) error, refused *api.Error) {
	act, err := j.s.rt.Begin(runtime.Change{By: j.who.as(j.r, ""), Act: "export", Action: auditrelay.ActionCreated, Table: tableExport, Object: j.callback, After: of})
	if err != nil {
		j.s.log.Error("an export was refused, since it could not be recorded", "by", j.who.by(), "error", err)
		return nil, &api.Error{Status: http.StatusServiceUnavailable, Reason: api.ReasonUnavailable, Message: "the export was refused, since it cannot be recorded", RetryAfter: retrySoon}
	}
	return func(of exportRecord, failure error) error { return act.End(of, failure) }, nil
}
