// Package alerts decides when a problem of a callback or a source raises an alert, and when the
// alert is over. It has no clock and does no I/O: its caller collects the state, calls Next and
// records the alerts.
package alerts

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"auditrelay/cli/internal/api"
	"auditrelay/config"
	"auditrelay/runtime"
)

// The kinds of alerts.
const (
	Stalled     = "stalled"      // a callback's deliveries or filters fail
	Lagging     = "lagging"      // its oldest pending event is too old
	DeadLetters = "dead_letters" // the callback has dead letters
	Leak        = "leak"         // must_not_leave dead-lettered events
	Expiring    = "expiring"     // pending events approach the destination's maximum age
	Silent      = "silent"       // a source sends nothing
	Canary      = "canary"       // the last canary did not arrive masked
	RolledBack  = "rolled_back"  // the relay rolled a rollout back
)

// Kinds returns all kinds.
func Kinds() []string {
	return []string{Stalled, Lagging, DeadLetters, Leak, Expiring, Silent, Canary, RolledBack}
}

// Alert is one raised alert.
type Alert struct {
	Kind    string    `json:"kind"`
	Subject string    `json:"subject"` // a callback's or a source's name; filter@id for a rollout
	Raised  time.Time `json:"raised"`

	clear time.Time // when its problem ended; zero while it lasts
}

// ID returns the alert's id: the object_id of its events.
func (a *Alert) ID() string { return a.Kind + "/" + a.Subject }

// Trouble is a problem that Look found.
type Trouble struct {
	Kind, Subject string
	// Over: the value is below the limit that raises an alert, but not yet normal. It raises no
	// alert, and keeps a raised one.
	Over   bool
	Detail map[string]any // for the event: only figures, times and values from closed sets
}

// Transition is an alert that was raised or is over.
type Transition struct {
	Alert
	Over   bool
	Detail map[string]any
}

// Machine tracks the raised alerts. It is not safe for concurrent use.
type Machine struct {
	raised map[string]Alert // by ID
}

// Load returns the machine with a state of After, or an empty one for nil.
func Load(state []byte) (*Machine, error) {
	m := &Machine{raised: map[string]Alert{}}
	if state == nil {
		return m, nil
	}
	var list []Alert
	if err := json.Unmarshal(state, &list); err != nil {
		return m, fmt.Errorf("decode which alerts are raised: %w", err)
	}
	for _, a := range list {
		m.raised[a.ID()] = a
	}
	return m, nil
}

// Raised returns the raised alerts, by kind and subject.
func (m *Machine) Raised() []Alert {
	list := make([]Alert, 0, len(m.raised))
	for _, a := range m.raised {
		list = append(list, a)
	}
	slices.SortFunc(list, func(a, b Alert) int {
		return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Subject, b.Subject))
	})
	return list
}

// Next compares the found problems with the raised alerts and returns the transitions to
// record. An alert is over once its problem has been absent for recovered without interruption,
// so an intermittent problem is one alert. A transition takes effect only when Told is called
// with it.
func (m *Machine) Next(now time.Time, found []Trouble, recovered time.Duration) (due []Transition) {
	seen := map[string]bool{}
	for _, t := range found {
		a := Alert{Kind: t.Kind, Subject: t.Subject, Raised: now}
		id := a.ID()
		was, raised := m.raised[id]
		switch {
		case raised:
			was.clear = time.Time{}
			m.raised[id] = was
		case !t.Over && !seen[id]:
			due = append(due, Transition{Alert: a, Detail: t.Detail})
		}
		seen[id] = true
	}
	for _, a := range m.Raised() {
		if seen[a.ID()] {
			continue
		}
		if a.clear.IsZero() {
			a.clear = now
			m.raised[a.ID()] = a
		}
		if now.Sub(a.clear) >= recovered {
			due = append(due, Transition{Alert: a, Over: true, Detail: map[string]any{}})
		}
	}
	return due
}

