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
	// Log receives what the guests say. Nil: nothing does.
	Log io.Writer
}

// Trier brings events through one callback's filters as serve would.
type Trier struct {
	callback runtime.Callback
	limits   runtime.Limits
	clean    func()

	// Paths of the policies, those that matched taken out.
	unmatched []tracedPath
	events    int // tried
	passed    int // the condition
}

// tracedPath is a path of a policy and where it stands.
type tracedPath struct {
	at   string
	path *document.Path
}

// NewTrier loads the filters of one of a configuration's callbacks: the one of that
// name or, where the name is empty, the only one. Close closes them again.
func NewTrier(ctx context.Context, file, callback string, o TryOptions) (*Trier, error) {
	makers, err := sinkMakers(o.Sinks)
	if err != nil {
		return nil, err
	}
	a := &assembler{file: file, makers: makers, compiler: o.Compiler, worker: o.Worker, log: slog.New(slog.DiscardHandler)}
	if o.Log != nil {
		a.log = slog.New(slog.NewTextHandler(o.Log, nil))
	}
	cfg, err := a.loadConfig(file)
	if err != nil {
		return nil, err
	}
	i, err := pick(cfg.Callbacks, callback)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	only := *cfg
	only.Callbacks = cfg.Callbacks[i : i+1]
	for _, name := range only.Callbacks[0].Filters {
		for k := range cfg.Filters {
			if f := &cfg.Filters[k]; f.Name == name && f.Module != "" {
				return nil, a.at(f.Place(), "filters."+name, fmt.Errorf("it runs uploaded modules, which the relay has: get the one in use (auditrelay module get DIGEST -o FILE) and try it under wasm"))
			}
		}
	}
	if a.cacheDir, err = os.MkdirTemp("", "auditrelay-try-"); err != nil {
		return nil, err
	}
	made, err := a.assemble(ctx, &only)
	if err != nil {
		return nil, fmt.Errorf("%w", joinRemoved(err, a.cacheDir))
	}
	l := cfg.Ingest.Limits
	return &Trier{callback: made.callbacks[0], unmatched: policyPaths(&only), limits: runtime.Limits{EventBytes: l.EventBytes, Depth: l.Depth, IDBytes: l.IDBytes},
		clean: func() {
			a.discard(made)
			_ = os.RemoveAll(a.cacheDir)
		}}, nil
}

// pick returns the index of the callback that is called name, or of the only one.
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

// policyPaths are the paths of the policies that a configuration's only callback lists.
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

// Unmatched says which paths of the policies, and whether the condition, matched none of
// the events tried: a slip of the pen, or events that do not show it.
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

// trace takes out the paths that match in an event that the condition let through.
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

func joinRemoved(err error, dir string) error {
	_ = os.RemoveAll(dir)
	return err
}

// Parse returns data as an event, as serve would accept it.
func (t *Trier) Parse(data []byte) (auditrelay.Event, error) {
	return runtime.ParseEvent(data, t.limits)
}

// Try brings events through the callback's condition and filters. Nothing of it is
// delivered or written anywhere.
func (t *Trier) Try(ctx context.Context, events []auditrelay.Event) ([]runtime.Trial, error) {
	trials, err := runtime.Try(ctx, t.callback, t.limits, events)
	if err == nil {
		t.trace(events, trials)
	}
	return trials, err
}

// Close closes what NewTrier made.
func (t *Trier) Close() { t.clean() }
