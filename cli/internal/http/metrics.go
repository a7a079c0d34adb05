package http

import (
	"net/http"
	"strconv"
	"time"

	"auditrelay/cli/internal/api"
	"auditrelay/runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are the counts that the server keeps itself. All others are read from the runtime on
// each scrape. Labels come only from closed sets and configured names: routes, statuses,
// callbacks, outcomes, states, causes and kinds of error. Nothing that a producer sends becomes
// a label.
type metrics struct {
	registry  *prometheus.Registry
	handler   http.Handler
	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	denied    *prometheus.CounterVec
	events    *prometheus.CounterVec
	reloads   *prometheus.CounterVec
}

func newMetrics(s *Server) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "auditrelay_http_requests_total", Help: "Requests answered, by route and status.",
		}, []string{"method", "route", "status"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "auditrelay_http_request_seconds", Help: "Time from a request's head to its answer. For POST /v1/events it is the time until the events were durable.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"method", "route"}),
		denied: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "auditrelay_http_denied_total", Help: "Requests refused by authentication, by reason.",
		}, []string{"reason"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "auditrelay_http_events_total", Help: "Events of POST /v1/events, by result.",
		}, []string{"result"}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "auditrelay_reloads_total", Help: "Reloads of the configuration, by result.",
		}, []string{"result"}),
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "auditrelay_build_info", Help: "Always 1; the labels show the version.",
	}, []string{"version", "revision", "go"})
	build.WithLabelValues(s.version.Version, s.version.Revision, s.version.Go).Set(1)
	memory := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "auditrelay_http_body_memory_bytes", Help: "Memory set aside for request bodies under way.",
	}, func() float64 {
		return float64(s.large.inUse() + s.small.inUse() + s.inflated.inUse() + s.unknown.inUse())
	})
	m.registry.MustRegister(
		m.requests, m.durations, m.denied, m.events, m.reloads, build, memory,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		newEngineCollector(s.rt), newQuarantineCollector(s.rt), newSourceCollector(s.sources),
		newPrincipalCollector(s),
	)
	if s.control != nil {
		m.registry.MustRegister(newFilterCollector(s.control), newAlertCollector(s.control), newCanaryCollector(s.control), newShadowCollector(s.control),
			newRolloutCollector(s.control))
	}
	if s.fleet != nil {
		m.registry.MustRegister(newFleetCollector(s.fleet))
	}
	for _, source := range s.sources {
		if c := source.Metrics(); c != nil {
			m.registry.MustRegister(c)
		}
	}
	m.handler = promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
	return m
}

func (s *Server) getMetrics(w http.ResponseWriter, r *http.Request, _ principal) {
	s.metrics.handler.ServeHTTP(w, r)
}

func (m *metrics) request(rt route, status int, took time.Duration) {
	m.requests.WithLabelValues(rt.method, rt.path, strconv.Itoa(status)).Inc()
	m.durations.WithLabelValues(rt.method, rt.path).Observe(took.Seconds())
}

func (m *metrics) submitted(a *api.Submitted) {
	m.events.WithLabelValues("accepted").Add(float64(a.Accepted))
	m.events.WithLabelValues("duplicate").Add(float64(a.Duplicates))
	m.events.WithLabelValues("refused").Add(float64(a.Refused))
}

func (m *metrics) refused(reason string) { m.denied.WithLabelValues(reason).Inc() }

// engineCollector reads the runtime on each scrape, so the metrics agree with GET
// /v1/callbacks.
type engineCollector struct {
	rt *runtime.Runtime

	assigned, outcomes, pending, balanced, causes     *prometheus.Desc
	state, lag, cursor, inFlight, attempts, failures  *prometheus.Desc
	refusing, refused                                 *prometheus.Desc
	unverified, duplicatePayloads                     *prometheus.Desc
	replaysRunning                                    *prometheus.Desc
	findings, exceptions                              *prometheus.Desc
	accepted, duplicates, conflicts, rejected, unseen *prometheus.Desc
	ingestFiltered, ingestFailed                      *prometheus.Desc
	head, oldest, disk, free, quota, reserve, ready   *prometheus.Desc
	ended, latency                                    *prometheus.Desc
	memory, memoryLimit, memoryWaiting                *prometheus.Desc
	maxAge, expiring                                  *prometheus.Desc
}

// states are the values of the label state of auditrelay_callback_state.
var states = []runtime.State{
	runtime.StateActive, runtime.StatePaused, runtime.StateDegraded, runtime.StateAuthError,
	runtime.StateMisconfigured, runtime.StateWithholding, runtime.StateDetached, runtime.StateRemoved,
}

