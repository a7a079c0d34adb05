package alerts_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"auditrelay/cli/internal/alerts"
	"auditrelay/cli/internal/api"
	"auditrelay/config"
	"auditrelay/runtime"
)

var noon = time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)

// tell advances a machine and returns the due alerts, as "+stalled/siem" and "-stalled/siem".
func tell(m *alerts.Machine, at time.Duration, found ...alerts.Trouble) string {
	var told []string
	for _, t := range m.Next(noon.Add(at), found, 5*time.Minute) {
		sign := "+"
		if t.Over {
			sign = "-"
		}
		told = append(told, sign+t.ID())
		m.Told(t)
	}
	slices.Sort(told)
	return strings.Join(told, " ")
}

// TestAnAlertIsToldOnce: it is reported at its beginning and at its end. Interruptions in
// between belong to the same alert.
func TestAnAlertIsToldOnce(t *testing.T) {
	stalled := alerts.Trouble{Kind: alerts.Stalled, Subject: "siem"}
	below := stalled
	below.Over = true
	lagging := alerts.Trouble{Kind: alerts.Lagging, Subject: "siem"}
	m, err := alerts.Load(nil)
	if err != nil {
		t.Fatal(err)
	}
	const minute = time.Minute
	for _, step := range []struct {
		at    time.Duration
		found []alerts.Trouble
		want  string
	}{
		{0, nil, ""},
		{1 * minute, []alerts.Trouble{below}, ""}, // below the bound: raises nothing
		{2 * minute, []alerts.Trouble{stalled}, "+stalled/siem"},
		{3 * minute, []alerts.Trouble{stalled}, ""},
		{4 * minute, []alerts.Trouble{stalled, lagging}, "+lagging/siem"},
		{5 * minute, []alerts.Trouble{lagging}, ""},          // flaps: away,
		{9 * minute, []alerts.Trouble{lagging, stalled}, ""}, // and back within 5 minutes
		{10 * minute, []alerts.Trouble{lagging}, ""},
		{14 * minute, []alerts.Trouble{lagging, below}, ""}, // not well yet: keeps it
		{15 * minute, []alerts.Trouble{lagging}, ""},
		{20 * minute, []alerts.Trouble{lagging}, "-stalled/siem"},
		{21 * minute, nil, ""},
		{26 * minute, nil, "-lagging/siem"},
		{27 * minute, nil, ""},
		{28 * minute, []alerts.Trouble{stalled}, "+stalled/siem"},
	} {
		if got := tell(m, step.at, step.found...); got != step.want {
			t.Errorf("at %v: told %q, want %q", step.at, got, step.want)
		}
	}
}

// TestFlappingIsBounded: trouble that comes and goes every second for a day is reported at most
// twice per quiet time.
func TestFlappingIsBounded(t *testing.T) {
	m, _ := alerts.Load(nil)
	told := 0
	for s := range 24 * 60 * 60 {
		var found []alerts.Trouble
		if s%2 == 0 || s%3600 > 1800 && s%7 == 0 {
			found = []alerts.Trouble{{Kind: alerts.Stalled, Subject: "siem"}}
		}
		if tell(m, time.Duration(s)*time.Second, found...) != "" {
			told++
		}
	}
	if told != 1 {
		t.Errorf("told %d times", told)
	}
}

// TestARestartRepeatsNothing: the state stored with the record is all that the next life needs.
// Unrecorded alerts are reported again.
func TestARestartRepeatsNothing(t *testing.T) {
	stalled := alerts.Trouble{Kind: alerts.Stalled, Subject: "siem"}
	m, _ := alerts.Load(nil)
	due := m.Next(noon, []alerts.Trouble{stalled}, time.Minute)
	if len(due) != 1 {
		t.Fatalf("%+v", due)
	}
	state, err := m.After(due[0])
	if err != nil {
		t.Fatal(err)
	}
	// The record failed: the machine reports it again.
	if again := m.Next(noon.Add(time.Second), []alerts.Trouble{stalled}, time.Minute); len(again) != 1 {
		t.Errorf("after a failed record: %+v", again)
	}
	// It was written, but the process died before it noticed.
	next, err := alerts.Load(state)
	if err != nil {
		t.Fatal(err)
	}
	if got := tell(next, time.Minute, stalled); got != "" {
		t.Errorf("after a restart: told %q", got)
	}
	if raised := next.Raised(); len(raised) != 1 || !raised[0].Raised.Equal(noon) {
		t.Errorf("raised: %+v", raised)
	}
	if _, err := alerts.Load([]byte("{")); err == nil {
		t.Error("a damaged state is no error")
	}
}

