package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	goruntime "runtime"
	"slices"

	"auditrelay"
	"auditrelay/builtin/wasm"
	"auditrelay/cli/internal/api"
	"auditrelay/config"
	"auditrelay/filter"
	"auditrelay/runtime"
)

// The kinds of versions in rollouts and shadows.
const (
	kindModule = "module"
	kindPolicy = "policy"
)

// StartRollout starts a rollout: a new version of a filter processes a share of the events.
func (d *daemon) StartRollout(ctx context.Context, want api.StartRollout, by runtime.By) (api.Rollout, error) {
	ctx, done, err := d.change(ctx)
	if err != nil {
		return api.Rollout{}, err
	}
	defer done()
	if (want.Module == "") == (want.Policy == "") {
		return api.Rollout{}, badField("", "expected one of module and policy")
	}
	if last, err := d.rt.LastRollout(); err == nil && last.State == runtime.RolloutRunning {
		return api.Rollout{}, fmt.Errorf("filter %s: %w", last.Filter, runtime.ErrRollout)
	}
	d.mu.Lock()
	cfg := d.cfg
	d.mu.Unlock()
	if len(d.users(want.Filter)) == 0 {
		return api.Rollout{}, refusal(http.StatusNotFound, api.ReasonNotFound, hintFilters, "no callback lists a filter %.64q", want.Filter)
	}
	i := slices.IndexFunc(cfg.Filters, func(f config.Filter) bool { return f.Name == want.Filter })
	if i < 0 || cfg.Filters[i].Native() != (want.Policy != "") {
		return api.Rollout{}, badField("", "expected a policy for a native filter, a module for a guest")
	}
	o := runtime.Rollout{Filter: want.Filter, Share: want.Share, Bound: want.Bound, Events: want.Events, Policy: want.Policy}
	var version filter.Filter
	if want.Policy != "" {
		version, err = d.rolloutPolicy(ctx, &o)
	} else {
		version, err = d.rolloutModule(ctx, cfg, want.Module, &o)
	}
	if err != nil {
		return api.Rollout{}, err
	}
	if err := by.Check(o.Running); err != nil {
		return api.Rollout{}, errors.Join(fmt.Errorf("filter %s: %w", o.Filter, err), version.Close())
	}
	if o.Digest == o.Running {
		return api.Rollout{}, errors.Join(refusal(http.StatusConflict, api.ReasonConflict, "", "filter %s has this version", o.Filter), version.Close())
	}
	status, err := d.rt.StartRollout(ctx, o, version, by)
	return newRollout(&status), err
}

// rolloutPolicy opens a policy for a rollout, and stores its text, since receipts name it.
func (d *daemon) rolloutPolicy(ctx context.Context, o *runtime.Rollout) (filter.Filter, error) {
	if len(o.Policy) > maxPolicy {
		return nil, badField("policy", "%d bytes, at most %d", len(o.Policy), maxPolicy)
	}
	before, after, err := d.draft(ctx, o.Filter, o.Policy)
	if err != nil {
		return nil, err
	}
	o.Kind, o.Running, o.Digest = kindPolicy, before.Digest(), after.Digest()
	if err := d.rt.Texts().Keep(runtime.Text{Digest: after.Digest(), Kind: textPolicy, Name: o.Filter, Text: string(after.filter.Text())}); err != nil {
		return nil, errors.Join(err, after.filter.Close())
	}
	return after.filter, nil
}