func newEngineCollector(rt *runtime.Runtime) *engineCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("auditrelay_"+name, help, labels, nil)
	}
	return &engineCollector{
		rt:                rt,
		assigned:          desc("callback_assigned_total", "Events assigned to the callback.", "callback"),
		outcomes:          desc("callback_outcomes", "Events that ended on the callback, by outcome. A dead letter that is replayed moves on to another.", "callback", "outcome"),
		pending:           desc("callback_pending", "Events assigned to the callback that have no outcome yet.", "callback"),
		balanced:          desc("callback_balanced", "1 while assigned equals outcomes plus pending. 0 is a bug in the relay.", "callback"),
		causes:            desc("callback_causes", "Events not delivered, by cause.", "callback", "cause"),
		state:             desc("callback_state", "1 for the state that the callback is in, 0 for the others.", "callback", "state"),
		lag:               desc("callback_lag_seconds", "Age of the oldest pending event, 0 if none.", "callback"),
		cursor:            desc("callback_cursor", "The next sequence that the callback takes.", "callback"),
		inFlight:          desc("callback_in_flight", "Sealed payloads that are not delivered.", "callback"),
		attempts:          desc("callback_attempts_total", "Deliveries tried since start.", "callback"),
		unverified:        desc("callback_unverified_payloads_total", "Payloads under whose key the destination had something that was not compared.", "callback"),
		duplicatePayloads: desc("callback_duplicate_payloads_total", "Payloads that the destination had already.", "callback"),
		failures:          desc("callback_failures_total", "Deliveries and filters that failed since start, by kind.", "callback", "kind"),
		findings:          desc("callback_detector_findings_total", "Values found since start by the callback's filters and gate, by detector; known are further places of a value.", "callback", "detector"),
		exceptions:        desc("detector_exceptions_total", "Findings that an exception spared since start, by its place in detector_exceptions.", "exception", "detector"),
		replaysRunning:    desc("callback_replays_running", "Replays of the callback that are not done.", "callback"),
		accepted:          desc("events_accepted_total", "Events stored since start."),
		duplicates:        desc("events_duplicate_total", "Equal events that came again since start."),
		conflicts:         desc("events_conflict_total", "Unequal events with an id that was taken, since start."),
		ingestFiltered:    desc("ingest_filtered_total", "Events accepted, and dropped by a filter before the journal, since start."),
		ingestFailed:      desc("ingest_filter_failures_total", "Events refused since a filter before the journal failed on them, since start."),
		rejected:          desc("events_rejected_total", "Events refused for what they hold, since start."),
		unseen:            desc("events_unknown_action_total", "Events accepted with an unknown action, since start."),
		head:              desc("journal_next_sequence", "The next sequence that the journal assigns."),
		oldest:            desc("journal_oldest_sequence", "The oldest sequence that the journal still has."),
		disk:              desc("journal_disk_bytes", "What the journal takes on disk."),
		free:              desc("journal_free_bytes", "What is free on the journal's disk."),
		refusing:          desc("not_accepting", "1 while events are refused, by reason.", "reason"),
		refused:           desc("refused_calls_total", "Calls refused with 503 since start, by reason.", "reason"),
		quota:             desc("journal_quota_bytes", "The most that the journal may take on disk; 0 for no bound."),
		memory:            desc("delivery_memory_bytes", "Memory set aside for the events and payloads that callbacks process and send."),
		memoryLimit:       desc("delivery_memory_limit_bytes", "The most of it, but for one large event or payload."),
		memoryWaiting:     desc("delivery_memory_waiting", "Chunks and payloads that wait for memory."),
		reserve:           desc("journal_reserve_bytes", "What stays free on the journal's disk: below it events are refused."),
		ended:             desc("callback_outcomes_total", "Events that ended on the callback, by outcome. Of dead letters all that were ever set aside, whatever became of them later.", "callback", "outcome"),
		latency:           desc("callback_delivery_seconds", "How long the sink took for deliveries that were acknowledged.", "callback"),
		maxAge:            desc("callback_max_age_seconds", "Age beyond which the destination keeps no event; only of destinations that have one.", "callback"),
		expiring:          desc("callback_expiring", "1 while the oldest pending event has reached three quarters of the destination's max age; only of destinations that have one.", "callback"),
		ready:             desc("ready", "1 while events are accepted."),
	}
}

func (c *engineCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.assigned, c.outcomes, c.pending, c.balanced, c.causes, c.state, c.lag, c.cursor, c.inFlight,
		c.attempts, c.unverified, c.duplicatePayloads, c.failures, c.findings, c.exceptions, c.replaysRunning, c.accepted, c.duplicates, c.conflicts, c.rejected, c.ingestFiltered, c.ingestFailed,
		c.unseen, c.head, c.oldest, c.disk, c.free, c.ready, c.refusing, c.refused, c.quota, c.reserve, c.ended, c.latency, c.memory, c.memoryLimit, c.memoryWaiting,
		c.maxAge, c.expiring,
	} {
		ch <- d
	}
}

