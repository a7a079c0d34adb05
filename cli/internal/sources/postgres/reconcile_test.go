package postgres_test

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/cli/internal/sources/postgres"
	"auditrelay/runtime"
)

func TestReconcileTellsWhatIsMissingInBothDirections(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.fill("past", 5000) // from 2026-03-01T00:00:01 on, one a second
	s, stop := b.run(nil)
	b.swept(s)
	stop()
	for i := range 6 {
		b.db.Exec(fmt.Sprintf(`INSERT INTO "LiteLLM_AuditLog" (id, updated_at, action, table_name, object_id) VALUES ('only-here-%d', '2026-03-01T00:%d0:00.999', 'created', 't', 'o')`, i, i))
	}
	b.db.Exec(`DELETE FROM "LiteLLM_AuditLog" WHERE id IN ('past-600', 'past-1799', 'past-1800', 'past-599')`)
	for _, e := range []string{
		`{"id":"we\"ird\\","action":"created","updated_at":"2026-03-01T00:20:00.5Z"}`,
		`{"id":"zero\u0000byte","action":"created","updated_at":"2026-03-01T00:29:59.9999Z"}`,
		`{"id":"later","action":"created","updated_at":"2026-03-01T00:30:00Z"}`,
	} {
		if _, err := b.rt.Submit(t.Context(), runtime.Submission{Data: []byte(e)}); err != nil {
			t.Fatal(err)
		}
	}
	o := postgres.Reconciliation{URL: auditrelay.Secret(b.pg.URL("reader", "postgres")),
		From: time.Date(2026, 3, 1, 0, 10, 0, 0, time.UTC), To: time.Date(2026, 3, 1, 0, 30, 0, 0, time.UTC)}
	compare := func(o postgres.Reconciliation) (postgres.Reconciled, []string) {
		t.Helper()
		var got []string
		done, err := postgres.Reconcile(t.Context(), b.rt, o, func(d postgres.Difference) error {
			got = append(got, fmt.Sprint(d.MissingFrom, " ", d.ID, " ", d.Repaired))
			if d.Time.Before(o.From) || !d.Time.Before(o.To) {
				t.Errorf("outside the window: %+v", d)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(got, cmp.Compare[string])
		return done, got
	}
	missing := []string{"journal only-here-1 %v", "journal only-here-2 %v"}
	lacking := []string{"table past-1799 false", "table past-600 false", "table we\"ird\\ false", "table zero\x00byte false"}
	want := func(repaired bool) []string {
		return append([]string{fmt.Sprintf(missing[0], repaired), fmt.Sprintf(missing[1], repaired)}, lacking...)
	}
	done, got := compare(o)
	if !slices.Equal(got, want(false)) || !done.Differ() || done.Rows != 1200 || done.Events != 1202 || done.MissingInJournal != 2 || done.MissingInTable != 4 || done.Unstorable != 1 {
		t.Errorf("%+v\n%q", done, got)
	}
	o.Repair = true
	if done, got = compare(o); !slices.Equal(got, want(true)) || done.Repaired != 2 || !done.Differ() {
		t.Errorf("%+v\n%q", done, got)
	}
	if n := b.counts(); n["only-here-1"] != 1 || n["only-here-0"] != 0 || n["only-here-3"] != 0 {
		t.Errorf("repaired: %v", n)
	}
	if done, got = compare(o); !slices.Equal(got, lacking) || done.MissingInJournal != 0 {
		t.Errorf("%+v\n%q", done, got)
	}
	o.From, o.To = o.To.Add(time.Minute), o.To.Add(2*time.Minute)
	if done, got = compare(o); got != nil || done.Differ() || done.Rows != 60 || done.Events != 60 {
		t.Errorf("%+v\n%q", done, got)
	}
}
