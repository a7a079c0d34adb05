package http

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"auditrelay"
	"auditrelay/cli/internal/api"
	"auditrelay/runtime"
)

// tableTap is the table_name of the relay's own events about opened taps.
const tableTap = "auditrelay_tap"

// tapAlive is the interval at which a tap without events sends a line and checks that its token
// is still valid.
const tapAlive = 5 * time.Second

// getTap streams events as they pass, one JSON object per line, until the client disconnects.
// The configuration must allow taps, and each opening is recorded first.
func (s *Server) getTap(w http.ResponseWriter, r *http.Request, who principal) {
	var q api.TapQuery
	refused := api.ReadQuery(r.URL.Query(), &q)
	stages := []string{"", string(runtime.StageAccepted), string(runtime.StageFiltered), string(runtime.StageDelivered)}
	switch {
	case refused != nil:
	case !s.auth.Load().tap:
		refused = &api.Error{
			Status: http.StatusConflict, Reason: api.ReasonConfig,
			Message: "live viewing of events is off", Hint: "set tap: {enabled: true} in the configuration",
		}
	case !slices.Contains(stages, q.Stage):
		refused = badRequest("stage: expected accepted, filtered or delivered", "")
	}
	if refused != nil {
		respondError(w, refused)
		return
	}
	tap, err := s.rt.Tap(func(l *runtime.TapLine) bool {
		return (q.Stage == "" || q.Stage == string(l.Stage)) && (q.Callback == "" || q.Callback == l.Callback) &&
			(q.Action == "" || q.Action == string(l.Action)) && (q.Table == "" || q.Table == l.Table) && (q.ID == "" || q.ID == l.ID)
	})
	if errors.Is(err, runtime.ErrTaps) {
		respondError(w, &api.Error{Status: http.StatusServiceUnavailable, Reason: api.ReasonBusy, Message: err.Error(), RetryAfter: retrySoon})
		return
	}
	defer tap.Close()
	err = s.rt.Record(r.Context(), runtime.Change{By: who.as(r, ""), Act: "tap", Action: auditrelay.ActionCreated, Table: tableTap, Object: "tap", After: q})
	if err != nil {
		s.log.Error("a tap was not opened, since it could not be recorded", "by", who.by(), "error", err)
		respondError(w, &api.Error{
			Status: http.StatusServiceUnavailable, Reason: api.ReasonUnavailable,
			Message: "the tap was not opened, since it cannot be recorded", RetryAfter: retrySoon,
		})
		return
	}
	s.tapped(w, r, tap)
}

// tapped copies lines to the client.
func (s *Server) tapped(w http.ResponseWriter, r *http.Request, tap *runtime.Tap) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	encoder := json.NewEncoder(patientWriter{w, s.patience.write})
	encoder.SetEscapeHTML(false)
	control := http.NewResponseController(w)
	alive := time.NewTicker(tapAlive)
	defer alive.Stop()
	out := api.TapLine{At: time.Now()} // the first line says that the tap is open
	for {
		out.Lost = tap.Lost()
		if encoder.Encode(out) != nil || control.Flush() != nil {
			return
		}
		select {
		case line := <-tap.Lines():
			out = tapLine(&line)
		case <-alive.C:
			if who, refused := s.auth.Load().identify(r); refused != nil || who.allow(roleComply) != nil || !s.auth.Load().tap {
				return
			}
			out = api.TapLine{At: time.Now()}
		case <-r.Context().Done():
			return
		case <-s.ending:
			return
		}
	}
}

func tapLine(l *runtime.TapLine) api.TapLine {
	out := api.TapLine{
		Stage: string(l.Stage), At: l.At, Callback: l.Callback, Replay: l.Replay, Sequence: l.Sequence, ID: l.ID, Action: string(l.Action), Table: l.Table,
		Outcome: l.Outcome, Cause: l.Cause, Filter: l.Filter, Data: l.Data, Payload: l.Payload, Records: l.Records,
	}
	if l.Err != nil {
		out.Error = l.Err.Error()
	}
	return out
}
