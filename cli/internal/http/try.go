package http

import (
	"net/http"

	"auditrelay/cli/internal/api"
)

func (s *Server) postTry(r *http.Request, who principal, in api.Try) ([]api.Tried, error) {
	tried, err := s.control.Try(r.Context(), in)
	if err == nil {
		s.log.Info("event contents read by a trial", "callback", in.Callback, "events", len(tried), "by", who.by())
	}
	return tried, err
}

func (s *Server) postPolicyDiff(r *http.Request, _ principal, in api.PolicyDiff) (api.PolicyChange, error) {
	return s.control.PolicyDiff(r.Context(), in)
}

func (s *Server) getPolicies(_ *http.Request, _ principal, _ api.None) ([]api.PolicyInForce, error) {
	return s.control.ListPolicies()
}
