package postgres

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// collector reads the source at each scrape.
type collector struct {
	source                                                   *Source
	state, rows, looked, complete, position, backfill, total *prometheus.Desc
}

func newCollector(s *Source) *collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("auditrelay_tail_"+name, help, append([]string{"source"}, labels...), nil)
	}
	return &collector{
		source:   s,
		state:    desc("state", "1 for the state that the source is in, 0 for the others.", "state"),
		rows:     desc("rows_total", "Rows read since start, by what became of them.", "result"),
		looked:   desc("lag_seconds", "Time since new rows were last looked for."),
		complete: desc("complete_age_seconds", "Time since the last look at the whole table began: all that was committed before is taken."),
		position: desc("position", "Every row inserted by a transaction below is taken."),
		backfill: desc("backfill_rows", "Rows of the past that are taken, while the past is read."),
		total:    desc("backfill_of_rows", "About how many rows of the past there are, while the past is read."),
	}
}

func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.state, c.rows, c.looked, c.complete, c.position, c.backfill, c.total} {
		ch <- d
	}
}

func (c *collector) Collect(ch chan<- prometheus.Metric) {
	for _, s := range c.source.Status() {
		t := s.Tail
		if t == nil {
			continue
		}
		gauge := func(d *prometheus.Desc, v float64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, append([]string{s.Name}, labels...)...)
		}
		counter := func(result string, n uint64) {
			ch <- prometheus.MustNewConstMetric(c.rows, prometheus.CounterValue, float64(n), s.Name, result)
		}
		for _, state := range States() {
			in := 0.0
			if t.State == state {
				in = 1
			}
			gauge(c.state, in, state)
		}
		counter("accepted", t.Rows.Accepted)
		counter("duplicate", t.Rows.Duplicates)
		counter("quarantined", t.Rows.Quarantined)
		counter("refused", t.Rows.Refused)
		if !t.Looked.IsZero() {
			gauge(c.looked, max(0, time.Since(t.Looked).Seconds()))
		}
		if !t.Complete.IsZero() {
			gauge(c.complete, max(0, time.Since(t.Complete).Seconds()))
		}
		gauge(c.position, float64(t.Position))
		if b := t.Backfill; b != nil {
			gauge(c.backfill, float64(b.Rows))
			gauge(c.total, float64(b.Of))
		}
	}
}
