package app

import (
	"context"
	"errors"

	"auditrelay"
	"auditrelay/cli/internal/api"
	"auditrelay/cli/internal/http"
	"auditrelay/config"
	"auditrelay/runtime"
)

// Who changed something, where it was nobody with a token.
const (
	byConfigFile = "config file"
	bySignal     = "signal"
)

// reloads reads the configuration again whenever it is told to.
func (d *daemon) reloads(ctx context.Context) {
	for {
		select {
		case <-d.options.Reload:
			// The outcome is logged by Reload itself.
			_, _ = d.Reload(ctx, bySignal)
		case <-ctx.Done():
			return
		}
	}
}

// Reload puts the configuration in force as it stands now: all of it or none. It
// is recorded as an audit event of the relay's own.
func (d *daemon) Reload(ctx context.Context, by string) (api.Reloaded, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	done, err := d.reloadLocked(ctx, by)
	if err != nil {
		d.server.CountReload(false)
		d.log.Error("the configuration was not reloaded; the old one stays in force", "by", by, "error", err)
		return done, err
	}
	d.server.CountReload(true)
	d.log.Info("the configuration was reloaded", "by", by, "changed", done.Changed, "before", done.Before, "after", done.After)
	for _, note := range done.Notes {
		d.log.Warn(note)
	}
	return done, nil
}

func (d *daemon) reloadLocked(ctx context.Context, by string) (api.Reloaded, error) {
	cfg, err := d.load()
	if err != nil {
		return api.Reloaded{}, err
	}
	done := api.Reloaded{Before: d.digest, After: cfg.Digest(d.build.digestKey), Notes: takesRestart(d.cfg, cfg)}
	done.Changed = done.Before != done.After

	// Everything that can fail comes first.
	accounts, err := http.NewAuth(cfg.Tokens)
	if err != nil {
		return done, err
	}
	if err := http.CheckListen(d.address, accounts.Open()); err != nil {
		return done, err
	}
	certs := d.certs
	if (cfg.TLS == config.TLS{}) == (d.certs == nil) {
		if certs, err = newCertificates(cfg.TLS); err != nil {
			return done, err
		}
	}
	callbacks, before, err := d.build.callbacks(ctx, cfg)
	if err != nil {
		return done, err
	}
	if err := d.rt.Apply(ctx, callbacks, cfg.Removed); err != nil {
		return done, err
	}
	d.rt.SetIngest(before)
	if err := errors.Join(d.setTail(cfg), d.useS3(cfg)); err != nil {
		return done, err
	}
	d.build.guests.adopt(d.log)
	if err := d.setStores(cfg); err != nil {
		return done, err // it was checked when the configuration was read
	}
	accounts.AllowOrigins(cfg.Audit.Origins)
	d.server.UseAuth(accounts)
	if d.certs != nil {
		d.certs.current.Store(certs.current.Load())
	}
	d.tellNotes(cfg)
	d.cfg, d.digest = cfg, done.After
	d.setLevel()
	if done.Changed {
		d.record(ctx, by, done.Before, done.After)
	}
	if by == bySignal {
		by = byConfigFile
	}
	d.recordPolicies(ctx, by)
	d.recordKeys(ctx, by)
	return done, nil
}

// takesRestart names what changed and is read at start alone. The new values are
// in force after the next start.
func takesRestart(before, after *config.Config) []string {
	var notes []string
	changed := func(key string, yes bool) {
		if yes {
			notes = append(notes, key+" changed: it takes a restart")
		}
	}
	changed("listen", before.Listen != after.Listen)
	changed("data_dir", before.DataDir != after.DataDir)
	changed("ingest.s3.listen", s3Address(before) != s3Address(after))
	changed("tls: on or off", (before.TLS == config.TLS{}) != (after.TLS == config.TLS{}))
	changed("ingest.limits", before.Ingest.Limits != after.Ingest.Limits)
	changed("ingest.quarantine", before.Ingest.Quarantine != after.Ingest.Quarantine)
	changed("journal", before.Journal != after.Journal)
	changed("metrics.public", before.Metrics != after.Metrics)
	changed("log.format", before.Log.Format != after.Log.Format)
	return notes
}

// s3Address is empty where there is no S3 endpoint.
func s3Address(cfg *config.Config) string {
	if cfg.Ingest.S3 == nil {
		return ""
	}
	return cfg.Ingest.S3.Listen
}

// recordStart records that the relay started with another configuration than it
// ran with before.
func (d *daemon) recordStart(ctx context.Context) {
	last := d.data.lastConfig()
	switch last {
	case d.digest:
	case "":
		if err := d.data.setLastConfig(d.digest); err != nil {
			d.log.Error("cannot keep the configuration's digest", "error", err)
		}
	default:
		d.record(ctx, "start", last, d.digest)
	}
	d.recordPolicies(ctx, byConfigFile)
	d.recordKeys(ctx, byConfigFile)
}

// record tells of a change of the configuration, as an audit event.
func (d *daemon) record(ctx context.Context, by, before, after string) {
	type digest struct {
		Digest string `json:"digest"`
	}
	err := d.rt.Record(ctx, runtime.Change{
		Actor: by, Action: auditrelay.ActionUpdated, Table: "auditrelay_config", Object: "config",
		Before: digest{before}, After: digest{after},
	})
	if err = errors.Join(err, d.data.setLastConfig(after)); err != nil {
		d.log.Error("the change of the configuration could not be recorded", "before", before, "after", after, "error", err)
	}
}
