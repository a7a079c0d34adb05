package socket

import (
	"maps"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// refusals counts the connections that were closed at once, by socket. The zero value is ready.
// It is safe for concurrent use.
type refusals struct {
	mu  sync.Mutex
	all map[string]uint64
}

func (r *refusals) add(socket string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all == nil {
		r.all = map[string]uint64{}
	}
	r.all[socket]++
}

func (r *refusals) get() map[string]uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.all)
}

// collector reads the counts at each scrape.
type collector struct {
	source                             *Source
	events, connections, wait, refused *prometheus.Desc
}

func newCollector(s *Source) *collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, append([]string{"socket"}, labels...), nil)
	}
	return &collector{
		source:      s,
		events:      desc("auditrelay_socket_events_total", "Events that came as lines at a socket, by what became of them.", "result"),
		connections: desc("auditrelay_socket_connections", "Open connections of producers."),
		wait:        desc("auditrelay_socket_waiting_connections", "Of these, connections that are not read since the relay does not accept."),
		refused:     desc("auditrelay_socket_refused_connections_total", "Connections that were closed at once, since as many were open as may be."),
	}
}

func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.events, c.connections, c.wait, c.refused} {
		ch <- d
	}
}

func (c *collector) Collect(ch chan<- prometheus.Metric) {
	for of, n := range c.source.counts.All() {
		ch <- prometheus.MustNewConstMetric(c.events, prometheus.CounterValue, float64(n), of.Name, string(of.Result))
	}
	for name, n := range c.source.refused.get() {
		ch <- prometheus.MustNewConstMetric(c.refused, prometheus.CounterValue, float64(n), name)
	}
	c.source.mu.Lock()
	defer c.source.mu.Unlock()
	for _, d := range c.source.doors {
		name := d.settings.Load().name
		ch <- prometheus.MustNewConstMetric(c.connections, prometheus.GaugeValue, float64(d.open()), name)
		ch <- prometheus.MustNewConstMetric(c.wait, prometheus.GaugeValue, float64(d.waiting.Load()), name)
	}
}