// TestLook: what counts as trouble, by kind.
func TestLook(t *testing.T) {
	o := config.Alerts{Silent: time.Hour, DeadLetters: 3}.WithDefaults()
	healthy := runtime.CallbackStatus{Name: "siem", State: runtime.StateActive, Since: noon.Add(-24 * time.Hour)}
	with := func(change func(*runtime.CallbackStatus)) []runtime.CallbackStatus {
		c := healthy
		change(&c)
		return []runtime.CallbackStatus{c}
	}
	raised := []alerts.Alert{{Kind: alerts.Silent, Subject: "http/litellm", Raised: noon.Add(-time.Hour)}}
	for _, c := range []struct {
		name      string
		callbacks []runtime.CallbackStatus
		sources   []api.Source
		raised    []alerts.Alert
		want      string // "(x)" keeps an alert and raises none
	}{
		{name: "healthy", callbacks: []runtime.CallbackStatus{healthy}},
		{name: "fails for 4 min", callbacks: with(func(c *runtime.CallbackStatus) { c.State, c.Since = runtime.StateDegraded, noon.Add(-4*time.Minute) }), want: "(stalled/siem)"},
		{name: "fails for 5 min", callbacks: with(func(c *runtime.CallbackStatus) {
			c.State, c.Since = runtime.StateAuthError, noon.Add(-5*time.Minute)
		}), want: "stalled/siem"},
		{name: "paused", callbacks: with(func(c *runtime.CallbackStatus) { c.State = runtime.StatePaused })},
		{name: "lags", callbacks: with(func(c *runtime.CallbackStatus) { c.Lag = 15 * time.Minute }), want: "lagging/siem"},
		{name: "catches up", callbacks: with(func(c *runtime.CallbackStatus) { c.Lag = 8 * time.Minute }), want: "(lagging/siem)"},
		{name: "2 dead letters", callbacks: with(func(c *runtime.CallbackStatus) { c.Account.DeadLettered = 2 })},
		{name: "3 dead letters", callbacks: with(func(c *runtime.CallbackStatus) { c.Account.DeadLettered = 3 }), want: "dead_letters/siem"},
		{name: "leaked", callbacks: with(func(c *runtime.CallbackStatus) { c.Leaked = noon.Add(-time.Minute) }), want: "leak/siem"},
		{name: "leaked long ago", callbacks: with(func(c *runtime.CallbackStatus) { c.Leaked = noon.Add(-2 * time.Hour) })},
		{name: "expires", callbacks: with(func(c *runtime.CallbackStatus) { c.Expiring = true }), want: "expiring/siem"},
		{name: "a replay", callbacks: with(func(c *runtime.CallbackStatus) { c.Replay, c.Lag = "1f", time.Hour })},
		{name: "a removed callback", callbacks: with(func(c *runtime.CallbackStatus) { c.State, c.Account.DeadLettered = runtime.StateRemoved, 9 })},
		{name: "a source sends", sources: []api.Source{{Kind: "http", Name: "litellm", LastSeen: noon}}},
		{name: "a source is silent", sources: []api.Source{{Kind: "http", Name: "litellm", LastSeen: noon.Add(-time.Hour)}}, want: "silent/http/litellm"},
		{name: "a source sent nothing since start", sources: []api.Source{{Kind: "http", Name: "litellm", Since: noon.Add(-time.Minute)}}},
		{name: "and was silent before", sources: []api.Source{{Kind: "http", Name: "litellm", Since: noon.Add(-time.Minute)}}, raised: raised, want: "(silent/http/litellm)"},
		{name: "and has sent since", sources: []api.Source{{Kind: "http", Name: "litellm", Since: noon.Add(-time.Minute), LastSeen: noon}}, raised: raised},
	} {
		var got []string
		for _, f := range alerts.Look(noon, o, c.callbacks, c.sources, c.raised) {
			id := f.Kind + "/" + f.Subject
			if f.Over {
				id = "(" + id + ")"
			}
			got = append(got, id)
		}
		if fmt.Sprint(got) != fmt.Sprint(strings.Fields(c.want)) {
			t.Errorf("%s: %v, want %s", c.name, got, c.want)
		}
	}
}

// TestRolledBack: a rollout that was rolled back by itself is an alert for a day, or until
// another begins. One that somebody took back is none.
func TestRolledBack(t *testing.T) {
	of := func(id string, state runtime.RolloutState, by string) *runtime.RolloutStatus {
		return &runtime.RolloutStatus{Rollout: runtime.Rollout{ID: id, Filter: "rules", State: state, Ended: noon, EndedBy: by}}
	}
	m, _ := alerts.Load(nil)
	for _, step := range []struct {
		at   time.Duration
		last *runtime.RolloutStatus
		want string
	}{
		{0, nil, ""},
		{1 * time.Minute, of("1", runtime.RolloutRunning, ""), ""},
		{2 * time.Minute, of("1", runtime.RolloutRolledBack, "auditrelay"), "+rolled_back/rules@1"},
		{3 * time.Minute, of("2", runtime.RolloutRunning, ""), ""},
		{4 * time.Minute, of("2", runtime.RolloutRolledBack, "auditrelay"), "+rolled_back/rules@2"}, // within the time that the first must be over
		{9 * time.Minute, of("2", runtime.RolloutRolledBack, "auditrelay"), "-rolled_back/rules@1"},
		{24 * time.Hour, of("2", runtime.RolloutRolledBack, "auditrelay"), ""},
		{25 * time.Hour, of("2", runtime.RolloutRolledBack, "auditrelay"), "-rolled_back/rules@2"},
		{26 * time.Hour, of("3", runtime.RolloutRolledBack, "ops"), ""},
		{27 * time.Hour, of("4", runtime.RolloutPromoted, "ops"), ""},
	} {
		if got := tell(m, step.at, alerts.LookAtRollout(noon.Add(step.at), step.last)...); got != step.want {
			t.Errorf("at %v: told %q, want %q", step.at, got, step.want)
		}
	}
}
