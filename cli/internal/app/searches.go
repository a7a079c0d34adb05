package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"auditrelay"
	"auditrelay/cli/internal/api"
	"auditrelay/runtime"
)

// tableSearch is the table_name of own records about saved searches.
const tableSearch = "auditrelay_search"

const (
	searchesFile = "searches.json"
	maxSearches  = 200
)

// ListSearches returns the saved searches, by name.
func (d *daemon) ListSearches() ([]api.SavedSearch, error) {
	all := []api.SavedSearch{}
	text, err := os.ReadFile(d.data.file(searchesFile))
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil {
		return nil, fmt.Errorf("the saved searches: %w; remove the file %s to begin anew", err, searchesFile)
	}
	return all, nil
}

// SaveSearch saves a search that the caller has checked.
func (d *daemon) SaveSearch(ctx context.Context, want api.SaveSearch, by runtime.By) (api.SavedSearch, error) {
	s := api.SavedSearch{Name: want.Name, Query: want.Query, By: by.Principal, Saved: time.Now().UTC()}
	return s, d.changeSearches(ctx, by, "save", s.Name, func(all []api.SavedSearch) ([]api.SavedSearch, error) {
		all = slices.DeleteFunc(all, func(o api.SavedSearch) bool { return o.Name == s.Name })
		if len(all) >= maxSearches {
			return nil, refusal(http.StatusConflict, api.ReasonConflict, "delete some", "there are %d saved searches, no more are kept", maxSearches)
		}
		return append(all, s), nil
	})
}

// ForgetSearch deletes a saved search.
func (d *daemon) ForgetSearch(ctx context.Context, name string, by runtime.By) error {
	return d.changeSearches(ctx, by, "delete", name, func(all []api.SavedSearch) ([]api.SavedSearch, error) {
		n := len(all)
		if all = slices.DeleteFunc(all, func(o api.SavedSearch) bool { return o.Name == name }); len(all) == n {
			return nil, refusal(http.StatusNotFound, api.ReasonNotFound, "GET /v1/searches lists them", "no saved search %.64q", name)
		}
		return all, nil
	})
}

// changeSearches makes a change and records it.
func (d *daemon) changeSearches(ctx context.Context, by runtime.By, act, name string, change func([]api.SavedSearch) ([]api.SavedSearch, error)) error {
	ctx, done, err := d.change(ctx)
	if err != nil {
		return err
	}
	defer done()
	all, err := d.ListSearches()
	if err != nil {
		return err
	}
	queryOf := func(all []api.SavedSearch) any {
		for _, s := range all {
			if s.Name == name {
				return map[string]string{"query": s.Query}
			}
		}
		return nil
	}
	before := queryOf(all)
	after, err := change(slices.Clone(all))
	if err != nil {
		return err
	}
	slices.SortFunc(after, func(a, b api.SavedSearch) int { return strings.Compare(a.Name, b.Name) })
	action := auditrelay.ActionUpdated
	switch {
	case before == nil:
		action = auditrelay.ActionCreated
	case queryOf(after) == nil:
		action = auditrelay.ActionDeleted
	}
	c := runtime.Change{By: by, Act: act, Action: action, Table: tableSearch, Object: name, Before: before, After: queryOf(after), MakesRoom: act == "delete"}
	if err := d.rt.Record(ctx, c); err != nil {
		return err
	}
	text, err := json.MarshalIndent(after, "", "  ")
	if err != nil {
		return err
	}
	if err := WriteFile(d.data.file(searchesFile), append(text, '\n')); err != nil {
		return err
	}
	return d.keepFiles()
}
