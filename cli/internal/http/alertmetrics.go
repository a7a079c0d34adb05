package http

import (
	"auditrelay/cli/internal/alerts"

	"github.com/prometheus/client_golang/prometheus"
)

// alertCollector shows the raised alerts. The labels are kinds and configured names.
type alertCollector struct {
	control Control
	raised  *prometheus.Desc
}

func newAlertCollector(c Control) *alertCollector {
	return &alertCollector{control: c, raised: prometheus.NewDesc("auditrelay_alerts_raised", "Alerts that are raised, by kind.", []string{"kind"}, nil)}
}

func (c *alertCollector) Describe(ch chan<- *prometheus.Desc) { ch <- c.raised }

func (c *alertCollector) Collect(ch chan<- prometheus.Metric) {
	counts := map[string]float64{}
	for _, a := range c.control.RaisedAlerts() {
		counts[a.Kind]++
	}
	for _, kind := range alerts.Kinds() {
		samples(ch).gauge(c.raised, counts[kind], kind)
	}
}
