package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"auditrelay"
	"auditrelay/cli/internal/api"
	"auditrelay/config"
	"auditrelay/filter"
	"auditrelay/runtime"
)

// Limits of a trial in the relay, since it runs in parallel with deliveries.
const (
	maxSampled     = 1000 // accepted events
	maxSent        = 100  // events in the request itself
	defaultSampled = 20
	maxTrialTime   = 20 * time.Second
)

// asJSON returns a record as JSON: itself, or a line of text as a string.
func asJSON(record []byte) json.RawMessage {
	if len(record) == 0 || record[0] == '{' {
		return record
	}
	quoted, _ := json.Marshal(string(record)) // a string always encodes
	return quoted
}

// NewTried returns a trial in the form of the API and --json. It refers to e's data.
func NewTried(e *auditrelay.Event, t *runtime.Trial) api.Tried {
	out := api.Tried{Sequence: e.Sequence, ID: e.ID, Outcome: t.Outcome, Cause: t.Cause, Filter: t.Filter, Reason: t.Reason,
		Filters: []api.TriedFilter{}, Before: e.Data, After: t.Data, Record: asJSON(t.Record)}
	if t.Err != nil {
		out.Error = t.Err.Error()
	}
	for _, s := range t.Steps {
		f := api.TriedFilter{Filter: s.Filter, Verdict: s.Verdict.String(), Reason: s.Reason, Fuel: s.Usage.Fuel, Memory: s.Usage.Memory,
			Digest: s.Description.Digest, Version: s.Description.Version}
		for _, touch := range s.Touched {
			f.Touched = append(f.Touched, api.Touch{Path: touch.Path, Operation: touch.Operation, Count: touch.Count})
		}
		if s.Err != nil {
			f.Error = s.Err.Error()
		}
		out.Filters = append(out.Filters, f)
	}
	for _, r := range t.Emitted {
		out.Emitted = append(out.Emitted, api.TriedRecord{Target: r.Target, Filter: r.Filter, Data: r.Data})
	}
	return out
}

// sampled returns the events of a trial.
func (d *daemon) sampled(s api.Sample) ([]auditrelay.Event, error) {
	bad := func(field, message string) error {
		return &api.Error{Status: http.StatusBadRequest, Reason: api.ReasonBadRequest, Field: field, Message: message}
	}
	if len(s.Events) == 0 {
		limit := s.Limit
		if limit == 0 {
			limit = defaultSampled
		}
		if limit < 1 || limit > maxSampled {
			return nil, bad("limit", fmt.Sprintf("expected 1 to %d", maxSampled))
		}
		events, _, err := d.rt.Stored(s.From, limit)
		return events, err
	}
	if len(s.Events) > maxSent {
		return nil, bad("events", fmt.Sprintf("%d events, at most %d", len(s.Events), maxSent))
	}
	events := make([]auditrelay.Event, 0, len(s.Events))
	for i, data := range s.Events {
		e, err := runtime.ParseEvent(data, d.rt.Limits())
		if err != nil {
			return nil, bad(fmt.Sprintf("events[%d]", i), err.Error())
		}
		events = append(events, e)
	}
	return events, nil
}

// draft creates a native filter of the configuration again, with another policy.
func (d *daemon) draft(ctx context.Context, name, text string) (before, after *Policy, err error) {
	d.mu.Lock()
	cfg := d.cfg
	d.mu.Unlock()
	i := slices.IndexFunc(cfg.Filters, func(f config.Filter) bool { return f.Name == name && f.Native() })
	if i < 0 {
		return nil, nil, &api.Error{Status: http.StatusNotFound, Reason: api.ReasonNotFound, Field: "filter", Message: "no native filter has this name"}
	}
	section, err := config.ReadSection("policy", []byte(text))
	if err == nil {
		after, err = newPolicy(ctx, "draft", section, cfg.CurrentKeys(), cfg.Catalogue())
	}
	if err != nil {
		return nil, nil, &api.Error{Status: http.StatusUnprocessableEntity, Reason: api.ReasonConfig, Field: "policy", Message: err.Error()}
	}
	before, err = newPolicy(ctx, name, *cfg.Filters[i].Redact, cfg.CurrentKeys(), cfg.Catalogue())
	return before, after, err
}

