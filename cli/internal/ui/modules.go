package ui

import (
	"context"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"auditrelay/cli/internal/api"
)

type modulesView struct {
	Filters []api.Filter
	Modules []moduleRow
}

// moduleRow is an uploaded module and a description of what it asks for.
type moduleRow struct {
	api.Module
	Asks string
}

// asked caches what modules ask for, by digest, because finding out requires reading the whole
// module. It is safe for concurrent use.
type asked struct {
	mu  sync.Mutex
	all map[string]string
}

const maxAsked = 1000

func (a *asked) of(ctx context.Context, v *visit, digest string) (string, error) {
	a.mu.Lock()
	text, ok := a.all[digest]
	a.mu.Unlock()
	if ok {
		return text, nil
	}
	seen, err := v.api.InspectModule(ctx, digest)
	if err != nil {
		return "", err
	}
	text = asksText(seen.Asks)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.all == nil || len(a.all) >= maxAsked {
		a.all = map[string]string{}
	}
	a.all[digest] = text
	return text, nil
}

// asksText describes what a manifest asks for.
func asksText(a *api.Asks) string {
	if a == nil {
		return "nothing: it has no manifest"
	}
	var parts []string
	list := func(what string, items []string) {
		if len(items) > 0 {
			parts = append(parts, what+" "+strings.Join(items, ", "))
		}
	}
	list("to write", a.Writes)
	list("keys", a.Keys)
	list("metrics", a.Metrics)
	if a.Emits {
		parts = append(parts, "to emit")
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, "; ")
}

func (v *visit) modules() error {
	ctx := v.r.Context()
	filters, err := v.api.Filters(ctx)
	if err != nil {
		return err
	}
	modules, err := v.api.Modules(ctx)
	if err != nil {
		return err
	}
	slices.SortFunc(modules, func(a, b api.Module) int { return b.Pushed.Compare(a.Pushed) })
	out := modulesView{Filters: filters}
	for _, m := range modules {
		row := moduleRow{Module: m}
		if row.Asks, err = v.asked.of(ctx, v, m.SHA256); err != nil {
			row.Asks = "unknown"
		}
		out.Modules = append(out.Modules, row)
	}
	return v.show("modules", "Modules", out)
}

type moduleView struct {
	api.Inspection
	Filters  []api.Filter
	Grants   []grantsView
	Stored   *api.Module  // nil: not stored, or deleted
	Versions []api.Module // with the same name, newest first
	Running  []api.Filter // filters that run it
}

// grantsView is what a filter grants, and which of the module's requests it does not grant.
type grantsView struct {
	Filter           string
	Granted, Missing []string
}

// compareGrants compares a module's manifest with the grants of filters.
func compareGrants(asks *api.Asks, filters []api.Filter) (all []grantsView) {
	for _, f := range filters {
		g := grantsView{Filter: f.Name}
		list := func(what string, granted, asked []string) {
			if len(granted) > 0 {
				g.Granted = append(g.Granted, what+": "+strings.Join(granted, ", "))
			}
			for _, one := range asked {
				if len(granted) == 0 || what != "write" && !slices.Contains(granted, one) { // which paths are written depends on the event
					g.Missing = append(g.Missing, what+": "+one)
				}
			}
		}
		var a api.Asks
		if asks != nil {
			a = *asks
		}
		list("write", f.Grants.Write, a.Writes)
		list("keys", f.Grants.Keys, a.Keys)
		list("metrics", f.Grants.Metrics, a.Metrics)
		list("emit", f.Grants.Emit, nil)
		if a.Emits && len(f.Grants.Emit) == 0 {
			g.Missing = append(g.Missing, "emit")
		}
		all = append(all, g)
	}
	return all
}

