package http

import (
	"cmp"
	"net/http"
	"strconv"

	"auditrelay/cli/internal/api"
	"auditrelay/runtime"
)

const defaultDays = 14

func (s *Server) getCompleteness(r *http.Request, _ principal, in api.CompletenessQuery) (api.Completeness, error) {
	if in.Days > runtime.MaxDays {
		return api.Completeness{}, badRequest("days: expected a number from 1 to "+strconv.Itoa(runtime.MaxDays), "")
	}
	got, err := s.rt.Completeness(r.Context(), cmp.Or(in.Days, defaultDays))
	if err != nil {
		return api.Completeness{}, err
	}
	verified, err := s.rt.Verifications()
	return api.Completeness{
		Verified: each(verified, verification),
		At:       got.At, DeadLettersCut: got.DeadLettersCut,
		Logs: each(got.Logs, func(l *runtime.CompleteLog) api.CompleteLog { return api.CompleteLog(*l) }),
		Days: each(got.Days, func(d *runtime.CompleteDay) api.CompleteDay {
			return api.CompleteDay{
				Day: d.Day, Events: d.Next - d.First, First: d.First, Next: d.Next, Erased: d.Erased, Forgotten: d.Forgotten, Signed: d.Signed,
				Open: each(d.Open, func(c *runtime.CompleteCallback) api.CompleteCallback { return api.CompleteCallback(*c) }),
			}
		}),
	}, err
}

// postVerified stores the result of a run of auditrelay verify, as its user reports it.
func (s *Server) postVerified(r *http.Request, who principal, in api.VerifyReport) (api.Verified, error) {
	if refused := reasonOf(in.Reason, false); refused != nil {
		return api.Verified{}, refused
	}
	verified, err := s.rt.ReportVerified(r.Context(), runtime.VerifyReport{
		Place: in.Place, Records: in.Records, Uncovered: in.Uncovered, Faults: in.Faults, Checkpoints: in.Checkpoints,
	}, who.as(r, in.Reason))
	return verification(&verified), err
}

func verification(v *runtime.Verified) api.Verified {
	return api.Verified{
		Place: v.Place, At: v.At, By: v.By, Records: v.Records, Uncovered: v.Uncovered, Faults: v.Faults,
		Logs: each(v.Logs, func(l *runtime.VerifiedLog) api.VerifiedLog { return api.VerifiedLog(*l) }),
	}
}
