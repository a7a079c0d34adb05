package app

import (
	"context"
	"errors"
	"fmt"

	"auditrelay"
	"auditrelay/cli/internal/api"
	"auditrelay/cli/internal/sources"
	"auditrelay/config"
	"auditrelay/runtime"
)

// The actors of changes without a token.
const (
	byConfigFile = "config file"
	bySignal     = "signal"
)

// reloads reloads the configuration at each signal.
func (d *daemon) reloads(ctx context.Context) {
	for {
		select {
		case <-d.options.Reload:
			// Reload itself logs the result.
			_, _ = d.Reload(ctx, runtime.By{Principal: bySignal})
		case <-ctx.Done():
			return
		}
	}
}

// Reload puts the current configuration file in force: all of it or nothing. An own record
// records it. If the relay stops before anything has changed, Reload gives up.
func (d *daemon) Reload(ctx context.Context, by runtime.By) (api.Reloaded, error) {
	ctx, done, err := d.change(ctx)
	if err != nil {
		return api.Reloaded{}, err
	}
	defer done()
	if err := by.Check(d.digest); err != nil { // changing is held, so it may be read
		return api.Reloaded{}, fmt.Errorf("the configuration: %w", err)
	}
	made, err := d.read(ctx)
	var told api.Reloaded
	if err == nil {
		told, err = d.enforce(ctx, made, "reload", by)
	}
	if err != nil {
		d.server.CountReload(false)
		d.log.Error("the configuration was not reloaded; the old one stays in force", "by", by.Principal, "error", err)
		d.record(ctx, runtime.Change{By: by, Act: "reload", Action: auditrelay.ActionUpdated, Table: tableConfig, Object: "config", Before: digestOf{d.digest}, Failed: true})
		return api.Reloaded{}, err
	}
	d.forgetPolicies(made.lapsed)
	if d.fleet.member != nil {
		d.fleet.member.SetDigest(fleetDigest(made.plain, d.options.Version))
	}
	d.server.CountReload(true)
	d.log.Info("the configuration was reloaded", "by", by.Principal, "changed", told.Changed, "before", told.Before, "after", told.After)
	for _, note := range told.Notes {
		d.log.Warn(note)
	}
	return told, nil
}

// enforce puts a prepared configuration in force, or discards it.
func (d *daemon) enforce(ctx context.Context, made *prepared, act string, by runtime.By) (api.Reloaded, error) {
	if err := errors.Join(d.rt.Texts().Keep(made.texts...), d.step("callbacks in force")); err != nil {
		d.discard(made)
		return api.Reloaded{}, err
	}
	changes, recorded := d.reloadChanges(made, act, by)
	if err := d.rt.Apply(ctx, made.callbacks, made.cfg.Removed, changes...); err != nil {
		d.build.discardGuests(made.assembled)
		made.sources.Discard()
		return api.Reloaded{}, err
	}
	recorded()
	d.keptFiles()
	return d.put(made), nil
}

// prepared is a configuration that is ready to be put in force.
type prepared struct {
	*assembled
	cfg     *config.Config
	plain   *config.Config // cfg as read, without selected policies
	lapsed  []string       // filters whose selected policies no longer apply
	digest  string
	sources sources.Change
	stores  []store
	serves  string // the store that the audit API reads
}

// read prepares the configuration from its current file.
func (d *daemon) read(ctx context.Context) (*prepared, error) {
	if err := d.step("configuration"); err != nil {
		return nil, err
	}
	plain, err := d.load()
	if err != nil {
		return nil, err
	}
	all, err := d.data.selectedPolicies()
	if err != nil {
		return nil, err
	}
	cfg, lapsed, err := withSelected(plain, all)
	if err != nil {
		return nil, err
	}
	made, err := d.prepare(ctx, plain, cfg)
	if err == nil {
		made.lapsed = lapsed
	}
	return made, err
}

