// Package cases runs a guest's cases: events in, and what is to become of
// them, in a JSON file beside the guest's source. They run in the engine that
// runs in production, under its limits.
package cases

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"auditrelay"
	"auditrelay/builtin/wasm"
	"auditrelay/document"
	"auditrelay/filter"
	"auditrelay/internal/jsonfault"
	"auditrelay/internal/manifest"
	"auditrelay/internal/profile"
)

// File is a file of cases. What it leaves out of grants and keys is what the
// module's manifest asks for, with keys of the test's own.
type File struct {
	Config    json.RawMessage              `json:"config,omitempty"`
	Grants    *wasm.Grants                 `json:"grants,omitempty"`
	Keys      map[string]auditrelay.Secret `json:"keys,omitempty"`
	Isolation string                       `json:"isolation,omitempty"` // instance or event
	Cases     []Case                       `json:"cases"`

	// Worker and Compiler are as in wasm.Options: where Run runs the module.
	Worker   []string `json:"-"`
	Compiler []string `json:"-"`
}

// Case is one event and what is to become of it.
type Case struct {
	Name    string          `json:"name"`
	Event   json.RawMessage `json:"event"`
	Verdict string          `json:"verdict"`         // keep, drop or fail
	Cause   string          `json:"cause,omitempty"` // of a failure
	Want    json.RawMessage `json:"want,omitempty"`  // the event after, byte for byte; absent: unchanged
	Reason  string          `json:"reason,omitempty"`
	Emitted []Emitted       `json:"emitted,omitempty"`
}

// Emitted is a record for another callback.
type Emitted struct {
	Target string          `json:"target"`
	Data   json.RawMessage `json:"data"`
}

// Result is what became of a case.
type Result struct {
	Name     string   `json:"name"`
	OK       bool     `json:"ok"`
	Problems []string `json:"problems,omitempty"`
	Got      Case     `json:"got"`
	Want     Case     `json:"-"`
	Fuel     int64    `json:"fuel"`
	Memory   int64    `json:"memory"`
}

// Verdicts that cases name beside keep and drop.
const fail = "fail"