// After returns the state after t was recorded. The record of t must contain it.
func (m *Machine) After(t Transition) ([]byte, error) {
	list := slices.DeleteFunc(m.Raised(), func(a Alert) bool { return a.ID() == t.ID() })
	if !t.Over {
		list = append(list, t.Alert)
	}
	return json.Marshal(list)
}

// Told records that t was recorded.
func (m *Machine) Told(t Transition) {
	if t.Over {
		delete(m.raised, t.ID())
		return
	}
	m.raised[t.ID()] = t.Alert
}

// Look returns the problems of callbacks and sources at a moment. raised are the raised alerts:
// a problem that raised one keeps it until the value is normal, not only below the limit.
func Look(now time.Time, o config.Alerts, callbacks []runtime.CallbackStatus, sources []api.Source, raised []Alert) (found []Trouble) {
	since := map[string]time.Time{}
	for _, a := range raised {
		since[a.ID()] = a.Raised
	}
	add := func(kind, subject string, beyond, troubled bool, detail map[string]any) {
		if beyond || troubled {
			found = append(found, Trouble{Kind: kind, Subject: subject, Over: !beyond, Detail: detail})
		}
	}
	for i := range callbacks {
		c := &callbacks[i]
		if c.Replay != "" || c.State == runtime.StateRemoved {
			continue
		}
		fails := c.State == runtime.StateDegraded || c.State == runtime.StateAuthError || c.State == runtime.StateMisconfigured
		add(Stalled, c.Name, fails && now.Sub(c.Since) >= o.Stalled, fails,
			map[string]any{"state": c.State, "since": c.Since.UTC(), "pending": c.Account.Pending})
		add(Lagging, c.Name, c.Lag >= o.Lag, c.Lag >= o.Lag/2,
			map[string]any{"lag_seconds": int64(c.Lag.Seconds()), "pending": c.Account.Pending})
		dead := c.Account.DeadLettered
		add(DeadLetters, c.Name, dead >= uint64(o.DeadLetters), false, map[string]any{"dead_letters": dead})
		leaked := !c.Leaked.IsZero() && now.Sub(c.Leaked) < leakLasts
		add(Leak, c.Name, leaked, false, map[string]any{"last": c.Leaked.UTC(), "withheld": c.Causes["leak"]})
		add(Expiring, c.Name, c.Expiring, false,
			map[string]any{"oldest_seconds": int64(c.Lag.Seconds()), "max_age_seconds": int64(c.MaxAge.Seconds()), "pending": c.Account.Pending})
	}
	if o.Silent <= 0 {
		return found
	}
	for _, s := range sources {
		last := s.LastSeen
		if last.IsZero() {
			last = s.Since // since the start, since earlier events are unknown
		}
		subject := s.Kind + "/" + s.Name
		// After a restart a source stays silent until it has sent an event.
		told, raised := since[Silent+"/"+subject]
		add(Silent, subject, now.Sub(last) >= o.Silent, raised && !s.LastSeen.After(told), map[string]any{"last": last.UTC()})
	}
	return found
}

// leakLasts is how long a leak counts as a problem, as for the state withholding.
const leakLasts = time.Hour

// rolledBackLasts is how long a rolled back rollout counts as a problem, unless another one
// starts.
const rolledBackLasts = 24 * time.Hour

// LookAtRollout returns the problem of the last rollout; nil if there is none. A rollback by a
// user is not a problem. Each rollout is a separate subject, so a second failure soon after the
// first raises another alert.
func LookAtRollout(now time.Time, o *runtime.RolloutStatus) []Trouble {
	if o == nil || !o.ByItself() || now.Sub(o.Ended) >= rolledBackLasts {
		return nil
	}
	detail := map[string]any{"filter": o.Filter, "kind": o.Kind, "version": o.Digest, "ended": o.Ended.UTC(), "counts": o.Counts}
	return []Trouble{{Kind: RolledBack, Subject: o.Filter + "@" + o.ID, Detail: detail}}
}
