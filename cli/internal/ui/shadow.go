package ui

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"auditrelay/cli/internal/api"
)

type shadowsView struct {
	Shadows []shadowView
	Filters []shadowFilter    // filters that can be tried here
	Running map[string]string // digests of their modules
	Modules []api.Module
}

// shadowFilter is a guest filter on one of its callbacks.
type shadowFilter struct{ Filter, Callback string }

type shadowView struct {
	api.Shadow
	Runs      bool
	Failed    uint64
	NowCost   string
	WouldCost string
	Causes    []causeCount
}

func newShadowView(s api.Shadow) shadowView {
	out := shadowView{Shadow: s, Runs: s.Ended.IsZero(), NowCost: cost(s.Now), WouldCost: cost(s.Would)}
	causes := map[string]uint64{}
	for _, cause := range slices.Collect(maps.Keys(s.Failures)) {
		causes[string(cause)] = s.Failures[cause]
		out.Failed += s.Failures[cause]
	}
	out.Causes = byCause(causes)
	return out
}

// cost formats what a filter costs per event.
func cost(c api.ShadowCost) string {
	if c.Events == 0 {
		return "not measured"
	}
	n := int64(c.Events)
	text := fmt.Sprintf("%v an event", (c.Time / time.Duration(n)).Round(100*time.Nanosecond))
	if c.Memory > 0 {
		text += fmt.Sprintf(", %s units of fuel, at most %s of memory", grouped(fmt.Sprint(c.Fuel/n)), size(c.Memory))
	}
	return text
}

// shadows lists the shadows and shows a form to start one.
func (v *visit) shadows() error {
	ctx := v.r.Context()
	all, err := v.api.Shadows(ctx)
	if err != nil {
		return err
	}
	out := shadowsView{}
	for _, s := range all {
		out.Shadows = append(out.Shadows, newShadowView(s))
	}
	if v.may("admin") {
		filters, err := v.api.Filters(ctx)
		if err != nil {
			return err
		}
		out.Running = running(filters)
		for _, f := range filters {
			for _, callback := range f.Callbacks {
				out.Filters = append(out.Filters, shadowFilter{f.Name, callback})
			}
		}
		if out.Modules, err = v.api.Modules(ctx); err != nil {
			return err
		}
	}
	return v.show("shadows", "Shadows", out)
}

// running returns the digests of the modules that filters run.
func running(filters []api.Filter) map[string]string {
	all := map[string]string{}
	for _, f := range filters {
		all[f.Name] = f.SHA256
	}
	return all
}

func (v *visit) shadow() error {
	s, err := v.api.Shadow(v.r.Context(), v.r.PathValue("callback"))
	if err != nil {
		return err
	}
	return v.show("shadow", "Shadow of "+s.Callback, newShadowView(s))
}

// startShadow starts a shadow for a module. Policies are shadowed from the screen Try.
func (v *visit) startShadow() error {
	form := v.r.PostForm
	want := api.StartShadow{Filter: form.Get("filter"), Callback: form.Get("callback"), Module: form.Get("sha256"), Reason: v.why().Reason}
	if filter, callback, ok := strings.Cut(form.Get("where"), " "); ok {
		want.Filter, want.Callback = filter, callback
	}
	for field, into := range map[string]*uint64{"events": &want.Events, "minutes": &want.Seconds} {
		text := strings.TrimSpace(form.Get(field))
		if text == "" {
			continue
		}
		var err error
		if *into, err = strconv.ParseUint(text, 10, 32); err != nil {
			return badForm(field)
		}
	}
	want.Seconds *= 60
	return v.runShadow(want)
}

func (v *visit) runShadow(want api.StartShadow) error {
	s, err := v.api.StartShadow(v.r.Context(), want)
	if err != nil {
		return err
	}
	return v.done("/ui/shadows/"+url.PathEscape(s.Callback), "shadowed", -1)
}

func (v *visit) useShadow() error {
	used, err := v.api.UseShadow(v.r.Context(), v.r.PathValue("callback"), v.why())
	if err != nil {
		return err
	}
	to := "/ui/policies"
	filters, err := v.api.Filters(v.r.Context())
	if err != nil {
		return err
	}
	if slices.ContainsFunc(filters, func(f api.Filter) bool { return f.Name == used.Filter }) {
		to = "/ui/modules"
	}
	return v.done(to, "shadow-used", -1)
}

func (v *visit) dropShadow() error {
	if err := v.api.DropShadow(v.r.Context(), v.r.PathValue("callback"), v.why()); err != nil {
		return err
	}
	return v.done("/ui/shadows", "shadow-dropped", -1)
}

// usePolicy switches a filter back to another policy.
func (v *visit) usePolicy() error {
	want := api.UsePolicy{Previous: v.r.PostFormValue("previous") != "", Configured: v.r.PostFormValue("configured") != "", Reason: v.why().Reason}
	used, err := v.api.UsePolicy(v.r.Context(), v.r.PathValue("name"), want)
	if err != nil {
		return err
	}
	return v.policyUsed(used)
}

func (v *visit) policyUsed(used api.PolicyUsed) error {
	notice := "policy-used"
	if !used.Changed {
		notice = "policy-same"
	}
	return v.done("/ui/policies", notice, -1)
}