// Read reads a file of cases and holds it to its form.
func Read(name string) (*File, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	f, err := decode(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var errs []error
	if f.Isolation != "" && f.Isolation != "instance" && f.Isolation != "event" {
		errs = append(errs, fmt.Errorf("%s: isolation: expected instance or event", name))
	}
	if len(f.Cases) == 0 {
		errs = append(errs, fmt.Errorf("%s: it holds no cases", name))
	}
	for i, c := range f.Cases {
		if err := document.Check(c.Event, document.Limits{}); err != nil {
			errs = append(errs, fmt.Errorf("%s: cases[%d].event: %w", name, i, err))
		}
		if !slices.Contains([]string{"keep", "drop", fail}, c.Verdict) {
			errs = append(errs, fmt.Errorf("%s: cases[%d].verdict: expected keep, drop or fail", name, i))
		}
	}
	return f, errors.Join(errs...)
}

// decode reads one object, with errors in the words of the file.
func decode(text []byte) (*File, error) {
	f := new(File)
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(f); err != nil {
		return nil, jsonfault.Explain(err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("more data after the object: put all cases into its list")
	}
	return f, nil
}

// Profile runs all cases of f a number of times and tells where fuel goes, starts
// of instances aside.
func (f *File) Profile(ctx context.Context, name string, code []byte, times int) ([]profile.Function, error) {
	p := new(profile.Profile)
	m, err := f.load(profile.With(ctx, p), name, code)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	instance, err := m.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = instance.Close() }()
	p.Reset()
	for range times {
		for i := range f.Cases {
			if f.Cases[i].Verdict != fail {
				run(ctx, instance, &f.Cases[i])
			}
		}
	}
	return p.Functions(), nil
}

// Cost is what an event takes in the engine, on average over cases.
type Cost struct {
	Fuel int64         `json:"fuel"`
	Time time.Duration `json:"ns"` // the fastest of all runs
}

// Cost runs all cases of f a number of times, in this process, as in production: without a
// profile. What a worker process takes to get an event and to answer is not in it.
func (f *File) Cost(ctx context.Context, name string, code []byte, times int) (Cost, error) {
	here := *f
	here.Worker = nil
	m, err := here.load(ctx, name, code)
	if err != nil {
		return Cost{}, err
	}
	defer m.Close()
	instance, err := m.Open(ctx)
	if err != nil {
		return Cost{}, err
	}
	defer func() { _ = instance.Close() }()
	d := new(document.Document)
	best, fuel, events := time.Duration(0), int64(0), 0
	for round := range times {
		took := time.Duration(0)
		fuel, events = 0, 0
		for i := range f.Cases {
			if f.Cases[i].Verdict == fail {
				continue
			}
			call := newCall(d, f.Cases[i].Event)
			began := time.Now()
			_, err := instance.Apply(ctx, call)
			took += time.Since(began)
			if err != nil {
				return Cost{}, fmt.Errorf("case %q: %w", f.Cases[i].Name, err)
			}
			fuel += call.Usage.Fuel
			events++
		}
		if round == 0 || took < best {
			best = took
		}
	}
	n := max(1, events)
	return Cost{Fuel: fuel / int64(n), Time: best / time.Duration(n)}, nil
}

// Run runs all cases of f on a module, one instance after the other as in
// production: a failed one is replaced.
func (f *File) Run(ctx context.Context, name string, code []byte) ([]Result, error) {
	m, err := f.load(ctx, name, code)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	return f.RunOn(ctx, m)
}

func (f *File) load(ctx context.Context, name string, code []byte) (*wasm.Module, error) {
	o := wasm.Options{Worker: f.Worker, Compiler: f.Compiler, Name: name, Wasm: code, Config: f.Config, Keys: f.keys(),
		Logger: slog.New(slog.DiscardHandler), Breaker: wasm.BreakerOptions{Failures: -1}}
	if f.Isolation == "event" {
		o.Isolation = auditrelay.IsolationEvent
	}
	if f.Grants != nil {
		o.Grants = *f.Grants
	} else if err := f.grantAll(&o); err != nil {
		return nil, err
	}
	return wasm.Load(ctx, o)
}

// RunOn runs all cases on a filter as it stands: config, grants, keys and isolation
// of f are not looked at.
func (f *File) RunOn(ctx context.Context, m filter.Filter) ([]Result, error) {
	instance, err := m.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = instance.Close() }()
	results := make([]Result, 0, len(f.Cases))
	for i := range f.Cases {
		r := run(ctx, instance, &f.Cases[i])
		if r.Got.Verdict == fail {
			_ = instance.Close()
			if instance, err = m.Open(ctx); err != nil {
				return results, fmt.Errorf("a new instance after case %q: %w", r.Name, err)
			}
		}
		results = append(results, r)
	}
	return results, nil
}

