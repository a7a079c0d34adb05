package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"

	"auditrelay"
	"auditrelay/config"
	"auditrelay/runtime"
)

// TryOptions configure Try.
type TryOptions struct {
	Sinks    map[string]SinkMaker
	Compiler []string
	// Log receives what the guests say. Nil: nothing does.
	Log io.Writer
}

// Trier brings events through one callback's filters as serve would.
type Trier struct {
	callback runtime.Callback
	limits   runtime.Limits
	clean    func()
}

// NewTrier loads the filters of one of a configuration's callbacks. Close closes
// them again.
func NewTrier(ctx context.Context, file, callback string, o TryOptions) (*Trier, error) {
	makers, err := sinkMakers(o.Sinks)
	if err != nil {
		return nil, err
	}
	a := &assembler{file: file, makers: makers, compiler: o.Compiler, log: slog.New(slog.DiscardHandler)}
	if o.Log != nil {
		a.log = slog.New(slog.NewTextHandler(o.Log, nil))
	}
	cfg, err := a.loadConfig(file)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(cfg.Callbacks, func(c config.Callback) bool { return c.Name == callback })
	if i < 0 {
		var names []string
		for _, c := range cfg.Callbacks {
			names = append(names, c.Name)
		}
		return nil, fmt.Errorf("%s: no callback is called %q; there are: %s", file, callback, strings.Join(names, ", "))
	}
	only := *cfg
	only.Callbacks = cfg.Callbacks[i : i+1]
	for _, name := range only.Callbacks[0].Filters {
		for k := range cfg.Filters {
			if f := &cfg.Filters[k]; f.Name == name && f.Module != "" {
				return nil, a.at(f.Line(), "filters."+name, fmt.Errorf("it runs uploaded modules, which the relay has: get the one in use (auditrelay module get DIGEST -o FILE) and try it under wasm"))
			}
		}
	}
	if a.cacheDir, err = os.MkdirTemp("", "auditrelay-try-"); err != nil {
		return nil, err
	}
	callbacks, _, err := a.callbacks(ctx, &only)
	if err != nil {
		return nil, fmt.Errorf("%w", joinRemoved(err, a.cacheDir))
	}
	l := cfg.Ingest.Limits
	return &Trier{callback: callbacks[0], limits: runtime.Limits{EventBytes: l.EventBytes, Depth: l.Depth, IDBytes: l.IDBytes},
		clean: func() {
			for _, f := range a.guests.next {
				_ = f.slot.Close()
			}
			_ = closeSink(callbacks[0].Sink)
			_ = os.RemoveAll(a.cacheDir)
		}}, nil
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
	return runtime.Try(ctx, t.callback, events)
}

// Close closes what NewTrier made.
func (t *Trier) Close() { t.clean() }
