package ui

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"auditrelay/cli/internal/api"
)

// screen is one address of the page and the role that may see it. The API checks the role again
// for each call.
type screen struct {
	method, path string
	role         string
	nav          string // its title in the navigation; empty: not listed
	show         func(*visit) error

	live   bool // parts of it are reloaded on a change
	stream bool // it streams changes
	upload bool // its form uploads a module
}

// screens returns all screens. A test checks each line against each role.
func screens() []screen {
	get := func(path, role, nav string, show func(*visit) error) screen {
		return screen{method: "GET", path: path, role: role, nav: nav, show: show}
	}
	live := func(path, role, nav string, show func(*visit) error) screen {
		return screen{method: "GET", path: path, role: role, nav: nav, show: show, live: true}
	}
	post := func(path, role string, do func(*visit) error) screen {
		return screen{method: "POST", path: path, role: role, show: do}
	}
	return []screen{
		live("/ui/{$}", "view", "Overview", (*visit).overview),
		{method: "GET", path: "/ui/live", role: "view", show: (*visit).live, stream: true},
		get("/ui/events", "view", "Events", (*visit).event),
		live("/ui/callbacks/{name}", "view", "", (*visit).callback),
		post("/ui/callbacks/{name}/state", "operate", (*visit).changeState),
		post("/ui/callbacks/{name}/test", "operate", (*visit).testSink),
		post("/ui/callbacks/{name}/replay", "operate", (*visit).replay),
		post("/ui/callbacks/{name}/replays/{id}/cancel", "operate", (*visit).cancelEventReplay),
		live("/ui/undelivered", "view", "Undelivered", (*visit).undelivered),
		get("/ui/dead-letters", "view", "Dead letters", (*visit).deadLetters),
		get("/ui/dead-letters/{name}/{sequence}", "comply", "", (*visit).deadLetter),
		post("/ui/dead-letters/replay", "operate", (*visit).replayDeadLetters),
		post("/ui/dead-letters/by-cause", "operate", (*visit).changeByCause),
		post("/ui/dead-letters/replays/{id}/cancel", "operate", (*visit).cancelReplay),
		post("/ui/dead-letters", "operate", (*visit).changeDeadLetters),
		get("/ui/quarantine", "view", "Quarantine", (*visit).quarantine),
		get("/ui/quarantine/{number}", "comply", "", (*visit).quarantined),
		post("/ui/quarantine", "operate", (*visit).changeQuarantine),
		post("/ui/quarantine/{number}", "ingest", (*visit).mend), // operate as well
		live("/ui/modules", "view", "Modules", (*visit).modules),
		get("/ui/modules/{digest}", "view", "", (*visit).module),
		{method: "POST", path: "/ui/modules", role: "admin", show: (*visit).pushModule, upload: true},
		post("/ui/modules/{digest}/check", "admin", (*visit).checkModule),
		post("/ui/modules/{digest}/delete", "admin", (*visit).deleteModule),
		post("/ui/filters/{name}/module", "admin", (*visit).useModule),
		post("/ui/filters/{name}/reset", "operate", (*visit).resetFilter),
		live("/ui/shadows", "view", "Shadows", (*visit).shadows),
		live("/ui/shadows/{callback}", "view", "", (*visit).shadow),
		post("/ui/shadows", "admin", (*visit).startShadow),
		post("/ui/shadows/{callback}/use", "admin", (*visit).useShadow),
		post("/ui/shadows/{callback}/drop", "operate", (*visit).dropShadow),
		live("/ui/rollouts", "view", "Rollouts", (*visit).rollouts),
		post("/ui/rollouts", "admin", (*visit).startRollout),
		post("/ui/rollouts/{name}/promote", "admin", (*visit).promoteRollout),
		post("/ui/rollouts/{name}/back", "operate", (*visit).rollBack),
		post("/ui/filters/{name}/policy", "admin", (*visit).usePolicy),
		live("/ui/fleet", "view", "", (*visit).fleet),
		post("/ui/fleet/{name}/drain", "operate", (*visit).drain),
		post("/ui/fleet/{name}/undrain", "operate", (*visit).undrain),
		live("/ui/completeness", "view", "Completeness", (*visit).completeness),
		get("/ui/report", "comply", "Report", (*visit).report),
		get("/ui/store", "comply", "Store", (*visit).store),
		post("/ui/store/searches", "comply", (*visit).saveSearch),
		get("/ui/approvals", "view", "Approvals", (*visit).approvals),
		post("/ui/approvals/{id}", "operate", (*visit).decide),
		get("/ui/control", "auditor", "Control records", (*visit).control),
		get("/ui/policies", "view", "Policies", (*visit).policies),
		get("/ui/policies/{digest}", "view", "", (*visit).policy),
		get("/ui/policies/by-digest", "view", "", (*visit).policyByDigest),
		get("/ui/tap", "comply", "Tap", (*visit).tap),
		{method: "GET", path: "/ui/tap/stream", role: "comply", show: (*visit).tapStream, stream: true},
		get("/ui/try", "comply", "Try", (*visit).tryForm),
		post("/ui/try", "comply", (*visit).try),
		post("/ui/reload", "admin", (*visit).reload),
	}
}

