package runtime

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// TestAcceptingAgainIsToldOnce: after refusals, the log reports once that events are accepted
// again, with the past reason and its duration. It does so only after accepting has lasted for
// a while, and once for each change.
func TestAcceptingAgainIsToldOnce(t *testing.T) {
	var log bytes.Buffer
	now := time.Unix(0, 0)
	d := &door{log: slog.New(slog.NewTextHandler(&log, nil)), now: func() time.Time { return now }}
	step := func(after time.Duration, refuse error, refused, again int) {
		t.Helper()
		now = now.Add(after)
		if refuse != nil {
			d.refuse(refuse, true)
		} else {
			d.pass()
		}
		text := log.String()
		if a, b := strings.Count(text, "events are refused"), strings.Count(text, "events are accepted again"); a != refused || b != again {
			t.Errorf("at %v: refused told %d times, want %d; accepted again %d, want %d\n%s", now.Sub(time.Unix(0, 0)), a, refused, b, again, text)
		}
	}
	failed := errors.New("the disk is gone")
	step(0, nil, 0, 0)
	step(time.Second, failed, 1, 0)
	step(time.Second, failed, 1, 0)
	step(time.Second, nil, 1, 0)    // small events pass between two refusals
	step(time.Second, failed, 1, 0) // and the pause restarts
	step(doorPause-1, nil, 1, 0)
	step(1, nil, 1, 1)
	if !strings.Contains(log.String(), "reason=journal after=13s") {
		t.Errorf("the log: %s", log.String())
	}
	step(time.Minute, nil, 1, 1)
	if reason, refused := d.state(); reason != "" || refused[refusedJournal] != 3 {
		t.Errorf("state: %q, %v", reason, refused)
	}
	step(time.Second, ErrClosed, 1, 1) // closing is no change
	step(time.Second, failed, 2, 1)
	step(doorPause, nil, 2, 2)
}
