package ui

import (
	"auditrelay/cli/internal/api"
)

type approvalsView struct{ Waiting, Ended []api.Approval }

func (v *visit) approvals() error {
	all, err := v.api.Approvals(v.r.Context())
	if err != nil {
		return err
	}
	var out approvalsView
	for _, a := range all {
		if a.State == "pending" || a.State == "approved" {
			out.Waiting = append(out.Waiting, a)
		} else {
			out.Ended = append([]api.Approval{a}, out.Ended...)
		}
	}
	return v.show("approvals", "Approvals", out)
}

// decide approves or rejects a request. The form has the digest of what its user saw.
func (v *visit) decide() error {
	why, id := api.Why{Reason: v.r.PostFormValue("reason")}, v.r.PathValue("id")
	digest := seen(v.r.PostForm)
	if digest == "" {
		return &api.Error{Status: 400, Message: "the form does not say what it approves"}
	}
	if v.r.PostFormValue("do") == "reject" {
		if _, err := v.api.Reject(v.r.Context(), id, digest, why); err != nil {
			return err
		}
		return v.done("/ui/approvals", "rejected", -1)
	}
	a, err := v.api.Approve(v.r.Context(), id, digest, why)
	if err != nil {
		return err
	}
	notice := "approved"
	if a.State == "done" {
		notice = "approved-done"
	}
	return v.done("/ui/approvals", notice, -1)
}
