package app

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"auditrelay"
	"auditrelay/runtime"
)

// The table_names of own records about the process and its configuration.
const (
	tableRelay  = "auditrelay_relay"
	tableConfig = "auditrelay_config"
)

// digestOf is a configuration in own records.
type digestOf struct {
	Digest string `json:"digest"`
}

// startChanges returns the own records of a start, which are durable before a callback runs.
// Call recorded once they are. What the first start decides about redaction is stored before
// the configuration's digest, since a digest without it means an older version.
func (d *daemon) startChanges(made *assembled) (all []runtime.Change, recorded func()) {
	file := byFile()
	last := d.data.lastConfig()
	all = []runtime.Change{{By: file, Act: "start", Action: auditrelay.ActionUpdated, Table: tableRelay, Object: "relay", MakesRoom: true,
		Before: map[string]any{"stop_recorded": !d.data.running()}, After: map[string]any{"version": d.options.Version.Version, "config": d.digest}}}
	if d.options.silent {
		all = nil
	}
	if last != d.digest && last != "" {
		all = append(all, runtime.Change{By: runtime.By{Principal: "start"}, Action: auditrelay.ActionUpdated, Table: tableConfig, Object: "config",
			Before: digestOf{last}, After: digestOf{d.digest}, MakesRoom: true})
	}
	policies, policiesDone := d.policyChanges(file, made.texts)
	d.attribute(policies)
	keys, keysDone := d.keyChanges(file, d.cfg)
	return append(append(all, policies...), keys...), func() {
		if err := errors.Join(d.data.setRedaction(d.cfg.Redaction), d.data.setLastConfig(d.digest), d.data.setRunning(true)); err != nil {
			d.log.Error("cannot keep the configuration's digest", "error", err)
		}
		policiesDone()
		keysDone()
	}
}

// reloadChanges returns the own records of a reload, or of another act that changes the
// configuration. The write that puts it in force contains them.
func (d *daemon) reloadChanges(made *prepared, act string, by runtime.By) (all []runtime.Change, recorded func()) {
	all = []runtime.Change{{By: by, Act: act, Action: auditrelay.ActionUpdated, Table: tableConfig, Object: "config",
		Before: digestOf{d.digest}, After: digestOf{made.digest}, MakesRoom: true}}
	if by.Principal == bySignal {
		by = byFile()
	}
	policies, policiesDone := d.policyChanges(by, made.texts)
	keys, keysDone := d.keyChanges(by, made.cfg)
	return append(append(all, policies...), keys...), func() {
		if err := d.data.setLastConfig(made.digest); err != nil {
			d.log.Error("cannot keep the configuration's digest", "error", err)
		}
		policiesDone()
		keysDone()
	}
}

func byFile() runtime.By { return runtime.By{Principal: byConfigFile} }

// recordStop records an orderly stop while the runtime still accepts records.
func (d *daemon) recordStop(ctx context.Context) {
	if d.options.silent {
		return
	}
	by := runtime.By{Principal: bySignal}
	if ctx.Err() == nil {
		by.Principal = "relay" // an input failed
	}
	d.record(ctx, runtime.Change{By: by, Act: "stop", Action: auditrelay.ActionUpdated, Table: tableRelay, Object: "relay", MakesRoom: true})
	if err := d.data.setRunning(false); err != nil {
		d.log.Error("the next start will say that this stop is not on record", "error", err)
	}
}

// record records an act that happened or failed. It logs an error.
func (d *daemon) record(ctx context.Context, c runtime.Change) {
	if err := d.rt.Record(ctx, c); err != nil {
		d.log.Error("it could not be recorded", "act", c.Act, "table", c.Table, "error", err)
	}
}

// running reports whether the relay's last stop is not on record.
func (d dataDir) running() bool {
	_, err := os.Lstat(d.file(runningFile))
	return err == nil
}

const runningFile = "running"

func (d dataDir) setRunning(yes bool) error {
	if yes {
		return WriteFile(d.file(runningFile), nil)
	}
	if err := os.Remove(d.file(runningFile)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
