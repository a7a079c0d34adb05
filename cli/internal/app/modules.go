package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"auditrelay"
	"auditrelay/builtin/wasm"
	"auditrelay/cli/internal/api"
	"auditrelay/cli/internal/inspect"
	"auditrelay/runtime"
)

// refusal returns the error response of a rejected request on modules.
func refusal(status int, reason, hint, format string, args ...any) *api.Error {
	return &api.Error{Status: status, Reason: reason, Hint: hint, Message: fmt.Sprintf(format, args...)}
}

var (
	moduleName   = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)
	digestPrefix = regexp.MustCompile(`^[0-9a-f]{8,64}$`)
)

// Push stores a module after all checks of Load that need no run. If a filter is named, it also
// loads and starts the module with that filter's configuration.
func (d *daemon) Push(ctx context.Context, name, filter string, code []byte, by runtime.By) (api.Pushed, error) {
	if !moduleName.MatchString(name) {
		return api.Pushed{}, refusal(http.StatusBadRequest, api.ReasonBadRequest, "", "name: expected 1 to 64 of a-z, 0-9, - and _, the first a letter or digit")
	}
	refused := func(err error) error {
		return refusal(http.StatusUnprocessableEntity, api.ReasonModule, "auditrelay guest inspect FILE says all that is known of it", "the module is refused: %v", err)
	}
	seen := inspect.Module(name, code)
	if len(seen.Refusals) > 0 {
		return api.Pushed{}, refused(errors.New(strings.Join(seen.Refusals, "\n")))
	}
	o := inspect.Everything(name, code)
	o.CacheDir, o.Compiler, o.Logger = d.build.cacheDir, d.build.compiler, d.log
	if err := wasm.Compile(ctx, o); err != nil {
		return api.Pushed{}, refused(err)
	}
	if filter != "" {
		live, _, err := d.guest(filter)
		if err != nil {
			return api.Pushed{}, err
		}
		m, err := live.load(ctx, code, seen.SHA256)
		if err != nil {
			return api.Pushed{}, refused(err)
		}
		if err := m.Close(); err != nil {
			return api.Pushed{}, err
		}
	}
	stored, added, err := d.rt.Modules().Put(name, seen.Version, code, by)
	if errors.Is(err, runtime.ErrModulesFull) {
		return api.Pushed{}, refusal(http.StatusInsufficientStorage, api.ReasonTooLarge, "auditrelay module list; auditrelay module delete DIGEST", "%v", err)
	}
	if err == nil && added {
		d.log.Info("a module was pushed", "module", stored.Name, "sha256", stored.SHA256, "size", stored.Size, "by", by.Principal)
	}
	return api.Pushed{StoredModule: api.StoredModule(stored), Added: added}, err
}

func noFilter(name string) *api.Error {
	return refusal(http.StatusNotFound, api.ReasonNotFound, "auditrelay module filters shows those that a callback uses", "no guest filter %.64q runs", name)
}

// guest returns the running filter with a name, and the digest of its module.
func (d *daemon) guest(name string) (live *liveFilter, running string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if live = d.build.guests.live[name]; live == nil {
		return nil, "", noFilter(name)
	}
	return live, live.running, nil
}

// users returns the callbacks that list a filter.
func (d *daemon) users(filter string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	names := []string{}
	for i := range d.cfg.Callbacks {
		if slices.Contains(d.cfg.Callbacks[i].Filters, filter) {
			names = append(names, d.cfg.Callbacks[i].Name)
		}
	}
	return names
}

// find resolves a digest or a prefix of one.
func (d *daemon) find(prefix string) (runtime.StoredModule, error) {
	prefix = strings.ToLower(prefix)
	if !digestPrefix.MatchString(prefix) {
		return runtime.StoredModule{}, refusal(http.StatusBadRequest, api.ReasonBadRequest, "", "digest: expected 8 to 64 hexadecimal digits")
	}
	all, err := d.rt.Modules().List()
	if err != nil {
		return runtime.StoredModule{}, err
	}
	all = slices.DeleteFunc(all, func(m runtime.StoredModule) bool { return !strings.HasPrefix(m.SHA256, prefix) })
	switch len(all) {
	case 0:
		return runtime.StoredModule{}, refusal(http.StatusNotFound, api.ReasonNotFound, "auditrelay module list", "no uploaded module has the digest %s", prefix)
	case 1:
		return all[0], nil
	}
	return runtime.StoredModule{}, refusal(http.StatusConflict, api.ReasonConflict, "give more of it", "%d modules have a digest that begins with %s", len(all), prefix)
}

