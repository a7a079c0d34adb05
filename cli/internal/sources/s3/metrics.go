package s3

import (
	"github.com/prometheus/client_golang/prometheus"
)

// collector reads the S3 endpoint's counts at each scrape.
type collector struct {
	counts                                                            *Counts
	requests, events, held, forwards, discardedObjects, discardedSize *prometheus.Desc
}

func newCollector(counts *Counts) *collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &collector{
		counts:           counts,
		requests:         desc("auditrelay_s3_requests_total", "S3 requests by what they asked for and S3's code of the answer.", "operation", "code"),
		events:           desc("auditrelay_s3_events_total", "Events that came as S3 objects, by what became of them.", "result"),
		held:             desc("auditrelay_s3_held_requests_total", "S3 requests that waited for the relay to accept again."),
		forwards:         desc("auditrelay_s3_forwards_total", "S3 requests passed on by forward_to: whose key, how, and the class of the bucket's status or the code of the refusal.", "key", "method", "result"),
		discardedObjects: desc("auditrelay_s3_discarded_objects_total", "Objects that are no audit events, acknowledged and dropped by discard_other_objects."),
		discardedSize:    desc("auditrelay_s3_discarded_bytes_total", "Their bytes."),
	}
}

func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.requests, c.events, c.held, c.forwards, c.discardedObjects, c.discardedSize} {
		ch <- d
	}
}

func (c *collector) Collect(ch chan<- prometheus.Metric) {
	count := func(d *prometheus.Desc, n uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	c.counts.Answers(func(a Answer, n uint64) { count(c.requests, n, a.Operation, a.Code) })
	c.counts.Events(func(result string, n uint64) { count(c.events, n, result) })
	c.counts.Forwards(func(f Forwarded, n uint64) { count(c.forwards, n, f.Key, f.Method, f.Result) })
	objects, bytes := c.counts.Discarded()
	count(c.held, c.counts.Held())
	count(c.discardedObjects, objects)
	count(c.discardedSize, bytes)
}