// Try runs events through a running callback's filters. A reload or a switch of modules waits
// for it, at most maxTrialTime.
func (d *daemon) Try(ctx context.Context, want api.Try) ([]api.Tried, error) {
	ctx, done, err := d.change(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	ctx, cancel := context.WithTimeout(ctx, maxTrialTime)
	defer cancel()
	with := map[string]filter.Filter{}
	if want.Policy != "" {
		_, after, err := d.draft(ctx, want.Filter, want.Policy)
		if err != nil {
			return nil, err
		}
		with[want.Filter] = after.filter
	}
	if want.Module != "" {
		m, err := d.triedModule(ctx, want)
		if err != nil {
			return nil, err
		}
		defer func() { _ = m.Close() }()
		with[want.Filter] = m
	}
	events, err := d.sampled(want.Sample)
	if err != nil {
		return nil, err
	}
	trials, err := d.rt.Try(ctx, want.Callback, with, events)
	if err != nil {
		return nil, tooLong(err)
	}
	out := make([]api.Tried, 0, len(trials))
	for i := range trials {
		out = append(out, NewTried(&events[i], &trials[i]))
	}
	return out, nil
}

// tooLong reports that a trial exceeded its time.
func tooLong(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return &api.Error{Status: http.StatusServiceUnavailable, Reason: api.ReasonBusy,
			Message: fmt.Sprintf("the trial took longer than %v", maxTrialTime), Hint: "try fewer events"}
	}
	return err
}

// PolicyDiff compares a draft with the policy in force on events.
func (d *daemon) PolicyDiff(ctx context.Context, want api.PolicyDiff) (api.PolicyChange, error) {
	ctx, cancel := context.WithTimeout(ctx, maxTrialTime)
	defer cancel()
	before, after, err := d.draft(ctx, want.Filter, want.Policy)
	if err != nil {
		return api.PolicyChange{}, err
	}
	events, err := d.sampled(want.Sample)
	if err != nil {
		return api.PolicyChange{}, err
	}
	change := NewPolicyChange(before, after)
	for i := range events {
		if _, _, _, err := change.Compare(ctx, before, after, &events[i]); err != nil {
			return api.PolicyChange{}, tooLong(err)
		}
		if err := ctx.Err(); err != nil {
			return api.PolicyChange{}, tooLong(err)
		}
	}
	return change.PolicyChange, nil
}

// ListPolicies returns the policies in force, by name.
func (d *daemon) ListPolicies() ([]api.PolicyInForce, error) {
	d.mu.Lock()
	cfg, plain := d.cfg, d.configured
	d.mu.Unlock()
	native, err := d.build.native(cfg)
	if err != nil {
		return nil, err
	}
	selected, err := d.data.selectedPolicies()
	if err != nil {
		return nil, err
	}
	out := []api.PolicyInForce{}
	for _, t := range policiesOf(cfg, native) {
		p := api.PolicyInForce{Name: t.Name, Kind: t.Kind, Digest: t.Digest, Callbacks: []string{}, Source: "configuration"}
		if s := selected[t.Name]; t.Kind == textPolicy && s.holds(plain, t.Name) {
			if p.Previous, p.From = true, s.From; s.Policy != "" {
				p.Source = "selected"
			}
		}
		for i := range cfg.Callbacks {
			c := &cfg.Callbacks[i]
			uses := t.Kind == textPolicy && slices.Contains(c.Filters, t.Name)
			if uses || t.Kind == textGate && t.Name == gateName(c.Name) {
				p.Callbacks = append(p.Callbacks, c.Name)
			}
		}
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b api.PolicyInForce) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}
