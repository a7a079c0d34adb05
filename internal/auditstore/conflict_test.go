package auditstore_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"auditrelay/internal/auditstore"
)

// An unequal event with a known id is marked, whichever of the two was stored first, and is
// never shown in place of the other.
func TestTheFirstOfAnIDIsShown(t *testing.T) {
	everywhere(t, func(t *testing.T, open opener) {
		s := open(t)
		at := func(r auditstore.Record, minute int) auditstore.Record {
			r.Received = noon.Add(time.Duration(minute) * time.Minute)
			return r
		}
		elsewhere := record(4, "a", `{"id":"a","changed_by":"elsewhere"}`)
		elsewhere.Namespace = "team-x"
		first, second := at(record(2, "a", `{"id":"a","changed_by":"mallory"}`), 2), at(record(3, "a", `{"id":"a","changed_by":"bob"}`), 3)
		put := func(records ...auditstore.Record) {
			t.Helper()
			if _, err := s.Put(t.Context(), "j.1", records, 0); err != nil {
				t.Fatal(err)
			}
		}
		// The first one was a dead letter, and comes last. Nothing conflicts with another
		// namespace's events, however early they came.
		put(at(elsewhere, 1), second, record(5, "b", `{"id":"b"}`), record(6, "b", `{"id":"b"}`))
		put(first)
		put(first, second) // again, as after a crash
		shown := func(namespace, id string) string {
			t.Helper()
			f, ok, err := s.Find(t.Context(), namespace, id)
			if err != nil || !ok {
				return fmt.Sprint(ok, err)
			}
			text := fmt.Sprintf("%s %d", f.Namespace, f.Sequence)
			if f.Conflict {
				text += " conflict"
			}
			for _, o := range f.Others {
				text += fmt.Sprintf(", %s %s %d %v", o.Namespace, o.Journal, o.Sequence, o.Conflict)
			}
			return text
		}
		for of, want := range map[[2]string]string{
			{"", "a"}:        "litellm 2, litellm j.1 3 true, team-x j.1 4 false",
			{"litellm", "a"}: "litellm 2, litellm j.1 3 true",
			{"team-x", "a"}:  "team-x 4",
			{"team-y", "a"}:  "false <nil>",
			{"", "b"}:        "litellm 5",
		} {
			if got := shown(of[0], of[1]); got != want {
				t.Errorf("%q: %s, want %s", of, got, want)
			}
		}
		// An event in place of its tombstone conflicts like any other.
		put(tombstone(7))
		put(at(record(7, "a", `{"id":"a","changed_by":"carol"}`), 7))
		if got, want := shown("litellm", "a"), "litellm 2, litellm j.1 3 true, litellm j.1 7 true"; got != want {
			t.Errorf("after a replay: %s, want %s", got, want)
		}
		// The part of a list that a reader of one namespace gets.
		for namespace, want := range map[string][]uint64{"litellm": {2, 3, 5, 7}, "team-x": {4}, "team-y": nil, "": {2, 3, 4, 5, 7}} {
			for _, sort := range []auditstore.Field{"", auditstore.FieldChangedBy} {
				q := auditstore.Query{Namespace: namespace, Sort: sort}
				page, err := s.Skip(t.Context(), q, 0, 100)
				if err != nil {
					t.Fatal(err)
				}
				var got []uint64
				for _, p := range page.Places {
					r, _, err := s.Row(t.Context(), p.Position)
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, r.Sequence)
				}
				slices.Sort(got)
				if n, _, err := s.Count(t.Context(), q, 0); !slices.Equal(got, want) || int(n) != len(want) || err != nil {
					t.Errorf("namespace %q by %q: %v, counted %d, want %v (%v)", namespace, sort, got, n, want, err)
				}
			}
		}
		// The mark outlives the first event.
		if n, err := s.Purge(t.Context(), noon.Add(time.Hour), auditstore.Keep{Age: time.Hour - 150*time.Second}); n == 0 || err != nil {
			t.Fatal(n, err)
		}
		if got, want := shown("litellm", "a"), "litellm 3 conflict, litellm j.1 7 true"; got != want {
			t.Errorf("after retention: %s, want %s", got, want)
		}
	})
}

// Conflicts stored by an earlier version are marked when its tables are updated.
func TestConflictsOfAnEarlierVersion(t *testing.T) {
	both(t, func(t *testing.T, open func() *auditstore.Store, run func(string), prefix string) {
		if prefix != "" {
			run("CREATE SCHEMA auditrelay")
		}
		for _, statement := range first(prefix) {
			run(statement)
		}
		run("INSERT INTO " + prefix + `auditrelay_events (journal, sequence, tombstone, updated_at, received, action, table_name, object_id, changed_by, changed_by_api_key, namespace, id, data)
			SELECT journal, 5000, tombstone, updated_at, received + 1, action, table_name, object_id, 'bob', changed_by_api_key, namespace, id, '{"id":"id-5","changed_by":"bob"}' FROM ` + prefix + "auditrelay_events WHERE id = 'id-5'")
		s := open()
		defer s.Close()
		f, ok, err := s.Find(t.Context(), "", "id-5")
		if err != nil || !ok || f.Conflict || f.Sequence != 5 || len(f.Others) != 1 || !f.Others[0].Conflict || f.Others[0].Sequence != 5000 {
			t.Errorf("%+v, %v, %v", f, ok, err)
		}
		if f, _, err := s.Find(t.Context(), "", "id-6"); err != nil || f.Conflict || f.Others != nil {
			t.Errorf("%+v, %v", f, err)
		}
	})
}