// rolloutModule loads an uploaded module for a rollout.
func (d *daemon) rolloutModule(ctx context.Context, cfg *config.Config, digest string, o *runtime.Rollout) (filter.Filter, error) {
	stored, err := d.find(digest)
	if err != nil {
		return nil, err
	}
	live, running, err := d.guest(o.Filter)
	if err != nil {
		return nil, err
	}
	switch {
	case live.config.Module != "" && stored.Name != live.config.Module:
		return nil, refusal(http.StatusConflict, api.ReasonConflict, "push it under that name", "filter %s takes modules named %s; %.12s was pushed as %s", o.Filter, live.config.Module, stored.SHA256, stored.Name)
	case running == "":
		return nil, refusal(http.StatusConflict, api.ReasonConflict, "auditrelay module use "+o.Filter+" DIGEST", "filter %s has no module", o.Filter)
	}
	m, err := d.loadRollout(ctx, cfg, live.config, stored.SHA256)
	if err != nil {
		return nil, refusal(http.StatusUnprocessableEntity, api.ReasonModule, "the filter goes on with the module that it has", "the module cannot run as filter %s: %v", o.Filter, err)
	}
	o.Kind, o.Running, o.Digest = kindModule, running, stored.SHA256
	if err := d.keepModule(stored); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// loadRollout loads a module in addition to the one that its filter runs. Its memory has a
// separate budget, for one more filter of the same callbacks.
func (d *daemon) loadRollout(ctx context.Context, cfg *config.Config, f *config.Filter, digest string) (*wasm.Module, error) {
	code, err := d.rt.Modules().Bytes(digest)
	if err != nil {
		return nil, err
	}
	return d.build.loadRollout(ctx, cfg, f, code, digest)
}

func (a *assembler) loadRollout(ctx context.Context, cfg *config.Config, f *config.Filter, code []byte, digest string) (*wasm.Module, error) {
	instances := 1
	for i := range cfg.Callbacks {
		if slices.Contains(cfg.Callbacks[i].Filters, f.Name) {
			instances += goruntime.GOMAXPROCS(0)
		}
	}
	o := a.guestOptions(cfg, f, code, digest)
	o.Budget, o.Logger = wasm.NewBudget(wasm.Limits{Memory: f.Limits.Memory, Stack: f.Limits.Stack}.Footprint()*auditrelay.ByteSize(instances)), a.log.With("rollout", true)
	m, err := wasm.Load(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := a.requireCases(ctx, f, m); err != nil { // requireCases closed the module
		return nil, err
	}
	return m, nil
}

// openRollout opens the version of the rollout that was in progress when the relay ended. code
// returns an uploaded module's bytes.
func (d *daemon) openRollout(ctx context.Context, code func(digest string) ([]byte, error), o runtime.Rollout) (filter.Filter, error) {
	i := slices.IndexFunc(d.cfg.Filters, func(f config.Filter) bool { return f.Name == o.Filter })
	if i < 0 || d.cfg.Filters[i].Native() != (o.Kind == kindPolicy) {
		return nil, errors.New("the configuration has no such filter any more")
	}
	if taken := d.data.takenBack(o.ID); taken != nil {
		return nil, taken
	}
	f := &d.cfg.Filters[i]
	if o.Kind == kindPolicy {
		section, version, err := readPolicy(d.cfg, o.Policy)
		switch {
		case err != nil:
			return nil, err // not a nil *redact.Filter
		case string(section.Text()) == string(f.Redact.Text()):
			return version, runtime.ErrRolloutInForce
		}
		return version, nil
	}
	if live := d.build.guests.live[o.Filter]; live != nil && live.running == o.Digest {
		return nil, runtime.ErrRolloutInForce
	}
	bytes, err := code(o.Digest)
	if err != nil {
		return nil, err
	}
	m, err := d.build.loadRollout(ctx, d.cfg, f, bytes, o.Digest)
	if err != nil {
		return nil, err // not a nil *wasm.Module, since the runtime closes what it gets
	}
	return m, nil
}

// PromoteRollout puts the version of a rollout in force for all events.
func (d *daemon) PromoteRollout(ctx context.Context, name string, by runtime.By) (api.Rollout, error) {
	status, err := d.rt.Promote(ctx, name, by, func(o runtime.Rollout) (err error) {
		by.Seen = "" // it names the rollout and is already checked
		if o.Kind == kindPolicy {
			_, err = d.usePolicy(ctx, name, api.UsePolicy{Policy: o.Policy}, by)
		} else {
			_, err = d.useModule(ctx, name, api.Use{SHA256: o.Digest}, by)
		}
		return err
	})
	return newRollout(&status), err
}

// RollBack makes the version in force process all events again.
func (d *daemon) RollBack(ctx context.Context, name string, by runtime.By) (api.Rollout, error) {
	status, err := d.rt.RollBack(ctx, name, by)
	taken, ok := errors.AsType[*runtime.TakenBackError](err)
	if !ok {
		return newRollout(&status), err
	}
	d.log.Error("a rollout was taken back, and the journal cannot record that; it is tried again", "filter", name, "error", taken.Err)
	hint := "it is recorded as soon as the journal takes it, or at the next start"
	if d.inFleet() { // the note stays on this machine
		hint = "it is recorded as soon as the journal takes it; if another relay leads before that, roll back again"
	}
	if err := d.data.setTakenBack(taken); err != nil {
		d.log.Error("the note that a rollout was rolled back could not be written: if the relay restarts before the journal records it, roll it back again", "filter", name, "error", err)
		hint = "if the relay starts anew before it is recorded, roll back again"
	}
	return api.Rollout{}, refusal(http.StatusServiceUnavailable, api.ReasonUnavailable, hint, "the new version judges no event any more, but the journal cannot record that yet")
}

// ListRollouts returns the rollout in progress, or the last one.
func (d *daemon) ListRollouts() ([]api.Rollout, error) {
	status, err := d.rt.LastRollout()
	switch {
	case errors.Is(err, runtime.ErrNoRollout):
		return []api.Rollout{}, nil
	case err != nil:
		return nil, err
	}
	return []api.Rollout{newRollout(&status)}, nil
}

func newRollout(s *runtime.RolloutStatus) api.Rollout {
	out := api.Rollout{
		ID: s.ID, Filter: s.Filter, Kind: s.Kind, Digest: s.Digest, Running: s.Running, Share: s.Share, Bound: s.Bound, Events: s.Events,
		State: string(s.State), Why: s.Why, From: s.From, Started: s.Started, By: s.By, Ended: s.Ended, EndedBy: s.EndedBy, Counts: []api.RolloutCount{},
	}
	for _, c := range s.Counts {
		out.Counts = append(out.Counts, api.RolloutCount(c))
	}
	return out
}

// rolling rejects a change of a filter while its rollout is in progress.
func (d *daemon) rolling(name string) error {
	last, err := d.rt.LastRollout()
	if err != nil || last.State != runtime.RolloutRunning || last.Filter != name {
		return nil //nolint:nilerr // there is none
	}
	return fmt.Errorf("filter %s: %w", name, runtime.ErrRollout)
}