func (v *visit) module() error {
	ctx := v.r.Context()
	inspection, err := v.api.InspectModule(ctx, v.r.PathValue("digest"))
	if err != nil {
		return err
	}
	filters, err := v.api.Filters(ctx)
	if err != nil {
		return err
	}
	modules, err := v.api.Modules(ctx)
	if err != nil {
		return err
	}
	out := moduleView{Inspection: inspection, Filters: filters, Grants: compareGrants(inspection.Asks, filters)}
	for i := range modules {
		if modules[i].SHA256 == inspection.SHA256 {
			out.Stored = &modules[i]
		}
	}
	if out.Stored != nil {
		for _, m := range modules {
			if m.Name == out.Stored.Name {
				out.Versions = append(out.Versions, m)
			}
		}
		slices.SortFunc(out.Versions, func(a, b api.Module) int { return b.Pushed.Compare(a.Pushed) })
	}
	for _, f := range filters {
		if f.SHA256 == inspection.SHA256 {
			out.Running = append(out.Running, f)
		}
	}
	return v.show("module", "Module", out)
}

type moduleCheckView struct {
	api.ModuleChecked
	Stored  bool   // the module is uploaded
	Refused string // why an upload was refused
}

// checkModule runs all checks of an uploaded module as a filter.
func (v *visit) checkModule() error {
	checked, err := v.api.CheckModule(v.r.Context(), v.r.PathValue("digest"), v.r.PostFormValue("filter"))
	if err != nil {
		return err
	}
	return v.show("module-check", "Checks of a module", moduleCheckView{ModuleChecked: checked, Stored: true})
}

// pushModule uploads a module, or only checks it. A refused module is shown with the results of
// all checks.
func (v *visit) pushModule() error {
	file, header, err := v.r.FormFile("module")
	if err != nil && !errors.Is(err, http.ErrMissingFile) {
		return unreadable(err, "the module", maxUpload)
	}
	if err != nil {
		return &api.Error{Status: http.StatusBadRequest, Field: "module", Message: "no file was sent", Hint: "choose a .wasm file"}
	}
	defer file.Close()
	code, err := io.ReadAll(file)
	if err != nil {
		return err
	}
	name := strings.TrimSpace(v.r.PostFormValue("name"))
	if name == "" {
		name = strings.TrimSuffix(filepath.Base(header.Filename), ".wasm")
	}
	want := api.PushQuery{Name: name, Filter: v.r.PostFormValue("filter"), Reason: v.why().Reason, Check: v.r.PostFormValue("do") == "check"}
	pushed, err := v.api.Push(v.r.Context(), want, code)
	refused := apiError(err)
	out := moduleCheckView{}
	if refused != nil && refused.Reason == api.ReasonModule {
		out.Refused = refused.Message
		want.Check = true
		pushed, err = v.api.Push(v.r.Context(), want, code)
	}
	if err != nil {
		return err
	}
	if pushed.Checked != nil {
		out.ModuleChecked = *pushed.Checked
		status := http.StatusOK
		if out.Refused != "" {
			status = http.StatusUnprocessableEntity
		}
		v.render(status, "module-check", "Checks of a module", out)
		return nil
	}
	notice := "pushed"
	if !pushed.Added {
		notice = "stored"
	}
	return v.done("/ui/modules/"+pushed.SHA256, notice, -1)
}

func (v *visit) deleteModule() error {
	if _, err := v.api.DeleteModule(v.r.Context(), v.r.PathValue("digest"), v.why()); err != nil {
		return err
	}
	return v.done("/ui/modules", "removed", -1)
}

func (v *visit) useModule() error {
	want := api.Use{SHA256: v.r.PostFormValue("sha256"), Previous: v.r.PostFormValue("previous") != "", Configured: v.r.PostFormValue("configured") != "", Reason: v.why().Reason}
	used, err := v.api.UseModule(v.r.Context(), v.r.PathValue("name"), want)
	if err != nil {
		return err
	}
	notice := "using"
	if !used.Changed {
		notice = "same"
	}
	return v.done("/ui/modules", notice, -1)
}

func (v *visit) resetFilter() error {
	if err := v.api.ResetFilter(v.r.Context(), v.r.PathValue("name"), v.why()); err != nil {
		return err
	}
	return v.done("/ui/modules", "reset", -1)
}
