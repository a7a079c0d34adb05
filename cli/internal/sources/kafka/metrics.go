package kafka

import (
	"github.com/prometheus/client_golang/prometheus"
)

// collector reads the source at each scrape.
type collector struct {
	source                                 *Source
	messages, state, partitions, lag, lost *prometheus.Desc
}

func newCollector(s *Source) *collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("auditrelay_kafka_"+name, help, append([]string{"topic"}, labels...), nil)
	}
	return &collector{
		source:     s,
		messages:   desc("events_total", "Messages read from a topic, by what became of them.", "result"),
		state:      desc("state", "1 for the state that reading a topic is in, 0 for the others.", "state"),
		partitions: desc("partitions", "Partitions of the topic that this relay reads."),
		lag:        desc("lag_messages", "Messages of these partitions that are not read yet."),
		lost:       desc("deleted_messages_total", "Messages that the brokers deleted before they were read."),
	}
}

func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.messages, c.state, c.partitions, c.lag, c.lost} {
		ch <- d
	}
}

func (c *collector) Collect(ch chan<- prometheus.Metric) {
	for of, n := range c.source.counts.All() {
		ch <- prometheus.MustNewConstMetric(c.messages, prometheus.CounterValue, float64(n), of.Name, string(of.Result))
	}
	for _, s := range c.source.Status() {
		t := s.Topic
		if t == nil {
			continue
		}
		for _, state := range states() {
			in := 0.0
			if t.State == state {
				in = 1
			}
			ch <- prometheus.MustNewConstMetric(c.state, prometheus.GaugeValue, in, s.Name, state)
		}
		ch <- prometheus.MustNewConstMetric(c.partitions, prometheus.GaugeValue, float64(t.Partitions), s.Name)
		ch <- prometheus.MustNewConstMetric(c.lag, prometheus.GaugeValue, float64(t.Lag), s.Name)
		ch <- prometheus.MustNewConstMetric(c.lost, prometheus.CounterValue, float64(t.Deleted), s.Name)
	}
}
