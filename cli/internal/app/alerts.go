package app

import (
	"context"
	"errors"
	"maps"
	"sync/atomic"
	"time"

	"auditrelay"
	"auditrelay/cli/internal/alerts"
	"auditrelay/runtime"
)

// raisedAlerts is what metrics and readiness show; nil until the first look.
type raisedAlerts struct {
	list atomic.Pointer[[]alerts.Alert]
}

// RaisedAlerts returns the alerts that are raised now.
func (d *daemon) RaisedAlerts() []alerts.Alert {
	if list := d.raised.list.Load(); list != nil {
		return *list
	}
	return nil
}

// watchAlerts looks for trouble and tells it, while callbacks for alerts are configured.
func (d *daemon) watchAlerts(ctx context.Context) {
	state, err := d.rt.AlertState()
	if err != nil {
		d.log.Error("read the state of the alerts; they may be raised again", "error", err)
	}
	machine, err := alerts.Load(state)
	if err != nil {
		d.log.Error("the state of the alerts is not known; they may be raised again", "error", err)
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	failing := false
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		every, err := d.lookForTrouble(ctx, machine)
		if err != nil && !failing && ctx.Err() == nil {
			d.log.Error("alerts cannot be recorded; the relay retries", "error", err)
		}
		failing = err != nil
		raised := machine.Raised()
		d.raised.list.Store(&raised)
		timer.Reset(every)
	}
}

// lookForTrouble checks once, and records the due transitions.
func (d *daemon) lookForTrouble(ctx context.Context, machine *alerts.Machine) (every time.Duration, err error) {
	d.mu.Lock()
	options := d.cfg.Alerts.WithDefaults()
	d.mu.Unlock()
	var found []alerts.Trouble
	now := time.Now()
	if len(options.Callbacks) > 0 {
		callbacks, err := d.rt.Callbacks()
		if err != nil {
			return options.Every, err
		}
		found = append(alerts.Look(now, options, callbacks, d.ways.List(), machine.Raised()), d.canaryTrouble()...)
		last, err := d.rt.LastRollout()
		switch {
		case err == nil:
			found = append(found, alerts.LookAtRollout(now, &last)...)
		case !errors.Is(err, runtime.ErrNoRollout):
			return options.Every, err
		}
	} else if len(machine.Raised()) == 0 {
		return options.Every, nil
	}
	for _, t := range machine.Next(now, found, options.Recovered) {
		state, err := machine.After(t)
		if err == nil {
			err = d.rt.RecordAlert(ctx, alertChange(t), state)
		}
		if err != nil {
			return options.Every, err
		}
		machine.Told(t)
		if t.Over {
			d.log.Info("alert over", "alert", t.Kind, "subject", t.Subject, "raised", t.Raised)
		} else {
			d.log.Warn("alert raised", "alert", t.Kind, "subject", t.Subject)
		}
	}
	return options.Every, nil
}

// alertChange returns the event of a transition. Its object is created when the alert is
// raised, and deleted when it is over.
func alertChange(t alerts.Transition) runtime.Change {
	values := map[string]any{"alert": t.Kind, "subject": t.Subject, "raised": t.Raised.UTC(), "state": "raised"}
	maps.Copy(values, t.Detail)
	c := runtime.Change{By: runtime.By{Principal: "auditrelay"}, MakesRoom: true, Action: auditrelay.ActionCreated, Object: t.ID(), After: values}
	if t.Over {
		values["state"] = "over"
		c.Action = auditrelay.ActionDeleted
	}
	return c
}
