package http

import (
	"github.com/prometheus/client_golang/prometheus"
)

// filterCollector reads the guest filters at each scrape.
type filterCollector struct {
	modules            Modules
	open, row, running *prometheus.Desc
	counts             *prometheus.Desc
	workers, lost      *prometheus.Desc
}

func newFilterCollector(m Modules) *filterCollector {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("auditrelay_filter_"+name, help, []string{"filter"}, nil)
	}
	return &filterCollector{
		modules: m,
		open:    desc("breaker_open", "1 while the filter's module rests after too many failures in a row."),
		row:     desc("failures_in_a_row", "Failures of the filter's module since its last success."),
		running: desc("loaded", "1 while the filter has a module; without one nothing passes."),
		workers: desc("workers", "Processes that run the filter's guests."),
		lost:    desc("workers_lost_total", "Processes of guests that ended, or had to be ended, while they had events."),
		counts: prometheus.NewDesc("auditrelay_guest_count_total", "What guests count themselves, by metric of their manifest, since the module was loaded.",
			[]string{"filter", "metric"}, nil),
	}
}

func (c *filterCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.open
	ch <- c.row
	ch <- c.running
	ch <- c.counts
	ch <- c.workers
	ch <- c.lost
}

func (c *filterCollector) Collect(ch chan<- prometheus.Metric) {
	for name, b := range c.modules.FilterStates() {
		open, loaded := 0.0, 0.0
		if b.Open {
			open = 1
		}
		if b.Loaded {
			loaded = 1
		}
		ch <- prometheus.MustNewConstMetric(c.open, prometheus.GaugeValue, open, name)
		ch <- prometheus.MustNewConstMetric(c.row, prometheus.GaugeValue, float64(b.Failures), name)
		for metric, n := range b.Counts {
			ch <- prometheus.MustNewConstMetric(c.counts, prometheus.CounterValue, float64(n), name, metric)
		}
		ch <- prometheus.MustNewConstMetric(c.workers, prometheus.GaugeValue, float64(b.Workers), name)
		ch <- prometheus.MustNewConstMetric(c.lost, prometheus.CounterValue, float64(b.Lost), name)
		ch <- prometheus.MustNewConstMetric(c.running, prometheus.GaugeValue, loaded, name)
	}
}