// overviewView is the first screen.
type overviewView struct {
	Callbacks []callbackRow
	Attention []string // names of callbacks that need attention
	Sources   []api.Source
	Stats     api.Stats
	Alerts    []string
	Rollout   *rolloutView // in progress, or the last one if it was rolled back
	Fleet     *api.Fleet   // nil: the relay belongs to no fleet
}

type callbackRow struct {
	api.CallbackStatus
	Plot plot
}

// healthy reports whether a callback needs no attention.
func healthy(s *api.CallbackStatus) bool {
	return s.Account.Balanced && s.Account.DeadLettered == 0 && (s.State == "active" || s.State == "idle" || s.Done)
}

// Outcomes returns the parts of a bar that shows the outcomes of the callback's events.
func (r callbackRow) Outcomes() []part { return outcomes(r.Account) }

func (r callbackRow) Healthy() bool { return healthy(&r.CallbackStatus) }

func (v *visit) overview() error {
	ctx := v.r.Context()
	callbacks, err := v.api.Callbacks(ctx)
	if err != nil {
		return err
	}
	out := overviewView{}
	for _, c := range callbacks {
		out.Callbacks = append(out.Callbacks, callbackRow{c, v.history.plot(c.Name, c.Replay)})
		if !healthy(&c) {
			out.Attention = append(out.Attention, c.Name)
		}
	}
	if out.Sources, err = v.api.Sources(ctx); err != nil {
		return err
	}
	if out.Stats, err = v.api.Stats(ctx); err != nil {
		return err
	}
	if out.Fleet, err = v.fleetOf(); err != nil {
		return err
	}
	rollouts, err := v.rolloutsOf(ctx)
	if err != nil {
		return err
	}
	for i := range rollouts {
		if rollouts[i].State != "promoted" {
			one := newRolloutView(&rollouts[i])
			out.Rollout = &one
		}
	}
	ready, err := v.api.Ready(ctx)
	if err != nil {
		return err
	}
	out.Alerts = ready.Alerts
	return v.show("overview", "Overview", out)
}

type callbackView struct {
	api.CallbackStatus
	Plot    plot
	Replays []replayRow
	Healthy bool
	// Deliveries are the newest deliveries with their attempts.
	Deliveries []api.Delivery
	Graph      graph
}

// replayRow is a replay and its progress.
type replayRow struct{ api.CallbackStatus }

// Ended returns how many of its events have an outcome.
func (r replayRow) Ended() uint64 {
	return r.Account.Assigned - min(r.Account.Assigned, r.Account.Pending)
}

// RetainLeft describes how much longer, and how many more bytes, the callback may retain.
func (c callbackView) RetainLeft() string {
	r := c.Retain
	if r == nil {
		return "no limit: events are kept until they are delivered"
	}
	var left []string
	if r.Age > 0 {
		left = append(left, fmt.Sprintf("%s of %s", span(r.Age-c.Lag), span(r.Age)))
	}
	if r.Bytes > 0 {
		left = append(left, fmt.Sprintf("%s of %s", size(max(0, r.Bytes-r.Held)), size(r.Bytes)))
	}
	return strings.Join(left, "; ") + fmt.Sprintf("; then %v", r.Then)
}

func (v *visit) callback() error {
	name := v.r.PathValue("name")
	all, err := v.api.Callbacks(v.r.Context())
	if err != nil {
		return err
	}
	out := callbackView{}
	found := false
	for _, c := range all {
		switch {
		case c.Name != name:
		case c.Replay != "":
			out.Replays = append(out.Replays, replayRow{c})
		default:
			out.CallbackStatus, found = c, true
		}
	}
	if !found {
		return notFound("callback")
	}
	deliveries, err := v.api.Deliveries(v.r.Context(), api.DeliveryQuery{Callback: name, Limit: 20})
	if err != nil {
		return err
	}
	out.Deliveries = deliveries.Deliveries
	guests, err := v.api.Filters(v.r.Context())
	if alone(err) {
		err = nil
	}
	if err != nil {
		return err
	}
	out.Graph = newGraph(&out.CallbackStatus, guests)
	out.Plot, out.Healthy = v.history.plot(name, ""), healthy(&out.CallbackStatus)
	return v.show("callback", name, out)
}

