package ui

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"auditrelay/cli/internal/api"
)

type rolloutsView struct {
	Rollouts []rolloutView
	Filters  []api.Filter      // guest filters whose module can be rolled out
	Running  map[string]string // digests of their modules
	Modules  []api.Module
}

type rolloutView struct {
	api.Rollout
	Runs         bool
	Share, Bound string // in percent
	Counts       []rolloutCount
}

// rolloutCount is a rollout's counts on one callback.
type rolloutCount struct {
	api.RolloutCount
	From  uint64
	Ratio string
}

func newRolloutView(o *api.Rollout) rolloutView {
	out := rolloutView{Rollout: *o, Runs: o.State == "running", Share: percent(o.Share), Bound: percent(o.Bound)}
	for _, n := range o.Counts {
		c := rolloutCount{RolloutCount: n, From: o.From[n.Callback]}
		if n.Judged > 0 {
			c.Ratio = percent(float64(n.Failed) / float64(n.Judged))
		}
		out.Counts = append(out.Counts, c)
	}
	return out
}

func percent(share float64) string { return fmt.Sprintf("%.3g %%", 100*share) }

// rolloutsOf returns the current rollout, or the last one.
func (v *visit) rolloutsOf(ctx context.Context) ([]api.Rollout, error) {
	all, err := v.api.Rollouts(ctx)
	if alone(err) {
		return nil, nil
	}
	return all, err
}

// alone reports whether a call failed because no process surrounds the runtime. Then nothing of
// the requested kind exists.
func alone(err error) bool {
	refused := apiError(err)
	return refused != nil && refused.Status == http.StatusNotImplemented
}

// rollouts shows the current rollout, or the last one, and a form to start one.
func (v *visit) rollouts() error {
	ctx := v.r.Context()
	all, err := v.api.Rollouts(ctx)
	if err != nil {
		return err
	}
	out := rolloutsView{}
	for i := range all {
		out.Rollouts = append(out.Rollouts, newRolloutView(&all[i]))
	}
	if v.may("admin") {
		if out.Filters, err = v.api.Filters(ctx); err != nil {
			return err
		}
		out.Running = running(out.Filters)
		if out.Modules, err = v.api.Modules(ctx); err != nil {
			return err
		}
	}
	return v.show("rollouts", "Rollouts", out)
}

// startRollout rolls out a module. Policies are rolled out from the screen Try.
func (v *visit) startRollout() error {
	return v.rollOut(api.StartRollout{Filter: v.r.PostFormValue("filter"), Module: v.r.PostFormValue("sha256")})
}

func (v *visit) rollOut(want api.StartRollout) error {
	form := v.r.PostForm
	want.Reason = v.why().Reason
	for field, into := range map[string]*float64{"share": &want.Share, "bound": &want.Bound} {
		text := strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(form.Get(field)), "%"))
		if text == "" {
			continue
		}
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || !(n > 0 && n <= 100) {
			return badForm(field)
		}
		*into = n / 100
	}
	if text := strings.TrimSpace(form.Get("after")); text != "" {
		var err error
		if want.Events, err = strconv.ParseUint(text, 10, 32); err != nil {
			return badForm("after")
		}
	}
	if _, err := v.api.StartRollout(v.r.Context(), want); err != nil {
		return err
	}
	return v.done("/ui/rollouts", "rolling", -1)
}

func (v *visit) promoteRollout() error {
	if _, err := v.api.PromoteRollout(v.r.Context(), v.r.PathValue("name"), v.why()); err != nil {
		return err
	}
	return v.done("/ui/rollouts", "promoted", -1)
}

func (v *visit) rollBack() error {
	if _, err := v.api.RollBack(v.r.Context(), v.r.PathValue("name"), v.why()); err != nil {
		return err
	}
	return v.done("/ui/rollouts", "rolled-back", -1)
}

type fleetView struct{ api.Fleet }

// fleetOf returns the fleet, or nil for a relay that belongs to none.
func (v *visit) fleetOf() (*api.Fleet, error) {
	fleet, err := v.api.Fleet(v.r.Context())
	if refused := apiError(err); refused != nil && refused.Status == http.StatusNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &fleet, nil
}

func (v *visit) fleet() error {
	fleet, err := v.api.Fleet(v.r.Context())
	if err != nil {
		return err
	}
	return v.show("fleet", "Fleet", fleetView{fleet})
}

func (v *visit) drain() error   { return v.drained(false) }
func (v *visit) undrain() error { return v.drained(true) }

// drained makes a relay of the fleet give up the lead or, with undo, lets it lead again.
func (v *visit) drained(undo bool) error {
	name, notice := v.r.PathValue("name"), "drained"
	do := v.api.DrainRelay
	if undo {
		do, notice = v.api.UndrainRelay, "undrained"
	}
	if _, err := do(v.r.Context(), name, v.why()); err != nil {
		return err
	}
	return v.done("/ui/fleet", notice, -1)
}