// samples receives the values of a scrape.
type samples chan<- prometheus.Metric

func (s samples) counter(d *prometheus.Desc, v uint64, labels ...string) {
	s <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
}

func (s samples) gauge(d *prometheus.Desc, v float64, labels ...string) {
	s <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (c *engineCollector) Collect(ch chan<- prometheus.Metric) {
	c.collectCallbacks(samples(ch))
	c.collectStats(samples(ch))
}

func (c *engineCollector) collectCallbacks(s samples) {
	replays := map[string]int{}
	statuses, err := c.rt.Callbacks()
	if err != nil { // the scrape fails instead of showing zeros
		s <- prometheus.NewInvalidMetric(c.assigned, err)
	}
	for _, cb := range statuses {
		if cb.Replay != "" { // replay ids are unbounded and must not become labels
			if !cb.Done {
				replays[cb.Name]++
			}
			continue
		}
		name := cb.Name
		a := cb.Account
		s.counter(c.assigned, a.Assigned, name)
		s.gauge(c.outcomes, float64(a.Delivered), name, "delivered")
		s.gauge(c.outcomes, float64(a.Filtered), name, "filtered")
		s.gauge(c.outcomes, float64(a.DeadLettered), name, "dead_lettered")
		s.gauge(c.outcomes, float64(a.Discarded), name, "discarded")
		s.gauge(c.outcomes, float64(a.Skipped), name, "skipped")
		s.counter(c.ended, a.Delivered, name, "delivered")
		s.counter(c.ended, a.Filtered, name, "filtered")
		s.counter(c.ended, cb.SetAside, name, "dead_lettered")
		s.counter(c.ended, a.Discarded, name, "discarded")
		s.counter(c.ended, a.Skipped, name, "skipped")
		s.gauge(c.pending, float64(a.Pending), name)
		s.gauge(c.balanced, oneIf(a.Balanced), name)
		for cause, n := range cb.Causes {
			s.gauge(c.causes, float64(n), name, cause)
		}
		for _, state := range states {
			s.gauge(c.state, oneIf(cb.State == state), name, string(state))
		}
		s.gauge(c.lag, cb.Lag.Seconds(), name)
		if cb.MaxAge > 0 {
			s.gauge(c.maxAge, cb.MaxAge.Seconds(), name)
			s.gauge(c.expiring, oneIf(cb.Expiring), name)
		}
		s.gauge(c.cursor, float64(cb.Cursor), name)
		s.gauge(c.inFlight, float64(cb.InFlight), name)
		s.counter(c.attempts, cb.Attempts, name)
		s.counter(c.unverified, cb.Unverified, name)
		s.counter(c.duplicatePayloads, cb.Duplicates, name)
		for kind, n := range cb.Failures {
			s.counter(c.failures, n, name, kind)
		}
		for detector, n := range cb.Findings {
			s.counter(c.findings, n, name, detector)
		}
	}
	for i, e := range c.rt.DetectorExceptions() {
		s.counter(c.exceptions, e.Used, strconv.Itoa(i), e.Detector)
	}
	for name, n := range replays {
		s.gauge(c.replaysRunning, float64(n), name)
	}
	for name, l := range c.rt.Latencies() {
		s <- prometheus.MustNewConstHistogram(c.latency, l.Count, l.Seconds, l.Buckets, name)
	}
}

func (c *engineCollector) collectStats(s samples) {
	stats := c.rt.Stats()
	s.counter(c.accepted, stats.Accepted)
	s.counter(c.duplicates, stats.Duplicates)
	s.counter(c.conflicts, stats.Conflicts)
	s.counter(c.rejected, stats.Rejected)
	s.counter(c.unseen, stats.UnknownActions)
	s.counter(c.ingestFiltered, stats.IngestFiltered)
	s.counter(c.ingestFailed, stats.IngestFailed)
	s.gauge(c.head, float64(stats.Head))
	s.gauge(c.oldest, float64(stats.Oldest))
	s.gauge(c.disk, float64(stats.DiskBytes))
	s.gauge(c.free, float64(stats.FreeBytes))
	s.gauge(c.quota, float64(stats.Quota))
	s.gauge(c.reserve, float64(stats.Reserve))
	s.gauge(c.memory, float64(stats.Memory.Used))
	s.gauge(c.memoryLimit, float64(stats.Memory.Limit))
	s.gauge(c.memoryWaiting, float64(stats.Memory.Waiting))
	s.gauge(c.ready, oneIf(c.rt.Ready() == nil))
	if stats.NotAcceptingReason != "" {
		s.gauge(c.refusing, 1, stats.NotAcceptingReason)
	}
	for reason, n := range stats.Refused {
		s.counter(c.refused, n, reason)
	}
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
