package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"auditrelay"
	"auditrelay/builtin/wasm"
	"auditrelay/cli/internal/api"
	"auditrelay/config"
	"auditrelay/filter"
	"auditrelay/runtime"
)

// tableShadow is the table_name of own records about shadows.
const tableShadow = "auditrelay_shadow"

// trial is the version that a shadow tries.
type trial struct {
	id      string
	filter  string
	module  string // the module's digest, or
	policy  string // the policy's YAML
	digest  string
	running string // digest of the running version when the shadow started
	by      string
}

func (t *trial) kind() string {
	if t.module != "" {
		return "module"
	}
	return "policy"
}

// triedRecord describes a trial in an own record.
type triedRecord struct {
	Filter  string `json:"filter"`
	Kind    string `json:"kind"`
	Digest  string `json:"digest"`
	Running string `json:"running"`
}

func (t *trial) record() triedRecord { return triedRecord{t.filter, t.kind(), t.digest, t.running} }

// StartShadow runs another module or policy on live events, in parallel with a filter's own.
func (d *daemon) StartShadow(ctx context.Context, want api.StartShadow, by runtime.By) (api.Shadow, error) {
	ctx, done, err := d.change(ctx)
	if err != nil {
		return api.Shadow{}, err
	}
	defer done()
	if want.Events > runtime.MaxShadowEvents {
		return api.Shadow{}, badField("events", "expected at most %d", uint64(runtime.MaxShadowEvents))
	}
	if want.Seconds > uint64(runtime.MaxShadowTime/time.Second) {
		return api.Shadow{}, badField("seconds", "expected at most %d", uint64(runtime.MaxShadowTime/time.Second))
	}
	d.mu.Lock()
	cfg := d.cfg
	d.mu.Unlock()
	callback, err := d.shadowed(cfg, want.Filter, want.Callback)
	if err != nil {
		return api.Shadow{}, err
	}
	if (want.Module == "") == (want.Policy == "") {
		return api.Shadow{}, badField("", "expected one of module and policy")
	}
	t := &trial{id: strconv.FormatInt(time.Now().UnixNano(), 36), filter: want.Filter, policy: want.Policy, by: by.Principal}
	with, err := d.standIns(ctx, cfg, callback, t, want)
	if err != nil {
		return api.Shadow{}, err
	}
	closing := func(err error) error {
		for _, f := range with {
			err = errors.Join(err, f.Close())
		}
		return err
	}
	if err := by.Check(t.running); err != nil {
		return api.Shadow{}, closing(fmt.Errorf("filter %s: %w", t.filter, err))
	}
	if running, err := d.rt.Shadow(callback.Name); err == nil && running.Ended.IsZero() {
		return api.Shadow{}, closing(fmt.Errorf("callback %s: %w", callback.Name, runtime.ErrShadows))
	}
	o := runtime.ShadowOptions{Callback: callback.Name, Filter: want.Filter, With: with, Events: want.Events, Time: time.Duration(want.Seconds) * time.Second}
	change := d.shadowChange(by, "start", auditrelay.ActionCreated, callback.Name, t)
	begun, err := d.rt.Begin(change)
	if err != nil {
		return api.Shadow{}, closing(err)
	}
	o.Ended = func(r runtime.ShadowResult) { d.shadowEnded(begun, t, &r) }
	if err := d.rt.StartShadow(o); err != nil {
		return api.Shadow{}, errors.Join(err, begun.End(nil, err))
	}
	d.mu.Lock()
	if d.trials == nil {
		d.trials = map[string]*trial{}
	}
	d.trials[callback.Name] = t
	d.mu.Unlock()
	d.log.Info("a shadow runs", "callback", callback.Name, "filter", t.filter, t.kind(), t.digest, "by", by.Principal)
	return d.shadowOf(callback.Name)
}

func badField(field, format string, args ...any) *api.Error {
	return &api.Error{Status: http.StatusBadRequest, Reason: api.ReasonBadRequest, Field: field, Message: fmt.Sprintf(format, args...)}
}

// shadowed returns the callback for a shadow of a filter.
func (d *daemon) shadowed(cfg *config.Config, filter, name string) (*config.Callback, error) {
	var users []string
	var found *config.Callback
	for i := range cfg.Callbacks {
		if c := &cfg.Callbacks[i]; slices.Contains(c.Filters, filter) && (name == "" || c.Name == name) {
			users, found = append(users, c.Name), c
		}
	}
	switch {
	case len(users) == 1:
		return found, nil
	case len(users) > 1:
		return nil, refusal(http.StatusConflict, api.ReasonConflict, "name one of them", "several callbacks list filter %s: %v", filter, users)
	case name != "":
		return nil, refusal(http.StatusNotFound, api.ReasonNotFound, hintFilters, "no callback %.64q lists a filter %.64q", name, filter)
	}
	return nil, refusal(http.StatusNotFound, api.ReasonNotFound, hintFilters, "no callback lists a filter %.64q", filter)
}

