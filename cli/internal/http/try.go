package http

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"auditrelay/cli/internal/api"
	"auditrelay/runtime"
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

// getPolicyHistory lists the policies that were or are in force, without their text.
func (s *Server) getPolicyHistory(*http.Request, principal, api.None) ([]api.KeptText, error) {
	all := slices.DeleteFunc(s.rt.Texts().List(), func(t runtime.Text) bool {
		return t.Kind != "policy" && t.Kind != "must_not_leave" && t.Kind != "detectors"
	})
	slices.SortFunc(all, func(a, b runtime.Text) int {
		return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Name, b.Name), b.Since.Compare(a.Since))
	})
	return each(all, func(t *runtime.Text) api.KeptText { return api.KeptText(*t) }), nil
}

func (s *Server) getPolicies(_ *http.Request, _ principal, _ api.None) ([]api.PolicyInForce, error) {
	return s.control.ListPolicies()
}
