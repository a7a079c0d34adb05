package http

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"auditrelay/cli/internal/api"
	"auditrelay/cli/internal/sources"
)

// getReady answers 200 while events are accepted. With ?verbose it also returns the reason if
// they are not, and other problems, if the caller may see them.
func (s *Server) getReady(w http.ResponseWriter, r *http.Request, _ principal) {
	err := s.rt.Ready()
	status, body := http.StatusOK, api.Readiness{Status: "ready"}
	if err != nil {
		status, body.Status = http.StatusServiceUnavailable, "not ready"
	}
	if r.URL.Query().Has("verbose") {
		who, refused := s.auth.Load().identify(r)
		if refused == nil {
			refused = who.allow(roleView)
		}
		if refused != nil && r.Header.Get("Authorization") != "" {
			s.deny(r, refused.Reason, who.name)
		}
		switch {
		case refused == nil:
			if err != nil {
				body.Reason = err.Error()
			}
			body.Alerts, body.Sources = s.alerts(), s.sources.List()
			body.Guests = s.guests()
		case err != nil: // without a token a probe learns only that the relay is ready
			respondError(w, refused)
			return
		}
	}
	answer, _ := json.Marshal(body)
	respond(w, status, append(answer, '\n'))
}

// guests returns where guests run, or nil while none is loaded.
func (s *Server) guests() *api.GuestsSandbox {
	var out *api.GuestsSandbox
	if s.control == nil {
		return nil
	}
	for _, f := range s.control.FilterStates() {
		switch {
		case !f.Loaded:
		case f.Locks == nil:
			return &api.GuestsSandbox{Process: "relay"}
		default:
			out = &api.GuestsSandbox{Process: "worker", Locked: f.Locks.Hold, Missing: f.Locks.Missing, Limits: f.Locks.Limits, LimitsError: f.Locks.Unlimited}
		}
	}
	return out
}

// alerts returns the problems that exist although events are accepted.
func (s *Server) alerts() []string {
	var alerts []string
	if s.rt.QuarantineStats().Full {
		alerts = append(alerts, "the quarantine is full: invalid input gets 503; auditrelay quarantine list shows it; replay or delete items, or raise ingest.quarantine")
	}
	if i := s.auth.Load().issuer; i != nil {
		i.Refresh() // for the next request
		if trouble := i.Trouble(); trouble != "" {
			alerts = append(alerts, trouble)
		}
	}
	if s.control != nil {
		for _, a := range s.control.RaisedAlerts() {
			alerts = append(alerts, fmt.Sprintf("alert %s: %s, since %s", a.Kind, a.Subject, a.Raised.UTC().Format(time.RFC3339)))
		}
	}
	callbacks, _ := s.rt.Callbacks() // an error here is one of the journal, which readiness reports
	for i := range callbacks {
		if c := &callbacks[i]; c.Expiring {
			alerts = append(alerts, fmt.Sprintf("callback %s: the oldest pending event is %v old; its destination keeps none of more than %v", c.Name, c.Lag.Round(time.Second), c.MaxAge))
		}
	}
	if g := s.guests(); g != nil && g.Process == "worker" && !g.Locked {
		alerts = append(alerts, "guests run in worker processes that are not locked in: "+strings.Join(g.Missing, " "))
	}
	for _, source := range s.sources.List() {
		if source.Silent && time.Since(source.Since) >= s.silentAfter {
			alerts = append(alerts, "source "+source.Name+" ("+source.Kind+"): "+sources.NoEventsSeen)
		}
	}
	return alerts
}
