package app

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"auditrelay"
	"auditrelay/config"
	"auditrelay/runtime"
)

// Test has one or more events and their expected results on a callback. It is in a file beside
// the configuration.
type Test struct {
	Name     string `yaml:"name"`
	Callback string `yaml:"callback"`
	// Event, EventJSON and Expect are the only step of a test without Steps.
	Event     json.RawMessage `yaml:"event"`
	EventJSON string          `yaml:"event_json"`
	Expect    Expected        `yaml:"expect"`
	// Steps are tried in order by the same guests, which may keep state from one to the next.
	Steps []Step `yaml:"steps"`

	Place config.Place `yaml:"-"`
}

// Step is an event of a test.
type Step struct {
	// Event is the event as a mapping. EventJSON is the event byte for byte instead.
	Event     json.RawMessage `yaml:"event"`
	EventJSON string          `yaml:"event_json"`
	Expect    Expected        `yaml:"expect"`
}

// Expected is what a test expects of its event's trial. A field that is not set is not
// compared, except the outcome.
type Expected struct {
	Outcome string             `yaml:"outcome"` // default: delivered
	Cause   string             `yaml:"cause"`
	Filter  string             `yaml:"filter"`
	Reason  string             `yaml:"reason"`
	Data    *json.RawMessage   `yaml:"data"`    // after the filters
	Record  *json.RawMessage   `yaml:"record"`  // in the callback's format
	Without []string           `yaml:"without"` // texts that must not be in the outgoing data
	Emitted *[]ExpectedEmitted `yaml:"emitted"`
}

// ExpectedEmitted is a record that a filter emits.
type ExpectedEmitted struct {
	Target string          `yaml:"target" json:"target"`
	Data   json.RawMessage `yaml:"data" json:"data"`
}

// Problem is one difference from what a test expects.
type Problem struct {
	Step int             `json:"step,omitempty"` // from 1; 0 if the test has only one
	Of   string          `json:"of"`             // outcome, cause, filter, reason, data, record, without, emitted or event
	Text string          `json:"text,omitempty"`
	Want json.RawMessage `json:"want,omitempty"` // for documents, with members in order
	Got  json.RawMessage `json:"got,omitempty"`
}

// rejected is the outcome of an event that ingest.filters reject.
const rejected = "rejected"

var testOutcomes = []string{
	auditrelay.Delivered.String(), auditrelay.Filtered.String(), auditrelay.DeadLettered.String(), auditrelay.Discarded.String(), rejected,
}

const maxTestFiles = 1000

// TestFiles returns the files that paths name: files themselves, and for directories all
// *.yaml, *.yml and *.json that are not hidden, by name.
func TestFiles(paths []string) ([]string, error) {
	var files []string
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("tests: %w", err)
		}
		if !info.IsDir() {
			files = append(files, path)
			continue
		}
		err = filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case name != path && strings.HasPrefix(d.Name(), "."):
				if d.IsDir() {
					return fs.SkipDir
				}
			case !d.IsDir() && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(name)):
				files = append(files, name)
			}
			if len(files) > maxTestFiles {
				return fmt.Errorf("%s: more than %d files of tests", path, maxTestFiles)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("tests: %w", err)
		}
	}
	return files, nil
}

