package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"

	"auditrelay"
	"auditrelay/builtin/redact"
	"auditrelay/config"
	"auditrelay/document"
	"auditrelay/runtime"
)

// TryOptions configure Try.
type TryOptions struct {
	Sinks    map[string]SinkMaker
	Compiler []string
	// Worker is as in Options.
	Worker []string
	// Modules are files of modules by filter that replace the configuration's.
	Modules map[string]string
	// Log receives the guests' log lines. Nil: they are dropped.
	Log io.Writer
}

// Trier passes events through one callback's filters as serve would.
type Trier struct {
	callback runtime.Callback
	ingest   []runtime.Step // the filters before the journal
	limits   runtime.Limits
	config   *config.Config
	clean    func()

	// Paths of the policies that have not matched yet.
	unmatched []tracedPath
	events    int // number of tried events
	passed    int // number of events that passed the condition
}

// tracedPath is a path of a policy and its place.
type tracedPath struct {
	at   string
	path *document.Path
}

// NewTrier loads the filters of a configuration's callback with that name or, if name is empty,
// of its only callback. The caller must call Close.
func NewTrier(ctx context.Context, files []string, callback string, o TryOptions) (*Trier, error) {
	all, err := LoadTriers(files, o)
	if err != nil {
		return nil, err
	}
	t, err := all.Trier(ctx, callback)
	if err != nil {
		all.Close()
		return nil, err
	}
	clean := t.clean
	t.clean = func() { clean(); all.Close() }
	return t, nil
}

// Triers creates a Trier for each callback of a configuration. They compile a guest once.
type Triers struct {
	file  string
	build *assembler
	cfg   *config.Config
}

// LoadTriers reads a configuration. Close the Triers before Close, which removes the compiled
// modules.
func LoadTriers(files []string, o TryOptions) (*Triers, error) {
	makers, err := sinkMakers(o.Sinks)
	if err != nil {
		return nil, err
	}
	a := &assembler{file: files[0], makers: makers, compiler: o.Compiler, worker: o.Worker, log: slog.New(slog.DiscardHandler)}
	if o.Log != nil {
		a.log = slog.New(slog.NewTextHandler(o.Log, nil))
	}
	cfg, err := a.loadConfig(files[0], files[1:]...)
	if err == nil {
		cfg, err = withPoliciesOf(cfg)
	}
	if err != nil {
		return nil, err
	}
	for name := range o.Modules {
		if !slices.ContainsFunc(cfg.Filters, func(f config.Filter) bool { return f.Name == name && !f.Native() }) {
			return nil, fmt.Errorf("no filter with a module is called %q", name)
		}
	}
	a.guests.files = o.Modules
	if a.cacheDir, err = os.MkdirTemp("", "auditrelay-try-"); err != nil {
		return nil, err
	}
	return &Triers{file: files[0], build: a, cfg: cfg}, nil
}

// Close removes the compiled modules.
func (all *Triers) Close() { _ = os.RemoveAll(all.build.cacheDir) }

// Callbacks returns the names of the configuration's callbacks, in its order.
func (all *Triers) Callbacks() []string {
	names := make([]string, len(all.cfg.Callbacks))
	for i := range names {
		names[i] = all.cfg.Callbacks[i].Name
	}
	return names
}

// Trier is NewTrier for this configuration.
func (all *Triers) Trier(ctx context.Context, callback string) (*Trier, error) {
	a, cfg := all.build, all.cfg
	i, err := pick(cfg.Callbacks, callback)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", all.file, err)
	}
	only := *cfg
	only.Callbacks = cfg.Callbacks[i : i+1]
	for _, name := range only.Callbacks[0].Filters {
		for k := range cfg.Filters {
			if f := &cfg.Filters[k]; f.Name == name && f.Module != "" && all.build.guests.files[name] == "" {
				return nil, a.at(f.Place(), "filters."+name, fmt.Errorf("it runs uploaded modules, which the relay has: take those in use with --running, or name a file with --module %s=FILE", name))
			}
		}
	}
	made, err := a.assemble(ctx, &only)
	if err != nil {
		return nil, err
	}
	l := cfg.Ingest.Limits
	return &Trier{config: cfg, callback: made.callbacks[0], ingest: made.ingest, unmatched: policyPaths(&only), limits: runtime.Limits{EventBytes: l.EventBytes, Depth: l.Depth, IDBytes: l.IDBytes},
		clean: func() { a.discard(made) }}, nil
}

// pick returns the index of the callback with a name, or of the only one.
func pick(callbacks []config.Callback, name string) (int, error) {
	var names []string
	for i, c := range callbacks {
		if c.Name == name || name == "" && len(callbacks) == 1 {
			return i, nil
		}
		names = append(names, c.Name)
	}
	known := strings.Join(names, ", ")
	switch {
	case len(names) == 0:
		return 0, errors.New("there is no callback to try")
	case name == "":
		return 0, fmt.Errorf("there are several callbacks: name one with --callback: %s", known)
	}
	return 0, fmt.Errorf("no callback is called %q; there are: %s", name, known)
}

