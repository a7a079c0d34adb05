package app

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"auditrelay/builtin/wasm"
	"auditrelay/cli/internal/api"
	"auditrelay/cli/internal/inspect"
	"auditrelay/config"
	"auditrelay/guests/cases"
)

// CheckModule runs all checks of an uploaded module.
func (d *daemon) CheckModule(ctx context.Context, digest, filter string) (api.ModuleChecked, error) {
	stored, err := d.find(digest)
	if err != nil {
		return api.ModuleChecked{}, err
	}
	code, err := d.rt.Modules().Bytes(stored.SHA256)
	if err != nil {
		return api.ModuleChecked{}, err
	}
	return d.CheckUpload(ctx, stored.Name, filter, code)
}

// CheckUpload runs all checks of a module that need not be stored: those of Push and, with a
// filter's name, those of UseModule. The error is not about the module.
func (d *daemon) CheckUpload(ctx context.Context, name, filter string, code []byte) (api.ModuleChecked, error) {
	ctx, cancel := context.WithTimeout(ctx, maxTrialTime)
	defer cancel()
	seen := inspect.Module(name, code)
	c := &moduleChecks{api.ModuleChecked{SHA256: seen.SHA256, Filter: filter, OK: len(seen.Refusals) == 0, Checks: seen.Checks}}
	c.run("compilation", "compiled under the meter, in a process with limits", func() error {
		o := inspect.Everything(name, code)
		o.CacheDir, o.Compiler, o.Logger = d.build.cacheDir, d.build.compiler, d.log
		return wasm.Compile(ctx, o)
	})
	if filter == "" {
		return c.ModuleChecked, tooLong(ctx.Err())
	}
	live, _, err := d.guest(filter)
	if err != nil {
		return api.ModuleChecked{}, err
	}
	d.mu.Lock()
	cfg := d.cfg
	d.mu.Unlock()
	if live.config.Module != "" && live.config.Module != name {
		c.add("name", api.CheckFailed, "filter "+filter+" takes modules named "+live.config.Module)
	}
	var m *wasm.Module
	c.run("start as "+filter, "loaded and started with the filter's configuration, grants, keys and limits", func() error {
		o := d.build.guestOptions(cfg, live.config, code, seen.SHA256)
		o.Budget, o.Logger = wasm.NewBudget(2*wasm.Limits{Memory: live.config.Limits.Memory, Stack: live.config.Limits.Stack}.Footprint()), d.log.With("check", true)
		m, err = wasm.Load(ctx, o)
		return err
	})
	c.cases(ctx, live.config, m)
	if m != nil {
		err = m.Close()
	}
	return c.ModuleChecked, errors.Join(tooLong(ctx.Err()), err)
}

// triedModule loads an uploaded module in place of a guest filter's, for a trial.
func (d *daemon) triedModule(ctx context.Context, want api.Try) (*wasm.Module, error) {
	if want.Policy != "" {
		return nil, badField("module", "expected at most one of policy and module")
	}
	stored, err := d.find(want.Module)
	if err != nil {
		return nil, err
	}
	live, _, err := d.guest(want.Filter)
	if err != nil {
		return nil, err
	}
	code, err := d.rt.Modules().Bytes(stored.SHA256)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	cfg := d.cfg
	d.mu.Unlock()
	o := d.build.guestOptions(cfg, live.config, code, stored.SHA256)
	o.Budget, o.Logger = wasm.NewBudget(2*wasm.Limits{Memory: live.config.Limits.Memory, Stack: live.config.Limits.Stack}.Footprint()), d.log.With("trial", true)
	m, err := wasm.Load(ctx, o)
	if err != nil {
		return nil, refusal(http.StatusUnprocessableEntity, api.ReasonModule, "", "the module cannot run as filter %s: %v", want.Filter, err)
	}
	return m, nil
}

// moduleChecks collects results. After the first failure no further check runs.
type moduleChecks struct{ api.ModuleChecked }

func (c *moduleChecks) add(check, state, why string) {
	c.OK = c.OK && state != api.CheckFailed
	c.Checks = append(c.Checks, api.ModuleCheck{Check: check, State: state, Why: why})
}

func (c *moduleChecks) run(check, passed string, fn func() error) {
	if !c.OK {
		c.add(check, api.CheckNotRun, "an earlier check failed")
		return
	}
	if err := fn(); err != nil {
		c.add(check, api.CheckFailed, err.Error())
		return
	}
	c.add(check, api.CheckPassed, passed)
}

// cases runs a filter's recorded cases on the module m.
func (c *moduleChecks) cases(ctx context.Context, f *config.Filter, m *wasm.Module) {
	if f.Cases == "" {
		c.add("cases", api.CheckNotRun, "the filter has no recorded cases (filters: cases: FILE)")
		return
	}
	c.run("cases", "all come out as recorded", func() error {
		recorded, err := cases.Read(f.Cases)
		if err != nil {
			return err
		}
		results, err := recorded.RunOn(ctx, m)
		if err != nil {
			return err
		}
		failed := false
		for _, r := range results {
			one := api.ModuleCase{Name: r.Name, OK: r.OK, Fuel: r.Fuel, Memory: r.Memory}
			for _, p := range r.Problems {
				what, _, _ := strings.Cut(p, ":") // the rest shows contents
				one.Differs = append(one.Differs, what)
			}
			failed = failed || !r.OK
			c.Cases = append(c.Cases, one)
		}
		if failed {
			return errors.New("some come out otherwise than recorded")
		}
		return nil
	})
}
