package http

import (
	"context"
	"net/http"

	"auditrelay/cli/internal/api"
	"auditrelay/runtime"

	"github.com/prometheus/client_golang/prometheus"
)

func (s *Server) startRollout(r *http.Request, who principal, in api.StartRollout) (api.Rollout, error) {
	if refused := reasonOf(in.Reason, false); refused != nil {
		return api.Rollout{}, refused
	}
	return s.control.StartRollout(context.WithoutCancel(r.Context()), in, who.as(r, in.Reason))
}

func (s *Server) getRollouts(*http.Request, principal, api.None) ([]api.Rollout, error) {
	return s.control.ListRollouts()
}

func (s *Server) promoteRollout(r *http.Request, who principal, why api.Why) (api.Rollout, error) {
	if refused := reasonOf(why.Reason, false); refused != nil {
		return api.Rollout{}, refused
	}
	// Once begun, the operation completes even if the client disconnects.
	return s.control.PromoteRollout(context.WithoutCancel(r.Context()), r.PathValue("name"), who.as(r, why.Reason))
}

func (s *Server) rollBack(r *http.Request, who principal, why api.Why) (api.Rollout, error) {
	if refused := reasonOf(why.Reason, false); refused != nil {
		return api.Rollout{}, refused
	}
	return s.control.RollBack(context.WithoutCancel(r.Context()), r.PathValue("name"), who.as(r, why.Reason))
}

// rolloutCollector reads the rollout on each scrape.
type rolloutCollector struct {
	rollouts                           Rollouts
	running, rolledBack, share, events *prometheus.Desc
}

func newRolloutCollector(r Rollouts) *rolloutCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("auditrelay_rollout_"+name, help, append([]string{"filter"}, labels...), nil)
	}
	return &rolloutCollector{
		rollouts:   r,
		running:    desc("running", "1 while a new version of the filter judges a share of the events, 0 once the last rollout ended."),
		rolledBack: desc("rolled_back", "1 if the last rollout was rolled back, until the next one."),
		share:      desc("share", "Share of the events that the new version is to judge."),
		events:     desc("events", "Events that the new version judged, by callback and result: kept (delivered or filtered) or failed.", "callback", "result"),
	}
}

func (c *rolloutCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.running
	ch <- c.rolledBack
	ch <- c.share
	ch <- c.events
}

func (c *rolloutCollector) Collect(ch chan<- prometheus.Metric) {
	all, err := c.rollouts.ListRollouts()
	if err != nil {
		return // other metrics report the journal's fault
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	is := func(yes bool) float64 {
		if yes {
			return 1
		}
		return 0
	}
	for _, o := range all {
		gauge(c.running, is(o.State == string(runtime.RolloutRunning)), o.Filter)
		gauge(c.rolledBack, is(o.State == string(runtime.RolloutRolledBack)), o.Filter)
		gauge(c.share, o.Share, o.Filter)
		for _, n := range o.Counts {
			gauge(c.events, float64(n.Judged-min(n.Judged, n.Failed)), o.Filter, n.Callback, "kept")
			gauge(c.events, float64(n.Failed), o.Filter, n.Callback, "failed")
		}
	}
}