// prepare creates everything that a configuration names. Everything that can fail fails here,
// before the first change. Compiling guests may take minutes, so prepare holds no lock that
// requests need.
func (d *daemon) prepare(ctx context.Context, plain, cfg *config.Config) (made *prepared, err error) {
	made = &prepared{cfg: cfg, plain: plain}
	made.digest = made.cfg.Digest(d.build.digestKey)
	if err := d.step("stores"); err != nil {
		return nil, err
	}
	if made.stores, made.serves, err = d.build.storesOf(made.cfg); err != nil {
		return nil, err
	}
	if err := d.step("sources"); err != nil {
		return nil, err
	}
	if made.sources, err = d.ways.Prepare(ctx, made.cfg); err != nil {
		return nil, err
	}
	if err = d.step("sinks and filters"); err == nil {
		made.assembled, err = d.build.assemble(ctx, made.cfg)
	}
	if err != nil {
		made.sources.Discard()
		return nil, err
	}
	if err = errors.Join(d.step("all is made"), ctx.Err()); err != nil {
		d.discard(made)
		return nil, err
	}
	return made, nil
}

func (d *daemon) discard(made *prepared) {
	d.build.discard(made.assembled)
	made.sources.Discard()
}

// put puts a prepared configuration in force, after the runtime has its callbacks. It cannot
// fail.
func (d *daemon) put(made *prepared) api.Reloaded {
	d.rt.SetIngest(made.ingest)
	d.rt.SetApprovals(approvalsOf(made.cfg))
	made.sources.Apply()
	d.stores.set(made.stores, made.serves)
	d.build.memory = made.memory
	d.build.budget.Resize(made.memory)

	d.mu.Lock()
	told := api.Reloaded{Before: d.digest, After: made.digest, Changed: d.digest != made.digest, Notes: takesRestart(d.cfg, made.cfg)}
	d.cfg, d.configured, d.digest = made.cfg, made.plain, made.digest
	d.build.guests.adopt(made.guests)
	d.mu.Unlock()

	for _, key := range made.sources.Restart {
		told.Notes = append(told.Notes, restart(key))
	}
	d.setLevel(made.cfg)
	d.tellNotes(made.cfg)
	d.build.guests.forget(d.log)
	d.inForce(made.texts)
	return told
}

// change waits for its turn, since only one change runs at a time. The context also ends with
// the relay.
func (d *daemon) change(ctx context.Context) (_ context.Context, done func(), err error) {
	select {
	case d.changing <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	case <-d.stopping.Done():
		return nil, nil, runtime.ErrClosed
	}
	ctx, cancel := context.WithCancel(ctx)
	unhook := context.AfterFunc(d.stopping, cancel)
	return ctx, func() {
		unhook()
		cancel()
		<-d.changing
	}, nil
}

// step lets a test make a reload fail.
func (d *daemon) step(name string) error {
	if d.options.step == nil {
		return nil
	}
	return d.options.step(name)
}

func restart(key string) string { return key + " changed: it takes a restart" }

// takesRestart returns the changed options that are only read at the start. Their new values
// apply after the next start.
func takesRestart(before, after *config.Config) []string {
	var notes []string
	changed := func(key string, yes bool) {
		if yes {
			notes = append(notes, restart(key))
		}
	}
	changed("listen", before.Listen != after.Listen)
	changed("socket", before.Socket.Path != after.Socket.Path || before.Socket.Mode != after.Socket.Mode || before.Socket.Group != after.Socket.Group)
	changed("data_dir", before.DataDir != after.DataDir)
	changed("ingest.limits", before.Ingest.Limits != after.Ingest.Limits)
	changed("ingest.quarantine", before.Ingest.Quarantine != after.Ingest.Quarantine)
	changed("delivery", before.Delivery != after.Delivery)
	changed("journal", before.Journal != after.Journal)
	changed("control", before.Control != after.Control)
	changed("metrics.public", before.Metrics != after.Metrics)
	changed("log.format", before.Log.Format != after.Log.Format)
	return notes
}
