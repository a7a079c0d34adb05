package sources

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"auditrelay/cli/internal/api"
	"auditrelay/config"
)

// Set is the sources of one relay, each kind at most once.
type Set []Source

// Prepare prepares every source. If one fails, it discards the others and returns the
// error.
func (s Set) Prepare(ctx context.Context, cfg *config.Config) (Change, error) {
	all := make([]Change, 0, len(s))
	discard := func() {
		for _, c := range all {
			c.Discard()
		}
	}
	var restart []string
	for _, source := range s {
		change, err := source.Prepare(ctx, cfg)
		if err != nil {
			discard()
			return Change{}, err
		}
		all = append(all, change)
		restart = append(restart, change.Restart...)
	}
	apply := func() {
		for _, c := range all {
			c.Apply()
		}
	}
	return Change{Apply: apply, Discard: discard, Restart: restart}, nil
}

// Run runs every source until ctx ends. If one cannot continue, Run calls broke with its
// error and keeps the others running, so that the caller can shut down in order. broke
// must be safe for concurrent use.
func (s Set) Run(ctx context.Context, broke func(error)) {
	var all sync.WaitGroup
	for _, source := range s {
		all.Go(func() {
			if err := source.Run(ctx); err != nil {
				broke(err)
			}
		})
	}
	all.Wait()
}

// Stop stops every source.
func (s Set) Stop() {
	for _, source := range s {
		source.Stop()
	}
}

// List returns every sender, by kind and name, with the possible causes if it is silent.
func (s Set) List() []api.Source {
	list := []api.Source{}
	for _, source := range s {
		for _, line := range source.Status() {
			if line.Silent {
				line.Causes = causes(source.Silence())
				if own, ok := source.(interface{ SilenceOf(name string) []string }); ok {
					if found := own.SilenceOf(line.Name); found != nil {
						line.Causes = found
					}
				}
			}
			list = append(list, line)
		}
	}
	slices.SortFunc(list, func(a, b api.Source) int {
		return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Name, b.Name))
	})
	return list
}

// causes combines a source's own causes with the shared ones.
func causes(own []string) []string {
	return slices.Concat([]string{
		"LiteLLM without its enterprise licence emits no audit events at all, and does not say so",
		"store_audit_logs is not on over there: litellm_settings.store_audit_logs: true, or LITELLM_STORE_AUDIT_LOGS=true",
	}, own, []string{"nothing has happened: an event comes when a key, team, user or model is changed"})
}

// ErrNothingRead: no source reads a table.
var ErrNothingRead = errors.New("no table is tailed, so that there is nothing to compare with")

// ErrReconciling: one comparison runs at a time.
var ErrReconciling = errors.New("another comparison is under way")

// Reconcile calls the source that can compare its data with the journal, or returns
// ErrNothingRead.
func (s Set) Reconcile(ctx context.Context, want api.Reconcile, fn func(api.Difference) error) (api.Reconciled, error) {
	for _, source := range s {
		if r, ok := source.(Reconciler); ok {
			return r.Reconcile(ctx, want, fn)
		}
	}
	return api.Reconciled{}, ErrNothingRead
}
