package app

import (
	"context"
	"maps"
	"slices"
	"time"

	"auditrelay"
	"auditrelay/cli/internal/alerts"
	"auditrelay/runtime"
)

// canaryLook is how often the relay checks a canary in progress, or the configuration.
const canaryLook = time.Second

// watchCanaries sends canaries while the configuration requires it, and records each result.
func (d *daemon) watchCanaries(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	failing := false
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		err := d.canaryTurn(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			d.log.Error("canaries cannot be sent or recorded; the relay retries", "error", err)
		}
		failing = err != nil
		timer.Reset(canaryLook)
	}
}

// canaryTurn does what is due: it records the last canary's result, or sends a new one.
func (d *daemon) canaryTurn(ctx context.Context) error {
	d.mu.Lock()
	options, expected := d.cfg.Canary.WithDefaults(), d.cfg.Expected()
	d.mu.Unlock()
	last, err := d.rt.LastCanary()
	if err != nil {
		return err
	}
	d.keepExpected(d.canary.Load(), expected)
	switch {
	case last != nil && !last.Ended:
		return d.judgeCanary(ctx, last, expected, options.Within)
	case options.Every <= 0:
		d.canary.Store(nil) // nothing is configured, so nothing is missing
		return nil
	case last != nil:
		d.keepExpected(last, expected)
	}
	if last != nil && time.Since(last.Sent) < options.Every {
		return nil
	}
	_, err = d.rt.SendCanary(ctx, options.ReadBack...)
	return err
}

// keepExpected stores the results of a canary without the callbacks that no longer expect one:
// those that were removed, or taken off the list.
func (d *daemon) keepExpected(c *runtime.Canary, expected []string) {
	if c == nil {
		return
	}
	results := map[string]runtime.CanaryResult{}
	for name, result := range c.Results {
		if slices.Contains(expected, name) {
			results[name] = result
		}
	}
	d.canary.Store(&runtime.Canary{ID: c.ID, Sequence: c.Sequence, Sent: c.Sent, Ended: c.Ended, Results: results})
}

// judgeCanary records a canary's results once they are final or its time is over.
func (d *daemon) judgeCanary(ctx context.Context, c *runtime.Canary, expected []string, within time.Duration) error {
	all, err := d.rt.CanaryResults(ctx, c)
	if err != nil {
		return err
	}
	results := map[string]runtime.CanaryResult{}
	open, bad := false, []string{}
	for _, name := range expected {
		result, ok := all[name]
		if !ok {
			result = runtime.CanaryPending
		}
		if result == runtime.CanaryLater {
			continue // expected from the next canary on
		}
		results[name] = result
		open = open || result == runtime.CanaryPending
		if result != runtime.CanaryMasked {
			bad = append(bad, name)
		}
	}
	if open && time.Since(c.Sent) < within {
		return nil
	}
	change := runtime.Change{By: runtime.By{Principal: "auditrelay"}, Act: "canary", Action: auditrelay.ActionUpdated, Failed: len(bad) > 0, MakesRoom: true,
		After: map[string]any{"sent": c.Sent, "masked_everywhere": len(bad) == 0, "callbacks": results}}
	if err := d.rt.EndCanary(ctx, c, results, change); err != nil {
		return err
	}
	before := d.canary.Swap(c)
	if before == nil || !maps.Equal(before.Results, results) {
		for _, name := range slices.Sorted(maps.Keys(results)) {
			if results[name] != runtime.CanaryMasked {
				d.log.Error("a canary did not arrive masked", "callback", name, "result", results[name], "canary", c.ID)
			}
		}
		if len(bad) == 0 {
			d.log.Info("a canary arrived masked at every destination (not logged again while that stays so)", "callbacks", len(results))
		}
	}
	return nil
}

// CanaryResults returns the results of the last finished canary, by callback.
func (d *daemon) CanaryResults() (map[string]runtime.CanaryResult, time.Time) {
	if c := d.canary.Load(); c != nil {
		return c.Results, c.Sent
	}
	return nil, time.Time{}
}

// canaryTrouble returns the callbacks at which the last canary did not arrive masked.
func (d *daemon) canaryTrouble() (found []alerts.Trouble) {
	c := d.canary.Load()
	if c == nil {
		return nil
	}
	for name, result := range c.Results {
		if result != runtime.CanaryMasked {
			found = append(found, alerts.Trouble{Kind: alerts.Canary, Subject: name, Detail: map[string]any{"result": result, "sent": c.Sent, "canary": c.ID}})
		}
	}
	return found
}
