package runtime_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/filter"
	"auditrelay/runtime"
)

// before is a filter before the journal that masks "secret", drops events with the action
// "deleted" and fails on "blocked".
func before(tb testing.TB) runtime.Step {
	tb.Helper()
	secret, err := document.ParsePath("secret")
	if err != nil {
		tb.Fatal(err)
	}
	return runtime.Step{Name: "before", Filter: fn(func(c *filter.Call) (auditrelay.Verdict, error) {
		switch c.Event.Action {
		case auditrelay.ActionDeleted:
			return auditrelay.Drop, nil
		case auditrelay.ActionBlocked:
			return auditrelay.Keep, errors.New("it failed")
		case auditrelay.ActionRotated:
			return auditrelay.NoVerdict, &filter.Error{Cause: auditrelay.CauseWallTime, Err: errors.New("busy")}
		}
		if n := c.Document.Find(secret); n != document.None {
			if err := c.Document.SetString(n, []byte("***")); err != nil {
				return auditrelay.NoVerdict, err
			}
		}
		return auditrelay.Keep, nil
	}).filter()}
}

func TestFiltersBeforeTheJournal(t *testing.T) {
	sink := &memorySink{}
	r := start(t, runtime.Options{Ingest: []runtime.Step{before(t)}, Callbacks: []runtime.Callback{
		quick(runtime.Callback{Name: "archive", Sink: sink}),
	}})
	results := submit(t, r, event("kept", "created"), event("dropped", "deleted"), event("failed", "blocked"))
	if results[0].Err != nil || results[0].Sequence == 0 || results[0].Filtered {
		t.Errorf("kept: %+v", results[0])
	}
	if results[1].Err != nil || results[1].Sequence == 0 || !results[1].Filtered || results[1].ID != "dropped" {
		t.Errorf("dropped: %+v", results[1])
	}
	if !errors.Is(results[2].Err, runtime.ErrIngestFilter) || results[2].ID != "failed" {
		t.Errorf("failed: %+v", results[2])
	}
	settle(t, r)
	want := runtime.Account{Assigned: 3, Delivered: 1, Filtered: 1, Discarded: 1, Balanced: true}
	if got := account(t, r, "archive"); got != want {
		t.Errorf("account %+v, want %+v", got, want)
	}
	lines := sink.lines()
	if len(lines) != 2 || !strings.Contains(strings.Join(slices.Collect(maps.Values(lines)), ""), `"secret":"***"`) {
		t.Fatalf("delivered %v", lines)
	}
	for _, line := range lines {
		if strings.Contains(line, "auditrelay_tombstone") {
			if ts := asTombstone(t, line); ts.Cause != "ingest" || ts.Outcome != "discarded" || ts.Action != "blocked" {
				t.Errorf("tombstone %+v", ts)
			}
		}
	}
	// Both are found by their producer's id.
	if end := ending(t, r, "dropped", "archive"); end.Outcome != auditrelay.Filtered || end.Cause != auditrelay.CauseIngest {
		t.Errorf("dropped ended as %+v", end)
	}
	if end := ending(t, r, "failed", "archive"); end.Outcome != auditrelay.Discarded {
		t.Errorf("failed ended as %+v", end)
	}
	if s := r.Stats(); s.Accepted != 2 || s.IngestFiltered != 1 || s.IngestFailed != 1 {
		t.Errorf("stats %+v", s)
	}
}

// A filter that emits before the journal breaks its contract: no emitted record may be lost
// silently.
func TestAFilterBeforeTheJournalMayNotEmit(t *testing.T) {
	step := runtime.Step{Name: "emits", Emits: []string{"alerts"}, Filter: fn(func(c *filter.Call) (auditrelay.Verdict, error) {
		c.Emitted = append(c.Emitted, filter.Emit{Target: "alerts", Data: []byte(`{}`)})
		return auditrelay.Keep, nil
	}).filter()}
	var told logs
	r := start(t, runtime.Options{Logger: told.logger(), Ingest: []runtime.Step{step}})
	for _, res := range submit(t, r, event("a", "created"), event("b", "created")) {
		if !errors.Is(res.Err, runtime.ErrIngestFilter) {
			t.Errorf("%+v", res)
		}
	}
	if n := told.count("a filter before the journal fails"); n != 1 {
		t.Errorf("told %d times", n)
	}
}

