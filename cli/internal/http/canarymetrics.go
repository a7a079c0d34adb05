package http

import (
	"auditrelay/runtime"

	"github.com/prometheus/client_golang/prometheus"
)

// canaryCollector shows the last canary's results. The labels are configured names.
type canaryCollector struct {
	control      Control
	masked, sent *prometheus.Desc
}

func newCanaryCollector(c Control) *canaryCollector {
	return &canaryCollector{
		control: c,
		masked:  prometheus.NewDesc("auditrelay_canary_masked", "1 if the last canary arrived masked at the callback, 0 if not.", []string{"callback"}, nil),
		sent:    prometheus.NewDesc("auditrelay_canary_sent_timestamp_seconds", "When the last canary was sent whose results are known.", nil, nil),
	}
}

func (c *canaryCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.masked
	ch <- c.sent
}

func (c *canaryCollector) Collect(ch chan<- prometheus.Metric) {
	results, sent := c.control.CanaryResults()
	if results == nil {
		return
	}
	for callback, result := range results {
		masked := 0.0
		if result == runtime.CanaryMasked {
			masked = 1
		}
		samples(ch).gauge(c.masked, masked, callback)
	}
	samples(ch).gauge(c.sent, float64(sent.UnixNano())/1e9)
}
