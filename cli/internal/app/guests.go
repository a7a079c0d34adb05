package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"auditrelay/builtin/wasm"
	"auditrelay/cli/internal/http"
	"auditrelay/cli/internal/slot"
	"auditrelay/config"
	"auditrelay/runtime"
)

// liveFilter is a running guest filter: its slot, and how to load a module for it.
type liveFilter struct {
	slot   *slot.Slot
	config *config.Filter
	digest string // digest of its configuration; an unchanged filter continues
	load   func(ctx context.Context, code []byte, sha256 string) (*wasm.Module, error)

	before  *liveFilter // the filter of the same name that it replaces
	running string      // digest of the module in the slot; empty if there is none
	dropped bool        // a selection no longer applies and must be deleted
}

// source returns where the running module comes from.
func (f *liveFilter) source() string {
	switch {
	case f.running == "":
		return "none"
	case f.running == f.config.ModuleDigest():
		return "file"
	}
	return "uploaded"
}

// guests are the running filters. live, and what its filters run, change only with daemon.mu
// held and by the holder of daemon.changing.
type guests struct {
	slots atomic.Pointer[map[string]*slot.Slot] // slots of live, for readers that must not wait

	modules  *runtime.Modules // nil if there is no journal, as in validate
	live     map[string]*liveFilter
	deferred bool // the journal is not open yet, so slots are filled later

	files map[string]string // modules by filter that override everything else, for a trial
}

// fill loads the filter's module into its slot.
func (g *guests) fill(ctx context.Context, f *liveFilter) error {
	if file := g.files[f.config.Name]; file != "" {
		code, err := readBounded(file, runtime.MaxModuleBytes)
		if err != nil {
			return err
		}
		return f.put(ctx, code, "")
	}
	configured := f.config.ModuleDigest()
	if g.modules != nil {
		s, ok, err := g.modules.Selection(f.config.Name)
		switch {
		case err != nil:
			return err
		case ok && s.SHA256 != "" && s.Configured == configured:
			code, err := g.modules.Bytes(s.SHA256)
			if err != nil {
				return fmt.Errorf("the module that was selected: %w", err)
			}
			return f.put(ctx, code, s.SHA256)
		case ok && s.Configured != configured:
			f.dropped = true
		}
	}
	if f.config.Wasm == "" {
		return nil // nothing is processed until a module is selected
	}
	code, err := readBounded(f.config.Wasm, runtime.MaxModuleBytes)
	if err != nil {
		return err
	}
	return f.put(ctx, code, cmp.Or(f.config.SHA256, configured))
}

// adoptBreaker copies the state of the old module's breaker.
func (f *liveFilter) adoptBreaker(m *wasm.Module) {
	if f.before == nil {
		return
	}
	if running := f.before.slot.Module(); running != nil {
		m.AdoptBreaker(running)
	}
	f.before = nil
}

// put loads a module and switches the slot to it.
func (f *liveFilter) put(ctx context.Context, code []byte, sha256 string) error {
	m, err := f.load(ctx, code, sha256)
	if err != nil {
		return err
	}
	f.running = m.SHA256()
	return f.slot.Switch(m)
}

// discard closes the filters of a configuration that does not come into force.
func (g *guests) discard(filters map[string]*liveFilter) {
	for name, f := range filters {
		if f != nil && g.live[name] != f {
			_ = f.slot.Close()
		}
	}
}

// adopt makes filters the running ones.
func (g *guests) adopt(filters map[string]*liveFilter) {
	g.live = filters
	slots := make(map[string]*slot.Slot, len(filters))
	for name, f := range filters {
		slots[name] = f.slot
	}
	g.slots.Store(&slots)
}

// forget deletes the selections that no longer apply.
func (g *guests) forget(log *slog.Logger) {
	for name, f := range g.live {
		if !f.dropped {
			continue
		}
		f.dropped = false
		log.Warn("the configuration's module for this filter changed after another one was selected: the configuration's runs", "filter", name)
		if err := g.modules.Select(runtime.Selection{Filter: name, Configured: f.config.ModuleDigest(), At: time.Now().UTC()}, runtime.By{Principal: byConfigFile}); err != nil {
			log.Error("a selection that no longer holds could not be forgotten", "filter", name, "error", err)
		}
	}
}

// openGuests fills slots once the journal is open, and logs the selections.
func (d *daemon) openGuests(ctx context.Context, filters map[string]*liveFilter, m *runtime.Modules) error {
	g := &d.build.guests
	g.modules, g.deferred = m, false
	var errs []error
	for name, f := range filters {
		if err := g.fill(ctx, f); err != nil {
			errs = append(errs, d.build.at(f.config.Place(), "filters."+name, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	g.adopt(filters)
	g.forget(d.log)
	return nil
}

// FilterStates returns the state of every guest filter by name. It waits for nothing, so that a
// scrape does not wait for a compilation.
func (d *daemon) FilterStates() map[string]http.FilterState {
	out := map[string]http.FilterState{}
	slots := d.build.guests.slots.Load()
	if slots == nil {
		return out
	}
	for name, slot := range *slots {
		var s http.FilterState
		if m := slot.Module(); m != nil {
			b := m.Breaker()
			s = http.FilterState{Open: b.Open, Loaded: true, Failures: b.Failures, Counts: m.Counts(), Locks: m.Locks(), Workers: len(m.Workers()), Lost: m.Lost()}
		}
		out[name] = s
	}
	return out
}
