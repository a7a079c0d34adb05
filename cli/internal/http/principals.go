package http

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// maxPrincipals limits how many principals the metrics name, because an issuer may name any
// number. Further ones count as "other".
const maxPrincipals = 200

// principals counts each principal's requests and refusals by a limit. It is safe for
// concurrent use.
type principals struct {
	mu  sync.Mutex
	all map[string]*usage
}

type usage struct {
	requests, rate, memory uint64
}

// of returns the counts of a principal. The caller holds mu.
func (p *principals) of(name string) *usage {
	if p.all == nil {
		p.all = map[string]*usage{}
	}
	if p.all[name] == nil && len(p.all) >= maxPrincipals {
		name = "other"
	}
	if p.all[name] == nil {
		p.all[name] = &usage{}
	}
	return p.all[name]
}

func (p *principals) count(name string, add func(*usage)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	add(p.of(name))
}

// principalCollector exports use and limits by principal on each scrape.
type principalCollector struct {
	s                                                               *Server
	requests, limited, rate, memory, memoryLimit, quota, quarantine *prometheus.Desc
}

func newPrincipalCollector(s *Server) *principalCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("auditrelay_"+name, help, labels, nil)
	}
	return &principalCollector{
		s:           s,
		requests:    desc("principal_requests_total", "Authenticated requests since start, by principal.", "principal"),
		limited:     desc("principal_limited_total", "Requests since start that a limit of the principal refused: rate (429) or memory (503).", "principal", "limit"),
		rate:        desc("principal_rate_limit", "What the principal may send a second; only of tokens with a rate.", "principal", "of"),
		memory:      desc("principal_body_memory_bytes", "Memory that the principal's requests have for their bodies.", "principal"),
		memoryLimit: desc("principal_body_memory_limit_bytes", "The most of it that one principal may have."),
		quota:       desc("principal_quota_bytes", "What the principal took of the last quarter of journal.quota; absent while three quarters are not in use.", "principal"),
		quarantine:  desc("principal_quarantine_bytes", "What the principal took of the last quarter of the quarantine; absent while three quarters are not in use.", "principal"),
	}
}

func (c *principalCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.requests, c.limited, c.rate, c.memory, c.memoryLimit, c.quota, c.quarantine} {
		ch <- d
	}
}

func (c *principalCollector) Collect(ch chan<- prometheus.Metric) {
	out := samples(ch)
	p := &c.s.principals
	p.mu.Lock()
	known := map[string]bool{}
	for name, u := range p.all {
		known[name] = true
		out.counter(c.requests, u.requests, name)
		out.counter(c.limited, u.rate, name, "rate")
		out.counter(c.limited, u.memory, name, "memory")
	}
	p.mu.Unlock()
	// gauges adds up the values of principals that share one label.
	gauges := func(d *prometheus.Desc, by map[string]int64) {
		sums := map[string]int64{}
		for name, n := range by {
			if !known[name] {
				name = "other"
			}
			sums[name] += n
		}
		for name, n := range sums {
			out.gauge(d, float64(n), name)
		}
	}
	memory := map[string]int64{}
	var most int64
	for _, b := range []*budget{c.s.large, c.s.small, c.s.inflated} {
		b.holders(memory)
		most += b.most()
	}
	gauges(c.memory, memory)
	out.gauge(c.memoryLimit, float64(most))
	shares := c.s.rt.Shares()
	gauges(c.quota, shares.Quota)
	gauges(c.quarantine, shares.Quarantine)
	told, tokens := map[string]bool{}, c.s.auth.Load().tokens
	for i := range tokens {
		who := &tokens[i].who
		if told[who.name] {
			continue // the principal's other credential has the same limit
		}
		told[who.name] = true
		if n := who.rates.Requests(); n > 0 {
			out.gauge(c.rate, n, who.name, "requests")
		}
		if n := who.rates.Events(); n > 0 {
			out.gauge(c.rate, n, who.name, "events")
		}
	}
}
