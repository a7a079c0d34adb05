package http

import (
	"auditrelay/cli/internal/sources"
	"auditrelay/runtime"

	"github.com/prometheus/client_golang/prometheus"
)

// quarantineCollector reads the quarantine on each scrape. The labels source and reason contain
// only the relay's own words.
type quarantineCollector struct {
	rt                          *runtime.Runtime
	items, bytes, full, arrived *prometheus.Desc
}

func newQuarantineCollector(rt *runtime.Runtime) *quarantineCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("auditrelay_quarantine_"+name, help, labels, nil)
	}
	return &quarantineCollector{
		rt:      rt,
		items:   desc("items", "What is in quarantine."),
		bytes:   desc("bytes", "What is in quarantine, as stored."),
		full:    desc("full", "1 where something was refused for lack of room since anything was last taken in or away."),
		arrived: desc("total", "What came and could not be taken as an event since start, the same again included.", "source", "reason"),
	}
}

func (c *quarantineCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.items, c.bytes, c.full, c.arrived} {
		ch <- d
	}
}

func (c *quarantineCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.rt.QuarantineStats()
	ch <- prometheus.MustNewConstMetric(c.items, prometheus.GaugeValue, float64(s.Items))
	ch <- prometheus.MustNewConstMetric(c.bytes, prometheus.GaugeValue, float64(s.Bytes))
	ch <- prometheus.MustNewConstMetric(c.full, prometheus.GaugeValue, oneIf(s.Full))
	for origin, n := range s.Arrived {
		ch <- prometheus.MustNewConstMetric(c.arrived, prometheus.CounterValue, float64(n), origin.Source, origin.Reason)
	}
}

// sourceCollector reads the sources on each scrape.
type sourceCollector struct {
	sources      sources.Set
	events, seen *prometheus.Desc
}

func newSourceCollector(s sources.Set) *sourceCollector {
	return &sourceCollector{
		sources: s,
		events:  prometheus.NewDesc("auditrelay_source_events_total", "Events that came from a source, whatever became of them, since it is awaited.", []string{"source", "kind"}, nil),
		seen:    prometheus.NewDesc("auditrelay_source_last_seen_timestamp_seconds", "When the last event came from a source; absent while none did.", []string{"source", "kind"}, nil),
	}
}

func (c *sourceCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.events
	ch <- c.seen
}

func (c *sourceCollector) Collect(ch chan<- prometheus.Metric) {
	for _, s := range c.sources.List() {
		ch <- prometheus.MustNewConstMetric(c.events, prometheus.CounterValue, float64(s.Events), s.Name, s.Kind)
		if !s.LastSeen.IsZero() {
			ch <- prometheus.MustNewConstMetric(c.seen, prometheus.GaugeValue, float64(s.LastSeen.UnixMilli())/1000, s.Name, s.Kind)
		}
	}
}
