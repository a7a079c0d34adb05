package http

import (
	"net/http"

	"auditrelay/cli/internal/api"
)

func (s *Server) postTry(r *http.Request, who principal, in api.Try) ([]api.Tried, error) {
	told, refused := s.record(r, who, "trial", "")
	if refused != nil {
		return nil, refused
	}
	tried, err := s.control.Try(r.Context(), in)
	told(len(tried))
	return tried, err
}

func (s *Server) postPolicyDiff(r *http.Request, who principal, in api.PolicyDiff) (api.PolicyChange, error) {
	if _, refused := s.record(r, who, "policy_diff", ""); refused != nil {
		return api.PolicyChange{}, refused
	}
	return s.control.PolicyDiff(r.Context(), in)
}

func (s *Server) getPolicies(_ *http.Request, _ principal, _ api.None) ([]api.PolicyInForce, error) {
	return s.control.ListPolicies()
}