// testSink sends a marked event to the destination and shows the result.
func (v *visit) testSink() error {
	came, err := v.api.TestSink(v.r.Context(), v.r.PathValue("name"), v.why())
	if err != nil {
		return err
	}
	return v.show("sink-test", "Test of a destination", came)
}

// why returns the reason entered in a form, for the relay's own record.
func (v *visit) why() api.Why {
	return api.Why{Reason: strings.TrimSpace(v.r.PostFormValue("reason"))}
}

func (v *visit) changeState() error {
	name, ctx := v.r.PathValue("name"), v.r.Context()
	var err error
	var notice string
	switch v.r.PostFormValue("do") {
	case "pause":
		_, err = v.api.Pause(ctx, name, v.why())
		notice = "paused"
	case "resume":
		_, err = v.api.Resume(ctx, name, v.why())
		notice = "resumed"
	case "detach":
		_, err = v.api.Detach(ctx, name, v.why())
		notice = "detached"
	case "attach":
		_, err = v.api.Attach(ctx, name, v.why())
		notice = "attached"
	default:
		return badForm("do")
	}
	if err != nil {
		return err
	}
	return v.done("/ui/callbacks/"+url.PathEscape(name), notice, -1)
}

func (v *visit) replay() error {
	name := v.r.PathValue("name")
	want := api.Replay{DryRun: v.r.PostFormValue("dry_run") != "", Emit: v.r.PostFormValue("emit") != "", Reason: v.why().Reason}
	for field, into := range map[string]*uint64{"from": &want.From, "to": &want.To} {
		text := strings.TrimSpace(v.r.PostFormValue(field))
		if text == "" {
			continue
		}
		var err error
		if *into, err = strconv.ParseUint(text, 10, 63); err != nil {
			return badForm(field)
		}
	}
	started, err := v.api.Replay(v.r.Context(), name, want)
	if err != nil {
		return err
	}
	notice := "replaying"
	if want.DryRun {
		notice = "dry"
	}
	return v.done("/ui/callbacks/"+url.PathEscape(name), notice, int(started.Events))
}

// cancelEventReplay ends a replay of events.
func (v *visit) cancelEventReplay() error {
	name := v.r.PathValue("name")
	if _, err := v.api.CancelReplay(v.r.Context(), name, v.r.PathValue("id"), v.why()); err != nil {
		return err
	}
	return v.done("/ui/callbacks/"+url.PathEscape(name), "replay-cancelled", -1)
}

func (v *visit) reload() error {
	if _, err := v.api.Reload(v.r.Context(), v.why()); err != nil {
		return err
	}
	return v.done("/ui/", "reloaded", -1)
}

type eventView struct {
	ID, Namespace string
	Asked         bool
	Found         *api.Explained
	Missing       *api.Error
	Proofs        []api.EventProof
	Unproved      *api.Error // reason why there are none
}

// event looks up one event by id. It shows the contents to users who may read them.
func (v *visit) event() error {
	q := v.r.URL.Query()
	out := eventView{ID: strings.TrimSpace(q.Get("id")), Namespace: q.Get("namespace"), Asked: q.Get("id") != ""}
	if out.ID == "" {
		return v.show("event", "Events", out)
	}
	found, err := v.api.Explain(v.r.Context(), api.EventQuery{ID: out.ID, Namespace: out.Namespace, Data: q.Get("data") != ""})
	if refused := apiError(err); refused != nil && (refused.Status == 404 || refused.Status == 410) {
		out.Missing, err = refused, nil
	} else if err == nil {
		out.Found = &found
	}
	if err != nil {
		return err
	}
	if out.Found != nil && q.Get("proof") != "" {
		out.Proofs, err = v.api.Proofs(v.r.Context(), api.ProofQuery{ID: out.ID, Namespace: out.Namespace})
		if refused := apiError(err); refused != nil && refused.Status == http.StatusConflict {
			out.Unproved, err = refused, nil
		}
		if err != nil {
			return err
		}
	}
	return v.show("event", "Event", out)
}
