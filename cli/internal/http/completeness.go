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
	return api.Completeness{
		At: got.At, DeadLettersCut: got.DeadLettersCut,
		Logs: each(got.Logs, func(l *runtime.CompleteLog) api.CompleteLog { return api.CompleteLog(*l) }),
		Days: each(got.Days, func(d *runtime.CompleteDay) api.CompleteDay {
			return api.CompleteDay{
				Day: d.Day, Events: d.Next - d.First, First: d.First, Next: d.Next, Erased: d.Erased, Forgotten: d.Forgotten, Signed: d.Signed,
				Open: each(d.Open, func(c *runtime.CompleteCallback) api.CompleteCallback { return api.CompleteCallback(*c) }),
			}
		}),
	}, err
}
