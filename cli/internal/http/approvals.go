package http

import (
	"context"
	"errors"
	"net/http"

	"auditrelay/cli/internal/api"
	"auditrelay/runtime"
)

func (s *Server) getApprovals(_ *http.Request, who principal, _ api.None) ([]api.Approval, error) {
	return each(s.rt.Approvals(), who.approval), nil
}

// postApprove approves a request. The last approval runs the act, which then continues to its
// end.
func (s *Server) postApprove(r *http.Request, who principal, why api.Why) (api.Approval, error) {
	if refused := s.mayDecide(r, who, why); refused != nil {
		return api.Approval{}, refused
	}
	a, err := s.rt.Approve(context.WithoutCancel(r.Context()), r.PathValue("id"), who.as(r, why.Reason))
	return who.approval(&a), err
}

func (s *Server) postReject(r *http.Request, who principal, why api.Why) (api.Approval, error) {
	if refused := s.mayDecide(r, who, why); refused != nil {
		return api.Approval{}, refused
	}
	a, err := s.rt.Reject(r.PathValue("id"), who.as(r, why.Reason))
	return who.approval(&a), err
}

// mayDecide returns an error if the caller may not do the requested act.
func (s *Server) mayDecide(r *http.Request, who principal, why api.Why) *api.Error {
	if refused := reasonOf(why.Reason, false); refused != nil {
		return refused
	}
	for _, a := range s.rt.Approvals() {
		if a.ID == r.PathValue("id") && a.Act.Act == runtime.ActDestroyPeriod {
			return who.allow(roleAdmin)
		}
	}
	return nil
}

// approval returns a request in the form that the viewer may see.
func (p principal) approval(a *runtime.Approval) api.Approval {
	reasons := p.roles[roleOperate] || p.roles[roleAuditor]
	one := func(s *runtime.Approver) api.Approver {
		out := api.Approver{Name: s.Name, Credential: s.Credential, At: s.At}
		if reasons {
			out.Reason = s.Reason
		}
		return out
	}
	return api.Approval{
		ID: a.ID, Act: a.Act.Act, Object: a.Act.Object, Items: a.Act.Items, DeadLetters: a.Act.DeadLetters, Digest: a.Digest,
		By: one(&a.By), Approved: each(a.Approved, one), Need: a.Need, Expires: a.Expires, State: a.State, Ended: a.Ended, Result: a.Result, Changed: a.Changed,
	}
}

// approvalFailure returns the response for an act that waits for approval or cannot be
// approved, or nil for other errors.
func approvalFailure(err error) *api.Error {
	if needs, ok := errors.AsType[*runtime.NeedsApprovalError](err); ok {
		return &api.Error{Status: http.StatusConflict, Reason: api.ReasonApproval, Message: needs.Error(),
			Hint: "another principal checks and approves it: auditrelay approvals approve " + needs.Approval.ID}
	}
	switch {
	case errors.Is(err, runtime.ErrSamePrincipal):
		return &api.Error{Status: http.StatusForbidden, Reason: api.ReasonForbidden, Message: err.Error(), Hint: "two credentials of one name, or of one account, are one principal"}
	case errors.Is(err, runtime.ErrNobody):
		return &api.Error{Status: http.StatusForbidden, Reason: api.ReasonForbidden, Message: err.Error(), Hint: "call with a token of your own: --token"}
	case errors.Is(err, runtime.ErrReplaces):
		return &api.Error{Status: http.StatusForbidden, Reason: api.ReasonForbidden, Message: err.Error(), Hint: "send the corrected event as a new one, then ask for the deletion: auditrelay quarantine delete NUMBER"}
	case errors.Is(err, runtime.ErrNoApproval):
		return &api.Error{Status: http.StatusNotFound, Reason: api.ReasonNotFound, Message: err.Error(), Hint: "auditrelay approvals lists the requests"}
	}
	return nil
}
