package http

import (
	"net/http"
	"slices"

	"auditrelay/cli/internal/api"
	"auditrelay/runtime"
)

func (s *Server) getDeliveries(r *http.Request, who principal, in api.DeliveryQuery) (api.Deliveries, error) {
	limit, err := pageOf(in.Limit)
	if err != nil {
		return api.Deliveries{}, err
	}
	state := runtime.DeliveryState(in.State)
	if states := runtime.DeliveryStates(); state != "" && state != runtime.DeliveryUndelivered && !slices.Contains(states, state) {
		return api.Deliveries{}, badRequest("state: no such state", "waiting, sending, failing, or undelivered for these three; delivered, replaced, given_up or erased")
	}
	list, next, err := s.rt.Deliveries(r.Context(), runtime.DeliveryQuery{
		Callback: in.Callback, State: state, Namespace: in.Namespace, ID: in.ID, After: in.After, Limit: limit,
	})
	if err != nil {
		return api.Deliveries{}, err
	}
	out := api.Deliveries{Deliveries: each(list, delivery), Next: next}
	if who.allow(roleComply) != nil {
		for i := range out.Deliveries {
			out.Deliveries[i].Error = ""
			hideTexts(out.Deliveries[i].History)
		}
	}
	return out, nil
}

// hideTexts removes the texts of sinks and destinations, since a destination may quote the
// events that it got. Statuses, kinds and reasons are codes.
func hideTexts(attempts []api.Attempt) {
	for i := range attempts {
		attempts[i].Error, attempts[i].Answer = "", ""
	}
}

// postTest sends a marked event to a callback's destination.
func (s *Server) postTest(r *http.Request, who principal, why api.Why) (api.SinkTest, error) {
	if refused := reasonOf(why.Reason, false); refused != nil {
		return api.SinkTest{}, refused
	}
	s.log.Info("sink test", "callback", r.PathValue("name"), "by", who.by())
	result, err := s.rt.TestSink(r.Context(), r.PathValue("name"), who.as(r, why.Reason))
	if err != nil {
		return api.SinkTest{}, err
	}
	s.log.Info("sink test done", "callback", result.Callback, "id", result.ID, "delivered", result.Delivered, "status", result.Status, "by", who.by())
	out := sinkTest(&result)
	if who.allow(roleComply) != nil {
		out.Answer = ""
	}
	return out, nil
}
