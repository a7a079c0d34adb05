package http

import (
	"context"
	"net/http"

	"auditrelay/cli/internal/api"
	"auditrelay/runtime"

	"github.com/prometheus/client_golang/prometheus"
)

func (s *Server) startShadow(r *http.Request, who principal, in api.StartShadow) (api.Shadow, error) {
	if refused := reasonOf(in.Reason, false); refused != nil {
		return api.Shadow{}, refused
	}
	return s.control.StartShadow(context.WithoutCancel(r.Context()), in, who.as(r, in.Reason))
}

func (s *Server) getShadows(_ *http.Request, who principal, _ api.None) ([]api.Shadow, error) {
	all := s.control.ListShadows()
	for i := range all {
		all[i] = who.shadow(all[i])
	}
	return all, nil
}

func (s *Server) getShadow(r *http.Request, who principal, _ api.None) (api.Shadow, error) {
	for _, one := range s.control.ListShadows() {
		if one.Callback == r.PathValue("callback") {
			return who.shadow(one), nil
		}
	}
	return api.Shadow{}, runtime.ErrNoShadow
}

func (s *Server) useShadow(r *http.Request, who principal, why api.Why) (api.ShadowUsed, error) {
	if refused := reasonOf(why.Reason, false); refused != nil {
		return api.ShadowUsed{}, refused
	}
	// Once begun, the operation completes even if the client disconnects.
	return s.control.UseShadow(context.WithoutCancel(r.Context()), r.PathValue("callback"), who.as(r, why.Reason))
}

func (s *Server) dropShadow(r *http.Request, who principal, why api.Why) (api.Changed, error) {
	if refused := reasonOf(why.Reason, false); refused != nil {
		return api.Changed{}, refused
	}
	return api.Changed{Changed: 1}, s.control.DropShadow(context.WithoutCancel(r.Context()), r.PathValue("callback"), who.as(r, why.Reason))
}

func (s *Server) postPolicyUse(r *http.Request, who principal, in api.UsePolicy) (api.PolicyUsed, error) {
	if refused := reasonOf(in.Reason, false); refused != nil {
		return api.PolicyUsed{}, refused
	}
	return s.control.UsePolicy(context.WithoutCancel(r.Context()), r.PathValue("name"), in, who.as(r, in.Reason))
}

// shadow removes what events can fill: paths contain the keys of objects.
func (p principal) shadow(s api.Shadow) api.Shadow {
	if !p.seesTexts() {
		s.Paths, s.Failure = nil, ""
	}
	return s
}

// shadowCollector reads the shadows on each scrape.
type shadowCollector struct {
	shadows                   Shadows
	running, events, exposing *prometheus.Desc
}

func newShadowCollector(s Shadows) *shadowCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("auditrelay_shadow_"+name, help, append([]string{"callback", "filter"}, labels...), nil)
	}
	return &shadowCollector{
		shadows:  s,
		running:  desc("running", "1 while the shadow runs, 0 once it ended and waits to be used or dropped."),
		events:   desc("events", "Events of the shadow, by result: same, changed, or missed since it was busy.", "result"),
		exposing: desc("exposing_events", "Events that would expose a value that the current version withholds."),
	}
}

func (c *shadowCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.running
	ch <- c.events
	ch <- c.exposing
}

func (c *shadowCollector) Collect(ch chan<- prometheus.Metric) {
	for _, s := range c.shadows.ListShadows() {
		running := 0.0
		if s.Ended.IsZero() {
			running = 1
		}
		ch <- prometheus.MustNewConstMetric(c.running, prometheus.GaugeValue, running, s.Callback, s.Filter)
		for result, n := range map[string]uint64{"same": s.Same, "changed": s.Changed, "missed": s.Missed} {
			ch <- prometheus.MustNewConstMetric(c.events, prometheus.GaugeValue, float64(n), s.Callback, s.Filter, result)
		}
		ch <- prometheus.MustNewConstMetric(c.exposing, prometheus.GaugeValue, float64(s.Exposing), s.Callback, s.Filter)
	}
}
