package http

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"auditrelay"
	"auditrelay/cli/internal/api"
	"auditrelay/cli/internal/sources"
	"auditrelay/runtime"
)

// postReconcile streams the differences between the tailed table and the journal, one JSON
// object per line with ids and times only. The last line states that the list is complete.
func (s *Server) postReconcile(w http.ResponseWriter, r *http.Request, who principal) {
	want, refused := readReconcile(r)
	if refused == nil && want.Repair {
		refused = who.allow(roleAdmin)
	}
	if refused != nil {
		respondError(w, refused)
		return
	}
	recordEnd := func(any, error) error { return nil }
	if want.Repair {
		change := runtime.Change{By: who.as(r, ""), Act: "repair", Action: auditrelay.ActionCreated, Table: "auditrelay_source", Object: "reconcile",
			After: map[string]any{"from": want.From, "to": want.To}}
		act, err := s.rt.Begin(change)
		if err != nil {
			respondError(w, s.failure(r, err))
			return
		}
		recordEnd = act.End
	}
	out := bufio.NewWriterSize(patientWriter{w, s.patience.write}, 64<<10)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	w.Header().Set("Content-Type", "application/x-ndjson")
	begun := false
	done, err := s.sources.Reconcile(r.Context(), want, func(d api.Difference) error {
		begun = true
		return encoder.Encode(api.ReconcileLine{Difference: &d})
	})
	if ended := recordEnd(map[string]any{"from": want.From, "to": want.To, "repaired": done.Repaired}, err); ended != nil {
		s.log.Error("the end of a repair is recorded at the next start", "error", ended)
	}
	switch {
	case err == nil:
		if encoder.Encode(api.ReconcileLine{Done: &done}) == nil {
			_ = out.Flush()
		}
	case !begun:
		respondError(w, s.reconcileFailure(r, err))
	default:
		_ = encoder.Encode(api.ReconcileLine{Error: s.reconcileFailure(r, err)})
		_ = out.Flush()
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

func readReconcile(r *http.Request) (want api.Reconcile, refused *api.Error) {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(&want)
	if err == nil {
		if _, more := d.Token(); more != io.EOF {
			err = errors.New("more than one")
		}
	}
	switch {
	case err != nil:
		return want, badRequest("the body is not the JSON that this path takes", `expected {"from": "2026-01-31T00:00:00Z", "to": "2026-02-01T00:00:00Z", "repair": false}`)
	case want.From.IsZero() || want.To.IsZero() || !want.From.Before(want.To):
		return want, badRequest("from, to: both are required, and from is before to", "")
	}
	return want, nil
}

func (s *Server) reconcileFailure(r *http.Request, err error) *api.Error {
	switch {
	case errors.Is(err, sources.ErrNothingRead):
		return &api.Error{Status: http.StatusConflict, Reason: api.ReasonConfig, Message: err.Error(), Hint: "configure ingest.postgres"}
	case errors.Is(err, sources.ErrReconciling):
		return &api.Error{Status: http.StatusServiceUnavailable, Reason: api.ReasonBusy, Message: err.Error(), RetryAfter: retrySoon}
	}
	return s.failure(r, err)
}
