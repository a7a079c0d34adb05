package socket

import (
	"maps"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// result is what became of an event.
type result string

const (
	accepted    result = "accepted"
	duplicate   result = "duplicate"
	quarantined result = "quarantined"
	discarded   result = "discarded" // a filter before the journal failed on it
	lost        result = "lost"
)

type event struct {
	socket string
	result result
}

// counts are of all sockets since start. The zero value is ready. It is safe for concurrent
// use.
type counts struct {
	mu      sync.Mutex
	events  map[event]uint64
	refused map[string]uint64 // connections, by socket
}

func (c *counts) add(socket string, r result, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.events == nil {
		c.events = map[event]uint64{}
	}
	c.events[event{socket, r}] += uint64(n)
}

func (c *counts) refuse(socket string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refused == nil {
		c.refused = map[string]uint64{}
	}
	c.refused[socket]++
}

func (c *counts) all() (events map[event]uint64, refused map[string]uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.events), maps.Clone(c.refused)
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
	events, refused := c.source.counts.all()
	for e, n := range events {
		ch <- prometheus.MustNewConstMetric(c.events, prometheus.CounterValue, float64(n), e.socket, string(e.result))
	}
	for name, n := range refused {
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
