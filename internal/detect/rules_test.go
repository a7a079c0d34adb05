package detect_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"auditrelay/document"
	"auditrelay/internal/detect"
)

// positions are possible places of a secret.
var positions = []struct {
	name  string
	event func(secret string) string
}{
	{"leaf", func(s string) string { return fmt.Sprintf(`{"note":%s}`, quoted(s)) }},
	{"JSON in a string", func(s string) string {
		return fmt.Sprintf(`{"updated_values":%s}`, quoted(fmt.Sprintf(`{"note": %s}`, quoted(s))))
	}},
	{"sentence", func(s string) string {
		return fmt.Sprintf(`{"note":%s}`, quoted("Please use "+s+" until Monday, thanks"))
	}},
	{"object key", func(s string) string { return fmt.Sprintf(`{"spend":{%s:1}}`, quoted(s)) }},
}

func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// findsIn returns the findings of all leaves and keys of an event.
func findsIn(s *detect.Set, event string) (texts, detectors []string) {
	var d document.Document
	d.Reset([]byte(event))
	for _, l := range leaves(nil, []byte(event), false) {
		for _, f := range s.Append(nil, l.text, s.Name(l.key)) {
			texts = append(texts, string(l.text[f.Start:f.End]))
			detectors = append(detectors, f.Detector)
		}
	}
	return texts, detectors
}

// Every rule finds its examples whole in every position, under its own name, and nothing in its
// counter-examples. None needs a search.
func TestShippedRules(t *testing.T) {
	began := time.Now()
	s := newSet(t, "secrets")
	built := time.Since(began) // includes reading the pack, if the test runs alone
	rules := 0
	for _, info := range detect.Shipped().All() {
		r := info.Rule
		if r == nil || info.Groups[0] != "secrets" {
			continue
		}
		rules++
		t.Run(r.ID, func(t *testing.T) {
			if len(r.Examples) < len(r.Forms) || len(r.CounterExamples) == 0 || r.Description == "" || r.Source == "" {
				t.Error("it lacks an example for each form, a counter-example, a description or a source")
			}
			for _, p := range positions {
				for _, e := range r.Examples {
					texts, names := findsIn(s, p.event(e))
					if !slices.ContainsFunc(texts, func(found string) bool { return strings.HasPrefix(found, e) || strings.HasSuffix(found, e) }) {
						t.Errorf("%s: %q is not found whole: %q", p.name, e, texts)
					} else if !slices.Contains(names, r.ID) {
						t.Errorf("%s: %q is called %q", p.name, e, names)
					}
				}
				for _, e := range r.CounterExamples {
					if texts, _ := findsIn(s, p.event(e)); len(texts) > 0 {
						t.Errorf("%s: %q is found in the counter-example %q", p.name, texts, e)
					}
				}
			}
		})
	}
	if rules < 120 {
		t.Errorf("only %d rules", rules)
	}
	size, states := s.Size()
	t.Logf("%d rules, %d states, %d bytes, built in %v", rules, states, size, built.Round(time.Microsecond))
}