// hintFilters is the hint for finding a filter's callbacks.
const hintFilters = "auditrelay callbacks --json lists the callbacks with their filters"

// standIns creates the version that t tries, and a copy of every other guest of the callback,
// since a shadow shares no worker and no breaker with running filters. It completes t.
func (d *daemon) standIns(ctx context.Context, cfg *config.Config, callback *config.Callback, t *trial, want api.StartShadow) (with map[string]filter.Filter, err error) {
	with = map[string]filter.Filter{}
	defer func() {
		if err != nil {
			for _, f := range with {
				_ = f.Close()
			}
		}
	}()
	budget := d.shadowBudget(cfg, callback)
	for _, name := range callback.Filters {
		i := slices.IndexFunc(cfg.Filters, func(f config.Filter) bool { return f.Name == name })
		if i < 0 {
			continue
		}
		f := &cfg.Filters[i]
		switch {
		case f.Native() && name != t.filter:
			continue // without state, so it can be shared
		case f.Native() && want.Policy == "":
			return with, badField("policy", "filter %s is native: give a policy", name)
		case f.Native():
			before, after, err := d.draft(ctx, name, want.Policy)
			if err != nil {
				return with, err
			}
			t.running, t.digest = before.Digest(), after.Digest()
			with[name] = after.filter
			continue
		case name == t.filter && want.Module == "":
			return with, badField("module", "filter %s is a guest: give a module", name)
		}
		m, err := d.shadowModule(ctx, cfg, f, t, want, budget)
		if err != nil {
			return with, err
		}
		with[name] = m
	}
	return with, nil
}

// shadowModule loads a module for a shadow: the tried one, or the one that the filter runs.
func (d *daemon) shadowModule(ctx context.Context, cfg *config.Config, f *config.Filter, t *trial, want api.StartShadow, budget *wasm.Budget) (*wasm.Module, error) {
	live, digest, err := d.guest(f.Name)
	if err != nil {
		return nil, err
	}
	if f.Name == t.filter {
		stored, err := d.find(want.Module)
		if err != nil {
			return nil, err
		}
		if f.Module != "" && stored.Name != f.Module {
			return nil, refusal(http.StatusConflict, api.ReasonConflict, "push it under that name", "filter %s takes modules named %s; %.12s was pushed as %s", f.Name, f.Module, stored.SHA256, stored.Name)
		}
		t.running, t.module, t.digest = digest, stored.SHA256, stored.SHA256
		digest = stored.SHA256
	}
	var code []byte
	switch {
	case digest == "":
		return nil, refusal(http.StatusConflict, api.ReasonConflict, "auditrelay module use "+f.Name+" DIGEST", "filter %s of the callback has no module", f.Name)
	case digest == live.config.ModuleDigest():
		code, err = readBounded(f.Wasm, runtime.MaxModuleBytes)
	default:
		code, err = d.rt.Modules().Bytes(digest)
	}
	if err != nil {
		return nil, err
	}
	o := d.build.guestOptions(cfg, f, code, digest)
	o.Budget, o.Logger = budget, d.log.With("shadow", true)
	m, err := wasm.Load(ctx, o)
	if err == nil && f.Name == t.filter {
		err = d.build.requireCases(ctx, f, m)
	}
	if err != nil {
		return nil, refusal(http.StatusUnprocessableEntity, api.ReasonModule, "the filter goes on with the module that it has", "the module cannot run as filter %s: %v", f.Name, err)
	}
	return m, nil
}

// shadowBudget returns the memory budget of a shadow's guests: one instance of each, and one
// while it is replaced. It is separate from that of running guests.
func (d *daemon) shadowBudget(cfg *config.Config, callback *config.Callback) *wasm.Budget {
	var each auditrelay.ByteSize
	for i := range cfg.Filters {
		if f := &cfg.Filters[i]; !f.Native() && slices.Contains(callback.Filters, f.Name) {
			each += 2 * wasm.Limits{Memory: f.Limits.Memory, Stack: f.Limits.Stack}.Footprint()
		}
	}
	return wasm.NewBudget(each)
}

// shadowChange returns the own record of an act on a shadow.
func (d *daemon) shadowChange(by runtime.By, act string, action auditrelay.Action, callback string, t *trial) runtime.Change {
	c := runtime.Change{By: by, Act: act, Action: action, Table: tableShadow, Object: callback, MakesRoom: true}
	what := t.record()
	if action == auditrelay.ActionDeleted {
		c.Before = what
	} else {
		c.After = what
	}
	return c
}

