package http

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// fleetStates are the label values of auditrelay_fleet_relays.
var fleetStates = []string{"leads", "standby", "drained", "failed", "gone"}

// fleetCollector reads this relay's view of its fleet at each scrape.
type fleetCollector struct {
	fleet                Fleet
	leads, relays, agree *prometheus.Desc
}

func newFleetCollector(f Fleet) *fleetCollector {
	return &fleetCollector{f,
		prometheus.NewDesc("auditrelay_fleet_leads", "1 if this relay leads its fleet, 0 if it sends requests on to the one that does.", nil, nil),
		prometheus.NewDesc("auditrelay_fleet_relays", "Relays of the fleet as this one sees them, by state.", []string{"state"}, nil),
		prometheus.NewDesc("auditrelay_fleet_agree", "1 if all relays that live have one configuration and version.", nil, nil),
	}
}

func (c *fleetCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.leads
	ch <- c.relays
	ch <- c.agree
}

func (c *fleetCollector) Collect(ch chan<- prometheus.Metric) {
	f := c.fleet.Fleet()
	count := map[string]float64{}
	for _, r := range f.Relays {
		count[r.State]++
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(c.leads, oneIf(f.Leader != "" && f.Leader == f.Relay))
	gauge(c.agree, oneIf(f.Agree))
	for _, state := range fleetStates {
		gauge(c.relays, count[state], state)
	}
}

// followerMetrics are the metrics of a relay that does not lead: its process and its fleet. The
// leader has those of the journal and the callbacks.
func followerMetrics(f Fleet, reads *ownReads) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(newFleetCollector(f), reads.answered, reads.took, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// metrics serves GET /metrics of a follower itself. If it were forwarded, the leader's figures
// would be scraped once for each relay.
func (f *Follower) metrics() http.HandlerFunc {
	handler := followerMetrics(f.o.Fleet, f.reads)
	return func(w http.ResponseWriter, r *http.Request) {
		if f.o.Config.Metrics.Public || f.allow(w, r) {
			handler.ServeHTTP(w, r)
		}
	}
}

// fleet serves GET /v1/fleet.
func (f *Follower) fleet(w http.ResponseWriter, r *http.Request) {
	if f.allow(w, r) {
		respondJSON(w, f.o.Fleet.Fleet())
	}
}

// allow reports whether the caller may view the relay. If not, it sends the response.
func (f *Follower) allow(w http.ResponseWriter, r *http.Request) bool {
	who, refused := f.s.auth.Load().identify(r)
	if refused == nil {
		refused = who.allow(roleView)
	}
	if refused == nil {
		refused = who.unconfined()
	}
	if refused != nil && refused.Status == http.StatusUnauthorized {
		if slow := f.s.failures.slow(r.Context(), peerAddress(r)); slow != nil {
			refused = slow
		}
	}
	if refused != nil {
		respondError(w, refused)
	}
	return refused == nil
}