// policyPaths returns the paths of the policies that a configuration's only callback lists.
func policyPaths(cfg *config.Config) []tracedPath {
	var all []tracedPath
	add := func(at string, paths []string) {
		for i, path := range paths {
			if p, err := document.ParsePath(path); err == nil {
				all = append(all, tracedPath{fmt.Sprintf("%s[%d] (%s)", at, i, path), p})
			}
		}
	}
	for i := range cfg.Filters {
		f := &cfg.Filters[i]
		var o redact.Options
		if !f.Native() || !slices.Contains(cfg.Callbacks[0].Filters, f.Name) || f.Redact.Decode(&o) != nil {
			continue
		}
		at := "filters." + f.Name + ".redact."
		for j, rule := range o.Rules {
			add(fmt.Sprintf("%srules[%d].paths", at, j), rule.Paths)
		}
		add(at+"keep_only", o.KeepOnly)
		add(at+"json", o.JSON)
	}
	return all
}

// Unmatched returns which paths of the policies matched none of the tried events, and whether
// the condition matched none. They may be misspelt, or the events do not contain them.
func (t *Trier) Unmatched() []string {
	if t.events == 0 {
		return nil
	}
	if t.passed == 0 {
		return []string{fmt.Sprintf("when: the condition let none of %d events through", t.events)}
	}
	var all []string
	for _, p := range t.unmatched {
		all = append(all, fmt.Sprintf("%s: the path matched nothing in %d events", p.at, t.passed))
	}
	return all
}

// trace removes the paths that match in an event that passed the condition.
func (t *Trier) trace(events []auditrelay.Event, trials []runtime.Trial) {
	var d document.Document
	t.events += len(events)
	for i := range trials {
		if trials[i].Cause == auditrelay.CauseWhen {
			continue
		}
		t.passed++
		d.Reset(events[i].Data)
		t.unmatched = slices.DeleteFunc(t.unmatched, func(p tracedPath) bool { return d.Find(p.path) != document.None })
	}
}

// Limits returns the configuration's limits.
func (t *Trier) Limits() runtime.Limits { return t.limits }

// Schema returns the schema with a name, or nil, LiteLLM's, for an empty name.
func (t *Trier) Schema(name string) (*runtime.Schema, error) {
	if name == "" {
		return nil, nil
	}
	s := t.config.SchemaNamed(name)
	if s == nil {
		return nil, fmt.Errorf("there is no schema %s: ingest.schemas has none of this name, and the shipped ones are %s", name, strings.Join(config.SchemaNames(), ", "))
	}
	return s.Compiled(), nil
}

// Parse returns data as an event, as serve would accept it.
func (t *Trier) Parse(data []byte) (auditrelay.Event, error) {
	return runtime.ParseEvent(data, t.limits)
}

// Try passes events through the callback's condition and filters. It delivers and writes
// nothing.
func (t *Trier) Try(ctx context.Context, events []auditrelay.Event) ([]runtime.Trial, error) {
	trials, err := runtime.Try(ctx, t.callback, t.limits, events)
	if err == nil {
		t.trace(events, trials)
	}
	return trials, err
}

// Accept passes an event through the filters before the journal. It returns the event as it
// would be stored, or the trial of an event that would be rejected.
func (t *Trier) Accept(ctx context.Context, e auditrelay.Event) (auditrelay.Event, *runtime.Trial, error) {
	if len(t.ingest) == 0 {
		return e, nil, nil
	}
	trials, err := runtime.Try(ctx, runtime.Callback{Name: "ingest", Sink: nowhere{}, Steps: t.ingest}, t.limits, []auditrelay.Event{e})
	if err != nil {
		return e, nil, err
	}
	if trials[0].Outcome != auditrelay.Delivered {
		return e, &trials[0], nil
	}
	stored, err := runtime.ParseEventWith(e.Mapping, trials[0].Data, t.limits)
	if err != nil {
		return e, nil, err
	}
	if e.Mapping != nil {
		stored.Namespace, stored.ID = e.Namespace, e.ID
	}
	stored.Sequence, stored.Received, stored.Provenance = e.Sequence, e.Received, e.Provenance
	return stored, nil, nil
}

// nowhere is the sink of a trial.
type nowhere struct{}

func (nowhere) Render(c auditrelay.Chunk) ([]auditrelay.Payload, error) { return nil, nil }

func (nowhere) Deliver(context.Context, auditrelay.Payload) (auditrelay.Receipt, error) {
	return auditrelay.Receipt{}, errors.New("nothing is delivered")
}

// Close closes what NewTrier created.
func (t *Trier) Close() { t.clean() }