// ListModules returns all uploaded modules with the filters that run them.
func (d *daemon) ListModules() ([]api.Module, error) {
	stored, err := d.rt.Modules().List()
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make([]api.Module, 0, len(stored))
	for _, s := range stored {
		m := api.Module{StoredModule: api.StoredModule(s)}
		for name, f := range d.build.guests.live {
			if f.running == s.SHA256 {
				m.Filters = append(m.Filters, name)
			}
		}
		slices.Sort(m.Filters)
		all = append(all, m)
	}
	return all, nil
}

// InspectModule returns the properties of an uploaded module, or of one that receipts name.
func (d *daemon) InspectModule(prefix string) (api.Inspection, error) {
	stored, err := d.find(prefix)
	if e, ok := errors.AsType[*api.Error](err); ok && e.Status == http.StatusNotFound {
		return d.keptModule(prefix)
	}
	if err != nil {
		return api.Inspection{}, err
	}
	code, err := d.rt.Modules().Bytes(stored.SHA256)
	if err != nil {
		return api.Inspection{}, err
	}
	return inspect.Module(stored.Name, code), nil
}

// ModuleContent returns an uploaded module's bytes.
func (d *daemon) ModuleContent(prefix string) (sha256 string, code []byte, err error) {
	stored, err := d.find(prefix)
	if err != nil {
		return "", nil, err
	}
	code, err = d.rt.Modules().Bytes(stored.SHA256)
	return stored.SHA256, code, err
}

// keepModule stores the properties of an uploaded module, for receipts that name it.
func (d *daemon) keepModule(m runtime.StoredModule) error {
	code, err := d.rt.Modules().Bytes(m.SHA256)
	if err != nil {
		return err
	}
	text, err := moduleText(m.Name, code)
	if err != nil {
		return err
	}
	return d.rt.Texts().Keep(text)
}

func (d *daemon) DeleteModule(prefix string, by runtime.By) (api.StoredModule, error) {
	stored, err := d.find(prefix)
	if err != nil {
		return api.StoredModule(stored), err
	}
	if err := d.keepModule(stored); err != nil {
		return api.StoredModule(stored), err
	}
	err = d.rt.Modules().Delete(stored.SHA256, by)
	if errors.Is(err, runtime.ErrModuleInUse) {
		return api.StoredModule(stored), refusal(http.StatusConflict, api.ReasonConflict, "auditrelay module use FILTER with another one, twice, lets go of it", "module %s (%.12s): %v", stored.Name, stored.SHA256, err)
	}
	if err == nil {
		d.log.Info("a module was deleted", "module", stored.Name, "sha256", stored.SHA256, "by", by.Principal)
	}
	return api.StoredModule(stored), err
}

