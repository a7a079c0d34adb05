package app

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"auditrelay/cli/internal/alerts"
	"auditrelay/runtime"
)

var (
	queried     = regexp.MustCompile(`auditrelay_[a-z0-9_]+(\{[^}]*\})?`)
	matcher     = regexp.MustCompile(`([a-z_]+)(=~?)"([^"]*)"`)
	labelsOf    = regexp.MustCompile(`variableLabels: \{([^}]*)\}`)
	expressions = regexp.MustCompile(`(?m)^ +expr: (.*)$`)
)

// TestPackagedMonitoringFitsTheMetrics: every metric, label, state and kind in the packaged
// alert rules and dashboard exists. It does not test whether Prometheus accepts the
// expressions.
func TestPackagedMonitoringFitsTheMetrics(t *testing.T) {
	metrics := map[string][]string{} // labels by name
	for _, d := range describedMetrics(t) {
		if m := metricName.FindStringSubmatch(d); m != nil {
			metrics[m[1]] = strings.Split(labelsOf.FindStringSubmatch(d)[1], ",")
		}
	}
	values := map[string][]string{
		"auditrelay_callback_state":          {"active", "auth_error", "degraded", "detached", "misconfigured", "paused", "removed", "withholding"},
		"auditrelay_callback_outcomes":       {"delivered", "filtered", "dead_lettered", "discarded", "skipped"},
		"auditrelay_callback_outcomes_total": {"delivered", "filtered", "dead_lettered", "discarded", "skipped"},
		"auditrelay_alerts_raised":           alerts.Kinds(),
	}
	if !slices.Contains(values["auditrelay_callback_state"], string(runtime.StateWithholding)) {
		t.Fatal("the states have changed")
	}
	check := func(where, expr string) {
		for _, use := range queried.FindAllString(expr, -1) {
			name, selector, _ := strings.Cut(use, "{")
			known := name
			if _, ok := metrics[known]; !ok {
				known = strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, "_bucket"), "_sum"), "_count")
			}
			labels, ok := metrics[known]
			if !ok {
				t.Errorf("%s: %s asks for %s, which there is not", where, expr, name)
				continue
			}
			for _, m := range matcher.FindAllStringSubmatch(selector, -1) {
				if !slices.Contains(labels, m[1]) {
					t.Errorf("%s: %s has no label %s, but %v", where, name, m[1], labels)
				}
				for _, value := range strings.Split(m[3], "|") {
					if closed := values[name]; closed != nil && !slices.Contains(closed, value) {
						t.Errorf("%s: %s is never %s=%q", where, name, m[1], value)
					}
				}
			}
		}
		if strings.Count(expr, "(") != strings.Count(expr, ")") || !strings.Contains(expr, "auditrelay_") {
			t.Errorf("%s: %s is no expression", where, expr)
		}
	}
	rules, err := os.ReadFile(filepath.Join("..", "..", "..", "packaging", "monitoring", "alerts.rules.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	found := expressions.FindAllStringSubmatch(string(rules), -1)
	if len(found) < 10 || strings.Count(string(rules), "- alert: ") != len(found) {
		t.Fatalf("%d expressions in the rules", len(found))
	}
	for _, m := range found {
		check("alerts.rules.yaml", m[1])
	}
	data, err := os.ReadFile(filepath.Join("..", "..", "..", "packaging", "monitoring", "grafana.json"))
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(data, &dashboard); err != nil || len(dashboard.Panels) < 10 {
		t.Fatalf("%d panels: %v", len(dashboard.Panels), err)
	}
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			check("grafana.json, "+p.Title, target.Expr)
		}
	}
}
