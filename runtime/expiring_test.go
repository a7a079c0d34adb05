package runtime_test

import (
	"testing"
	"time"

	"auditrelay"
	"auditrelay/runtime"
)

// aging is a sink whose destination rejects old events.
type aging struct {
	*memorySink
	max time.Duration
}

func (a aging) MaxAge() time.Duration { return a.max }

// TestAgeLimitsAreWarnedAbout: if events wait for a destination with an age limit, the status
// shows a warning after three quarters of the limit, until the events are through.
func TestAgeLimitsAreWarnedAbout(t *testing.T) {
	down := func(auditrelay.Payload) error { return errDown }
	soon, late := &memorySink{deliver: down}, &memorySink{deliver: down}
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{
		quick(runtime.Callback{Name: "soon", Sink: aging{soon, 40 * time.Millisecond}}),
		quick(runtime.Callback{Name: "late", Sink: aging{late, 18 * time.Hour}}),
	}})
	submit(t, r, event("a", "created"))
	s := await(t, r, "soon", "expiring", func(s runtime.CallbackStatus) bool { return s.Expiring })
	if s.MaxAge != 40*time.Millisecond || s.Lag < 30*time.Millisecond {
		t.Errorf("%+v", s)
	}
	if s, err := r.Callback("late"); err != nil || s.Expiring || s.MaxAge != 18*time.Hour {
		t.Errorf("%+v, %v", s, err)
	}
	soon.set(nil)
	await(t, r, "soon", "no longer expiring", func(s runtime.CallbackStatus) bool { return !s.Expiring })
}
