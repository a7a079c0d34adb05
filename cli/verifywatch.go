package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"auditrelay/internal/verify"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// watcher implements verify --watch: it verifies repeatedly and serves the last result.
type watcher struct {
	command *verifyCommand
	options verify.Options
	pins    map[string][]byte // the last checkpoint of each verified log
	said    string            // the last printed line

	runs                                *prometheus.CounterVec // by result
	faults                              *prometheus.GaugeVec   // by category
	last, verified, took, records, tail prometheus.Gauge
}

// The results of a run.
const (
	watchVerified = "verified"
	watchFailed   = "failed"
	watchError    = "error"
)

func newWatcher(c *verifyCommand, o verify.Options, r *prometheus.Registry) *watcher {
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "auditrelay_verify_" + name, Help: help})
		r.MustRegister(g)
		return g
	}
	w := &watcher{command: c, options: o, pins: map[string][]byte{},
		runs:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "auditrelay_verify_runs_total", Help: "Runs, by result: verified, failed (something is wrong with the data), error (it could not be looked at)."}, []string{"result"}),
		faults:   prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "auditrelay_verify_faults", Help: "Faults that the last run found, by category."}, []string{"category"}),
		last:     gauge("last_run_timestamp_seconds", "When the last run ended."),
		verified: gauge("last_verified_timestamp_seconds", "When the last run ended that found nothing wrong."),
		took:     gauge("duration_seconds", "How long the last run took."),
		records:  gauge("records", "Valid records that the last run found."),
		tail:     gauge("uncovered_files", "Files or rows that no checkpoint covers: newer, or not the relay's."),
	}
	r.MustRegister(w.runs, w.faults)
	for _, result := range []string{watchVerified, watchFailed, watchError} {
		w.runs.WithLabelValues(result)
	}
	for _, c := range verify.Categories {
		w.faults.WithLabelValues(string(c))
	}
	return w
}

// watch verifies until the context ends.
func (c *verifyCommand) watch(a *program, o verify.Options) (err error) {
	registry := prometheus.NewRegistry()
	w := newWatcher(c, o, registry)
	if w.pins, err = c.savedPins(); err != nil {
		return err
	}
	if c.Metrics != "" {
		listener, err := net.Listen("tcp", c.Metrics)
		if err != nil {
			return fmt.Errorf("serve metrics: %w", err)
		}
		mux := http.NewServeMux()
		mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
		server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
		defer server.Close()
		go func() { _ = server.Serve(listener) }() // it ends with Close
		fmt.Fprintf(a.stderr, "metrics at http://%s/metrics\n", listener.Addr())
	}
	for {
		w.run(a)
		select {
		case <-a.ctx.Done():
			return nil
		case <-time.After(c.Watch):
		}
	}
}

// run verifies once and prints what changed since the last run.
func (w *watcher) run(a *program) {
	o := w.options
	for _, pin := range w.pins {
		o.Saved = append(o.Saved, pin)
	}
	began := time.Now()
	report, err := w.command.verifyPlace(a, o)
	if a.ctx.Err() != nil {
		return
	}
	w.took.Set(time.Since(began).Seconds())
	w.last.SetToCurrentTime()
	if err != nil {
		w.runs.WithLabelValues(watchError).Inc()
		w.say(a, "error: "+err.Error())
		return
	}
	if err := w.command.report(a.ctx, report); err != nil && a.ctx.Err() == nil {
		fmt.Fprintf(a.stderr, "%s\n", escaped([]byte(err.Error()))) // print it at every run: nothing else reports it
	}
	for _, c := range verify.Categories {
		w.faults.WithLabelValues(string(c)).Set(float64(report.FaultCounts[c]))
	}
	w.records.Set(float64(report.Records))
	w.tail.Set(float64(len(report.Unattested)))
	if worst := report.Worst(); worst != "" {
		w.runs.WithLabelValues(watchFailed).Inc()
		if w.say(a, "failed: "+string(worst)) {
			err = tellReport(a, report, w.command.Faults, w.command.JSON)
			if _, verdict := errors.AsType[verdictError](err); !verdict && err != nil && !errors.Is(err, context.Canceled) {
				fmt.Fprintln(a.stderr, err)
			}
		}
		return
	}
	w.runs.WithLabelValues(watchVerified).Inc()
	w.verified.SetToCurrentTime()
	for _, l := range report.Logs {
		w.pins[w.command.pinFile(l.Origin)] = []byte(l.Checkpoint)
	}
	if err := w.command.savePins(a.ctx, report); err != nil {
		w.say(a, "error: "+err.Error())
		return
	}
	w.say(a, watchVerified)
}

// say prints a line with the time, unless it equals the last one, and reports whether it did.
func (w *watcher) say(a *program, line string) bool {
	if line == w.said {
		return false
	}
	w.said = line
	fmt.Fprintf(a.stdout, "%s %s\n", time.Now().UTC().Format(time.RFC3339), escaped([]byte(line)))
	return true
}