// ReadTests reads files of tests of these callbacks. It returns all faults as config.Errors.
func ReadTests(files, callbacks []string) ([]Test, error) {
	var all []Test
	var errs []error
	for _, file := range files {
		text, err := config.Read(file)
		if err == nil {
			var tests []Test
			tests, err = readTests(file, text, callbacks)
			all = append(all, tests...)
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, gathered(err)
	}
	return all, nil
}

// gathered returns one list of errors with places.
func gathered(err error) error {
	var all config.Errors
	var add func(err error) bool
	add = func(err error) bool {
		switch e := err.(type) { //nolint:errorlint // it walks the tree of errors itself
		case config.Errors:
			all = append(all, e...)
		case *config.Error:
			all = append(all, e)
		case interface{ Unwrap() []error }:
			for _, one := range e.Unwrap() {
				if !add(one) {
					return false
				}
			}
		default:
			return false
		}
		return true
	}
	if add(err) {
		return all
	}
	return err
}

func readTests(file string, text []byte, callbacks []string) ([]Test, error) {
	section, err := config.ReadSection(file, text)
	if err != nil {
		return nil, err
	}
	var in struct {
		Tests []Test `yaml:"tests"`
	}
	if err := section.Decode(&in); err != nil {
		return nil, err
	}
	var errs []error
	bad := func(path, format string, args ...any) {
		errs = append(errs, &auditrelay.OptionError{Path: path, Err: fmt.Errorf(format, args...)})
	}
	if len(in.Tests) == 0 {
		bad("tests", "it is required: a list of tests, {name, callback, event, expect} or {name, callback, steps: [{event, expect}]}")
	}
	names := map[string]bool{}
	for i := range in.Tests {
		t, at := &in.Tests[i], fmt.Sprintf("tests[%d]", i)
		t.Place = section.PlaceOf(at)
		switch {
		case t.Name == "":
			bad(at+".name", "it is required")
		case names[t.Callback+"\n"+t.Name]:
			bad(at+".name", "a test of this callback with this name stands above: give each its own")
		}
		names[t.Callback+"\n"+t.Name] = true
		if !slices.Contains(callbacks, t.Callback) {
			bad(at+".callback", "expected the name of a callback: %s", strings.Join(callbacks, ", "))
		}
		switch only := (Step{t.Event, t.EventJSON, t.Expect}); {
		case len(t.Steps) == 0:
			only.check(at, bad)
			t.Steps = []Step{only}
		case len(t.Steps) > maxTestSteps:
			bad(at+".steps", "%d, at most %d", len(t.Steps), maxTestSteps)
		case !reflect.ValueOf(only).IsZero():
			bad(at+".steps", "beside steps there is no event and no expect: put them into a step")
		default:
			for j := range t.Steps {
				t.Steps[j].check(fmt.Sprintf("%s.steps[%d]", at, j), bad)
			}
		}
	}
	return in.Tests, section.Explain(errors.Join(errs...))
}

// maxTestSteps limits the steps of one test, which are tried together.
const maxTestSteps = 1000

// check reports the faults of a step, and sets the default outcome.
func (s *Step) check(at string, bad func(path, format string, args ...any)) {
	if (s.Event == nil) == (s.EventJSON == "") {
		bad(at+".event", "expected one of event (a mapping) and event_json (a text)")
	}
	if s.Expect.Outcome = cmp.Or(s.Expect.Outcome, testOutcomes[0]); !slices.Contains(testOutcomes, s.Expect.Outcome) {
		bad(at+".expect.outcome", "expected one of %s", strings.Join(testOutcomes, ", "))
	}
	if slices.Contains(s.Expect.Without, "") {
		bad(at+".expect.without", "an empty text stands in everything")
	}
}

// Run runs a test. It accepts its events as the relay would, and passes them through the
// callback, with new guests for each test. It returns the differences, or none if the test
// passes. An error means that the test could not run.
func (t *Trier) Run(ctx context.Context, test *Test) ([]Problem, error) {
	now := time.Now().UTC()
	trials := make([]*runtime.Trial, len(test.Steps)) // nil if the event was not accepted
	invalid := make([]error, len(test.Steps))
	var accepted []auditrelay.Event
	var steps []int // of accepted events
	for i := range test.Steps {
		e, err := t.Parse(test.Steps[i].data())
		if err != nil {
			invalid[i] = err
			continue
		}
		e.Sequence, e.Received, e.Provenance = uint64(i)+1, now, auditrelay.Provenance{Source: "test"}
		stored, refused, err := t.Accept(ctx, e)
		switch {
		case err != nil:
			return nil, err
		case refused != nil:
			trials[i] = refused
		default:
			accepted, steps = append(accepted, stored), append(steps, i)
		}
	}
	tried, err := t.Try(ctx, accepted)
	if err != nil {
		return nil, err
	}
	outcomes := make([]string, len(test.Steps))
	for k, i := range steps {
		trials[i], outcomes[i] = &tried[k], tried[k].Outcome.String()
	}
	var all []Problem
	for i := range test.Steps {
		var problems []Problem
		switch x := &test.Steps[i].Expect; {
		case invalid[i] == nil:
			problems = x.problems(cmp.Or(outcomes[i], rejected), trials[i])
		case x.Outcome != rejected:
			problems = []Problem{{Of: "event", Text: strings.TrimPrefix(invalid[i].Error(), "event 0 refused: ")}}
		}
		for _, p := range problems {
			if len(test.Steps) > 1 {
				p.Step = i + 1
			}
			all = append(all, p)
		}
	}
	return all, nil
}

func (s *Step) data() []byte {
	if s.Event != nil {
		return s.Event
	}
	return []byte(s.EventJSON)
}

func (x *Expected) problems(outcome string, trial *runtime.Trial) (all []Problem) {
	say := func(of, want, got string, asked bool) {
		if asked && want != got {
			all = append(all, Problem{Of: of, Text: fmt.Sprintf("%s, expected %s", cmp.Or(got, "none"), want)})
		}
	}
	say("outcome", x.Outcome, outcome, true)
	if len(all) > 0 { // with the reason
		for _, why := range []string{string(trial.Cause), trial.Filter, trial.Reason, errorText(trial.Err)} {
			if why != "" {
				all[0].Text += "; " + why
			}
		}
	}
	say("cause", x.Cause, string(trial.Cause), x.Cause != "")
	say("filter", x.Filter, trial.Filter, x.Filter != "")
	say("reason", x.Reason, trial.Reason, x.Reason != "")
	compare := func(of string, want *json.RawMessage, got []byte) {
		if want != nil && !sameJSON(*want, got) {
			all = append(all, Problem{Of: of, Want: ordered(*want), Got: ordered(got)})
		}
	}
	compare("data", x.Data, trial.Data)
	record := trial.Record
	if record == nil {
		record = trial.Data // without a format
	}
	compare("record", x.Record, asJSON(record))
	leaving := [][]byte{trial.Data, trial.Record}
	emitted := []ExpectedEmitted{}
	for _, r := range trial.Emitted {
		leaving = append(leaving, r.Data)
		emitted = append(emitted, ExpectedEmitted{r.Target, r.Data})
	}
	if x.Emitted != nil {
		want, _ := json.Marshal(*x.Emitted)
		got, _ := json.Marshal(emitted)
		compare("emitted", (*json.RawMessage)(&want), got)
	}
	for _, text := range x.Without {
		if slices.ContainsFunc(leaving, func(b []byte) bool { return holds(b, text) }) {
			all = append(all, Problem{Of: "without", Text: fmt.Sprintf("%q is in what leaves", text)})
		}
	}
	return all
}

// holds reports whether a document contains a text, as written or in one of its strings.
func holds(doc []byte, text string) bool {
	if bytes.Contains(doc, []byte(text)) {
		return true
	}
	var in func(v any) bool
	in = func(v any) bool {
		switch v := v.(type) {
		case string:
			return strings.Contains(v, text)
		case []any:
			return slices.ContainsFunc(v, in)
		case map[string]any:
			for key, item := range v {
				if strings.Contains(key, text) || in(item) {
					return true
				}
			}
		}
		return false
	}
	v, err := decoded(doc)
	return err == nil && in(v)
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func decoded(b []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

// sameJSON reports whether two documents have the same values, whatever the order of their
// members.
func sameJSON(a, b []byte) bool {
	x, errA := decoded(a)
	y, errB := decoded(b)
	if errA != nil || errB != nil {
		return bytes.Equal(a, b)
	}
	return reflect.DeepEqual(x, y)
}

// ordered returns a document with sorted members and unescaped characters. A text that is not
// JSON is returned unchanged.
func ordered(b []byte) []byte {
	v, err := decoded(b)
	if err != nil {
		return b
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return b
	}
	return bytes.TrimSpace(out.Bytes())
}