// ListFilters returns the running guest filters.
func (d *daemon) ListFilters() ([]api.Filter, error) {
	type running struct {
		filter api.Filter
		live   *liveFilter
	}
	var some []running
	d.mu.Lock()
	for name, live := range d.build.guests.live {
		some = append(some, running{api.Filter{Name: name, SHA256: live.running, Source: live.source(), Grants: api.Grants(live.config.Grants)}, live})
	}
	d.mu.Unlock()
	all := []api.Filter{}
	for _, one := range some {
		f := one.filter
		f.Callbacks = d.users(f.Name)
		s, _, err := d.rt.Modules().Selection(f.Name)
		if err != nil {
			return nil, err
		}
		f.Previous = s.Previous
		if m := one.live.slot.Module(); m != nil {
			b := m.Breaker()
			f.Breaker = api.Breaker{Open: b.Open, Failures: b.Failures, Cause: b.Cause, Until: b.Until}
			for _, w := range m.Workers() {
				f.Workers = append(f.Workers, api.GuestWorker{Callback: w.Callback, PID: w.PID, Memory: int64(w.Memory)})
			}
		}
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b api.Filter) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

// ResetBreaker ends the pause of a filter's module at once.
func (d *daemon) ResetBreaker(name string, by runtime.By) error {
	live, _, err := d.guest(name)
	if err != nil {
		return err
	}
	if m := live.slot.Module(); m != nil {
		b := m.Breaker()
		err := d.rt.Record(d.stopping, runtime.Change{By: by, Act: "reset", Action: auditrelay.ActionUnblocked, Table: "auditrelay_filter", Object: name,
			Before: map[string]any{"breaker_open": b.Open, "failures": b.Failures}, After: map[string]any{"breaker_open": false, "failures": 0}, MakesRoom: true})
		if err != nil {
			return err
		}
		m.ResetBreaker()
	}
	d.log.Info("a filter's breaker was reset", "filter", name, "by", by.Principal)
	for _, callback := range d.users(name) {
		d.rt.Retry(callback)
	}
	return nil
}

// UseModule switches a filter to another module, at one sequence of each callback. It first
// loads the module. The selection is durable before it is in force.
func (d *daemon) UseModule(ctx context.Context, name string, want api.Use, by runtime.By) (api.Used, error) {
	if err := d.rolling(name); err != nil {
		return api.Used{}, err
	}
	return d.useModule(ctx, name, want, by)
}

func (d *daemon) useModule(ctx context.Context, name string, want api.Use, by runtime.By) (api.Used, error) {
	ctx, done, err := d.change(ctx)
	if err != nil {
		return api.Used{}, err
	}
	defer done()
	live, running, err := d.guest(name)
	if err != nil {
		return api.Used{}, err
	}
	if err := by.Check(running); err != nil {
		return api.Used{}, fmt.Errorf("filter %s: %w", name, err)
	}
	configured := live.config.ModuleDigest()
	before, _, err := d.rt.Modules().Selection(name)
	if err != nil {
		return api.Used{}, err
	}
	digest, err := d.wanted(live, want, before)
	if err != nil {
		return api.Used{}, err
	}
	if digest == configured {
		digest = "" // the configuration's own module
	}
	used := api.Used{Filter: name, SHA256: cmp.Or(digest, configured), Previous: before.SHA256}
	if running == used.SHA256 {
		used.Previous = before.Previous
		return used, nil
	}

	var code []byte
	if digest == "" {
		code, err = readBounded(live.config.Wasm, runtime.MaxModuleBytes)
	} else {
		code, err = d.rt.Modules().Bytes(digest)
	}
	if err != nil {
		return api.Used{}, err
	}
	module, err := live.load(ctx, code, used.SHA256)
	if err != nil {
		return api.Used{}, refusal(http.StatusUnprocessableEntity, api.ReasonModule, "the filter goes on with the module that it has", "the module cannot run as filter %s: %v", name, err)
	}
	err = d.rt.AtBoundary(d.users(name), func(from map[string]uint64) error {
		s := runtime.Selection{Filter: name, SHA256: digest, Previous: before.SHA256, Configured: configured, At: time.Now().UTC(), From: from}
		if err := d.rt.Modules().Select(s, by); err != nil {
			return err
		}
		d.mu.Lock()
		live.running, used.Changed, used.From = used.SHA256, true, from
		d.mu.Unlock()
		if err := live.slot.Switch(module); err != nil {
			d.log.Warn("closing the module that a filter ran before", "filter", name, "error", err)
		}
		return nil
	})
	if err != nil {
		return api.Used{}, errors.Join(err, module.Close())
	}
	d.endShadows(name)
	d.log.Info("a filter runs another module", "filter", name, "before", running, "after", used.SHA256, "by", by.Principal)
	for _, callback := range d.users(name) {
		d.rt.Retry(callback)
	}
	return used, nil
}

// wanted returns the digest of the requested module, or "" for the configuration's own.
func (d *daemon) wanted(live *liveFilter, want api.Use, before runtime.Selection) (string, error) {
	name := live.config.Name
	switch {
	case btoi(want.SHA256 != "")+btoi(want.Previous)+btoi(want.Configured) != 1:
		return "", refusal(http.StatusBadRequest, api.ReasonBadRequest, "", "expected one of sha256, previous and configured")
	case want.Configured && live.config.Wasm == "":
		return "", refusal(http.StatusConflict, api.ReasonConflict, "give a digest", "filter %s is configured without a file", name)
	case want.Previous && before.At.IsZero():
		return "", refusal(http.StatusConflict, api.ReasonConflict, "", "filter %s has run no other module", name)
	case want.Previous && before.Previous == "" && live.config.Wasm == "":
		return "", refusal(http.StatusConflict, api.ReasonConflict, "", "filter %s has run no other module", name)
	case want.Previous:
		return before.Previous, nil
	case want.SHA256 != "":
		stored, err := d.find(want.SHA256)
		if err != nil {
			return "", err
		}
		if live.config.Module != "" && stored.Name != live.config.Module {
			return "", refusal(http.StatusConflict, api.ReasonConflict, "push it under that name, or name the other one in the configuration",
				"filter %s takes modules named %s; %.12s was pushed as %s", name, live.config.Module, stored.SHA256, stored.Name)
		}
		return stored.SHA256, nil
	}
	return "", nil
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