// Require returns an error that names the cases which come out otherwise on a
// filter, nil where none does. It tells nothing of what the cases hold.
func (f *File) Require(ctx context.Context, m filter.Filter) error {
	results, err := f.RunOn(ctx, m)
	if err != nil {
		return err
	}
	var failed []string
	for _, r := range results {
		if !r.OK {
			failed = append(failed, fmt.Sprintf("%q", r.Name))
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("%d of %d recorded cases come out otherwise: %s (auditrelay guest test shows how)", len(failed), len(results), strings.Join(failed, ", "))
	}
	return nil
}

// keys are the file's, nil where it gives none.
func (f *File) keys() map[string]auditrelay.Key {
	if f.Keys == nil {
		return nil
	}
	keys := make(map[string]auditrelay.Key, len(f.Keys))
	for name, secret := range f.Keys {
		keys[name] = auditrelay.Key{Secret: secret}
	}
	return keys
}

// grantAll grants a module what it asks for.
func (f *File) grantAll(o *wasm.Options) error {
	asked, err := manifest.Read(o.Wasm)
	if err != nil || asked == nil {
		return err
	}
	o.Grants = wasm.Grants{Write: asked.Writes, Keys: asked.Keys, Metrics: asked.Metrics}
	for _, c := range f.Cases {
		for _, e := range c.Emitted {
			if !slices.Contains(o.Grants.Emit, e.Target) {
				o.Grants.Emit = append(o.Grants.Emit, e.Target)
			}
		}
	}
	if asked.Emits && o.Grants.Emit == nil {
		o.Grants.Emit = []string{"alerts"}
	}
	if o.Keys == nil {
		o.Keys = map[string]auditrelay.Key{}
		for _, key := range asked.Keys {
			o.Keys[key] = auditrelay.Key{Secret: auditrelay.Secret("a key of the test's own: " + key)}
		}
	}
	return nil
}

func run(ctx context.Context, instance filter.Instance, c *Case) Result {
	d := new(document.Document)
	call := newCall(d, c.Event)
	verdict, err := instance.Apply(ctx, call)
	r := Result{Name: c.Name, Want: *c, Fuel: call.Usage.Fuel, Memory: call.Usage.Memory}
	r.Got = Case{Name: c.Name, Event: c.Event, Verdict: verdict.String(), Reason: call.Reason}
	if err != nil {
		r.Got.Verdict, r.Got.Cause = fail, string(auditrelay.CauseFail)
		if failure, ok := errors.AsType[*filter.Error](err); ok {
			r.Got.Cause = string(failure.Cause)
		}
		if c.Verdict != fail {
			r.Problems = append(r.Problems, fmt.Sprintf("it failed: %v", err))
		}
	} else {
		if d.Edited() {
			r.Got.Want = d.Append(nil)
		}
		for _, e := range call.Emitted {
			r.Got.Emitted = append(r.Got.Emitted, Emitted{e.Target, bytes.Clone(e.Data)})
		}
	}
	r.compare(c)
	r.OK = len(r.Problems) == 0
	return r
}

// newCall is what brings an event to an instance, in d.
func newCall(d *document.Document, event []byte) *filter.Call {
	d.Reset(event)
	return &filter.Call{Document: d, Event: &auditrelay.Event{
		Namespace: auditrelay.NamespaceLiteLLM, ID: "1", Sequence: 42, Received: time.Unix(0, 0).UTC(), Data: event}}
}

func (r *Result) compare(c *Case) {
	differ := func(what, got, want string) {
		if got != want {
			r.Problems = append(r.Problems, fmt.Sprintf("%s: got %s, want %s", what, orNone(got), orNone(want)))
		}
	}
	differ("verdict", r.Got.Verdict, c.Verdict)
	if c.Verdict == fail && c.Cause != "" {
		differ("cause", r.Got.Cause, c.Cause)
	}
	differ("reason", r.Got.Reason, c.Reason)
	if r.Got.Verdict == fail {
		return
	}
	after := func(c *Case) string {
		if len(c.Want) > 0 {
			return string(c.Want)
		}
		return string(c.Event)
	}
	if after(&r.Got) != after(c) {
		r.Problems = append(r.Problems, "the event after is another one")
	}
	differ("records emitted", fmt.Sprint(len(r.Got.Emitted)), fmt.Sprint(len(c.Emitted)))
	for i := range min(len(r.Got.Emitted), len(c.Emitted)) {
		differ(fmt.Sprintf("record %d", i), r.Got.Emitted[i].Target+" "+string(r.Got.Emitted[i].Data), c.Emitted[i].Target+" "+string(c.Emitted[i].Data))
	}
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// After is the event as the case left it, or is to leave it.
func (c *Case) After() []byte {
	if len(c.Want) > 0 {
		return c.Want
	}
	return c.Event
}

// Write writes f with what became of its cases in the place of what was wanted.
// Events stay as they are, byte for byte.
func (f *File) Write(name string, results []Result) error {
	var out bytes.Buffer
	out.WriteString("{\n")
	member := func(name string, v any) error {
		text, err := compact(v)
		if err == nil {
			fmt.Fprintf(&out, "  %q: %s,\n", name, text)
		}
		return err
	}
	var errs []error
	if len(f.Config) > 0 {
		errs = append(errs, member("config", f.Config))
	}
	if f.Grants != nil {
		errs = append(errs, member("grants", f.Grants))
	}
	if f.Keys != nil {
		revealed := map[string]string{}
		for k, v := range f.Keys {
			revealed[k] = v.Reveal()
		}
		errs = append(errs, member("keys", revealed))
	}
	if f.Isolation != "" {
		errs = append(errs, member("isolation", f.Isolation))
	}
	out.WriteString("  \"cases\": [\n")
	for i := range results {
		text, err := compact(results[i].Got)
		errs = append(errs, err)
		comma := ","
		if i == len(results)-1 {
			comma = ""
		}
		fmt.Fprintf(&out, "    %s%s\n", text, comma)
	}
	out.WriteString("  ]\n}\n")
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return os.WriteFile(name, out.Bytes(), 0o644) //nolint:gosec // a source file
}

func compact(v any) ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimRight(out.Bytes(), "\n"), err
}