// shadowEnded records the end of a shadow with its counts. If the relay is killed, the next start
// records that the shadow was interrupted.
func (d *daemon) shadowEnded(begun *runtime.Begun, t *trial, r *runtime.ShadowResult) {
	failures := uint64(0)
	for _, n := range r.Failures {
		failures += n
	}
	err := begun.End(struct {
		triedRecord
		End      string `json:"end"`
		Events   uint64 `json:"events"`
		Missed   uint64 `json:"missed"`
		Changed  uint64 `json:"changed"`
		Exposing uint64 `json:"exposing"`
		Failed   uint64 `json:"failed"`
	}{t.record(), r.End, r.Events, r.Missed, r.Changed, r.Exposing, failures}, nil)
	if err != nil {
		d.log.Error("the end of a shadow could not be recorded; the next start records that it was interrupted", "callback", r.Callback, "error", err)
	}
}

// ListShadows returns the shadows' results so far.
func (d *daemon) ListShadows() []api.Shadow {
	results := d.rt.Shadows()
	d.mu.Lock()
	trials := maps.Clone(d.trials)
	d.mu.Unlock()
	all := []api.Shadow{}
	for i := range results {
		if t := trials[results[i].Callback]; t != nil {
			all = append(all, newShadow(&results[i], t))
		}
	}
	return all
}

func newShadow(r *runtime.ShadowResult, t *trial) api.Shadow {
	out := api.Shadow{
		ID: t.id, Callback: r.Callback, Filter: r.Filter, Kind: t.kind(), Digest: t.digest, Running: t.running, By: t.by,
		Started: r.Started.UTC(), Until: r.Until.UTC(), End: r.End, Limit: r.Limit,
		Events: r.Events, Missed: r.Missed, Same: r.Same, Changed: r.Changed, Exposing: r.Exposing, Emitting: r.Emitting,
		Outcomes: []api.ShadowOutcome{}, Failures: r.Failures, Failure: r.Failure, OtherPaths: r.OtherPaths, Examples: r.Examples,
		Now: api.ShadowCost(r.Now), Would: api.ShadowCost(r.Would),
	}
	if !r.Ended.IsZero() {
		out.Ended = r.Ended.UTC()
	}
	if out.Examples == nil {
		out.Examples = []uint64{}
	}
	for _, o := range r.Outcomes {
		out.Outcomes = append(out.Outcomes, api.ShadowOutcome(o))
	}
	for _, p := range r.Paths {
		out.Paths = append(out.Paths, api.ShadowPath(p))
	}
	return out
}

func (d *daemon) shadowOf(callback string) (api.Shadow, error) {
	for _, s := range d.ListShadows() {
		if s.Callback == callback {
			return s, nil
		}
	}
	return api.Shadow{}, runtime.ErrNoShadow
}

// trialSeen returns the trial of a callback's shadow, if it is the one that the user saw.
func (d *daemon) trialSeen(callback string, by runtime.By) (*trial, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if t := d.trials[callback]; t != nil {
		if err := by.Check(t.id); err != nil {
			return nil, fmt.Errorf("the shadow of callback %s: %w", callback, err)
		}
		return t, nil
	}
	return nil, fmt.Errorf("callback %s: %w", callback, runtime.ErrNoShadow)
}

// UseShadow puts a shadow's version in force.
func (d *daemon) UseShadow(ctx context.Context, callback string, by runtime.By) (api.ShadowUsed, error) {
	t, err := d.trialSeen(callback, by)
	if err != nil {
		return api.ShadowUsed{}, err
	}
	if by.Seen != "" {
		by.Seen = t.running // the shadow compared with this version
	}
	if t.module != "" {
		_, err = d.UseModule(ctx, t.filter, api.Use{SHA256: t.module}, by)
	} else {
		_, err = d.UsePolicy(ctx, t.filter, api.UsePolicy{Policy: t.policy}, by)
	}
	if err != nil {
		return api.ShadowUsed{}, err
	}
	return api.ShadowUsed{Filter: t.filter, Digest: t.digest}, d.forgetShadow(callback)
}

// DropShadow ends a shadow and deletes its result.
func (d *daemon) DropShadow(ctx context.Context, callback string, by runtime.By) error {
	t, err := d.trialSeen(callback, by)
	if err != nil {
		return err
	}
	if err := d.rt.Record(ctx, d.shadowChange(by, "drop", auditrelay.ActionDeleted, callback, t)); err != nil {
		return err
	}
	d.log.Info("a shadow was dropped", "callback", callback, "by", by.Principal)
	return d.forgetShadow(callback)
}

func (d *daemon) forgetShadow(callback string) error {
	if err := d.rt.DropShadow(callback); err != nil && !errors.Is(err, runtime.ErrNoShadow) {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.trials, callback)
	return nil
}

// endShadows ends the shadows of callbacks that list a filter, since the version that they
// compare with has changed.
func (d *daemon) endShadows(filter string) {
	for _, callback := range d.users(filter) {
		if err := d.rt.EndShadow(callback, "filter "+filter+" was switched to another version"); err != nil && !errors.Is(err, runtime.ErrNoShadow) {
			d.log.Error("a shadow did not end", "callback", callback, "error", err)
		}
	}
}
