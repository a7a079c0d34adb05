package http

import (
	"net/http"

	"auditrelay/cli/internal/api"
	"auditrelay/runtime"
)

// maxRate limits the rate of a replay of dead letters, in events per second.
const maxRate = 1e6

// replayDeadLetters queues named dead letters, or all, at once. With a filter or a rate a job
// queues them.
func (s *Server) replayDeadLetters(r *http.Request, who principal, in api.DeadLetterReplay) (api.DeadLetterReplayed, error) {
	if refused := reasonOf(in.Reason, false); refused != nil {
		return api.DeadLetterReplayed{}, refused
	}
	callback := r.PathValue("name")
	filter := runtime.DeadLetterFilter{
		Causes: in.Causes, Filters: in.Filters, Actions: in.Actions, Tables: in.Tables, Sequences: in.Sequences, From: in.From, To: in.To,
	}
	filtered := len(in.Causes)+len(in.Filters)+len(in.Actions)+len(in.Tables)+len(in.IDs) > 0 || !in.From.IsZero() || !in.To.IsZero()
	named := len(in.Sequences) > 0
	switch {
	case in.All && (filtered || named), !in.All && !filtered && !named:
		return api.DeadLetterReplayed{}, badRequest("name sequences, give a filter, or say all: true, which excludes both", "")
	case in.Rate < 0 || in.Rate > maxRate:
		return api.DeadLetterReplayed{}, badRequest("rate: expected events a second, above 0 and at most 1000000", "")
	case !in.From.IsZero() && !in.To.IsZero() && !in.From.Before(in.To):
		return api.DeadLetterReplayed{}, badRequest("from and to: the window ends before it begins", "")
	case !filtered && in.Rate == 0 && !in.DryRun:
		n, err := s.rt.ReplayDeadLetters(r.Context(), callback, who.as(r, in.Reason), in.Sequences...)
		return api.DeadLetterReplayed{Changed: n}, err
	}
	for _, id := range in.IDs {
		found, err := s.rt.Explain(r.Context(), "", id)
		if err != nil {
			return api.DeadLetterReplayed{}, err
		}
		filter.Sequences = append(filter.Sequences, found.Sequence)
	}
	job, err := s.rt.StartDeadReplay(r.Context(), runtime.DeadReplayRequest{
		Callback: callback, Filter: filter, Rate: in.Rate, DryRun: in.DryRun, By: who.as(r, in.Reason),
	})
	if err != nil {
		return api.DeadLetterReplayed{}, err
	}
	out := deadReplay(&job)
	return api.DeadLetterReplayed{Job: &out}, nil
}

func (s *Server) getDeadReplays(*http.Request, principal, api.None) ([]api.DeadReplayJob, error) {
	return each(s.rt.DeadReplays(), deadReplay), nil
}

func (s *Server) cancelDeadReplay(r *http.Request, who principal, why api.Why) (api.DeadReplayJob, error) {
	if refused := reasonOf(why.Reason, false); refused != nil {
		return api.DeadReplayJob{}, refused
	}
	job, err := s.rt.CancelDeadReplay(r.Context(), r.PathValue("id"), who.as(r, why.Reason))
	return deadReplay(&job), err
}

func deadReplay(j *runtime.DeadReplay) api.DeadReplayJob {
	return api.DeadReplayJob{
		ID: j.ID, Callback: j.Callback, Filter: api.DeadLetterFilter(j.Filter), Rate: j.Rate, By: j.By, State: j.State,
		Started: j.Started, Ended: j.Ended, Matched: j.Matched, Given: j.Given, After: j.After, Last: j.Last, Error: j.Error,
	}
}