// If a filter cannot judge, nothing is stored, and the same call may be repeated.
func TestAFilterBeforeTheJournalThatCannotJudge(t *testing.T) {
	sink := &memorySink{}
	r := start(t, runtime.Options{Ingest: []runtime.Step{before(t)}, Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: sink})}})
	for name, e := range map[string]string{"a host that is busy": event("a", "rotated")} {
		_, err := r.Submit(t.Context(), runtime.Submission{Data: []byte(event("b", "created"))}, runtime.Submission{Data: []byte(e)})
		if u, ok := errors.AsType[*runtime.UnavailableError](err); !ok || u.RetryAfter <= 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s := r.Stats(); s.Head != 1 {
		t.Errorf("%d events were stored", s.Head-1)
	}
	r.SetIngest([]runtime.Step{{Name: "panics", Filter: fn(func(*filter.Call) (auditrelay.Verdict, error) { panic("x") }).filter()}})
	if _, err := r.Submit(t.Context(), runtime.Submission{Data: []byte(event("b", "created"))}); err == nil {
		t.Error("an event went past a filter that panics")
	}
	if s := r.Stats(); s.Head != 1 {
		t.Errorf("%d events were stored", s.Head-1)
	}
}

// Two events are the same if their received bytes are, not their filtered bytes.
func TestIdentityIsOfWhatCame(t *testing.T) {
	const (
		first  = `{"id":"e","updated_at":"2026-03-01T10:00:00.123456+00:00","action":"created","secret":"one","updated_values":{"a":1.0}}`
		again  = `{"updated_at":"2026-03-01T10:00:00.123+00:00","id":"e","action":"created","secret":"one","updated_values":"{\"a\": 1}"}`
		other  = `{"id":"e","updated_at":"2026-03-01T10:00:00.123456+00:00","action":"created","secret":"two","updated_values":{"a":1.0}}`
		later  = `{"id":"e","updated_at":"2026-03-01T10:00:01+00:00","action":"created","secret":"one","updated_values":{"a":1.0}}`
		within = true
	)
	for _, c := range []struct {
		name          string
		before, after bool // filters for the first, and for the second
		second        string
		duplicate     bool
	}{
		{"the same", within, within, first, true},
		{"the same by another way", within, within, again, true},
		{"another that looks the same once masked", within, within, other, false},
		{"another time", within, within, later, false},
		{"the same, filters new", false, within, again, true},
		{"another, filters new", false, within, other, false},
		{"the same, filters gone", within, false, again, true},
		{"another, filters gone", within, false, other, false},
	} {
		for _, together := range []bool{false, true} {
			if together && c.before != c.after {
				continue
			}
			t.Run(fmt.Sprintf("%s/together=%t", c.name, together), func(t *testing.T) {
				steps := func(on bool) []runtime.Step {
					if !on {
						return nil
					}
					return []runtime.Step{before(t)}
				}
				r := start(t, runtime.Options{Ingest: steps(c.before)})
				var second runtime.Result
				if together {
					second = submit(t, r, first, c.second)[1]
				} else {
					submit(t, r, first)
					r.SetIngest(steps(c.after))
					second = submit(t, r, c.second)[0]
				}
				if second.Duplicate != c.duplicate || errors.Is(second.Err, runtime.ErrConflict) == c.duplicate {
					t.Errorf("%+v", second)
				}
			})
		}
	}
}

// A value that a filter before the journal removes is in no file. Without the filter it is.
func TestWhatIsTakenOutTouchesNoDisk(t *testing.T) {
	const marker = "Zk9PlantQ7h2Vd5Xw8Lr3T"
	found := func(steps ...runtime.Step) bool {
		dir := t.TempDir()
		r, err := runtime.Open(t.Context(), runtime.Options{Dir: dir, Ingest: steps, Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: &memorySink{}})}})
		if err != nil {
			t.Fatal(err)
		}
		secret := strings.ReplaceAll(event("kept", "created"), "s3cr3t", marker)
		submit(t, r, secret, strings.ReplaceAll(event(marker+"1", "deleted"), "s3cr3t", marker), strings.ReplaceAll(event(marker+"2", "blocked"), "t1", marker))
		settle(t, r)
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		hit := false
		err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			hit = hit || bytes.Contains(data, []byte(marker))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return hit
	}
	if !found() {
		t.Fatal("without filters it is not found: the search finds nothing")
	}
	if found(before(t)) {
		t.Error("what the filter took out was written to the disk")
	}
}
