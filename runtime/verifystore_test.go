package runtime_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/builtin/postgres"
	"auditrelay/builtin/sqlite"
	"auditrelay/filter"
	"auditrelay/internal/auditstore"
	"auditrelay/internal/test/pgtest"
	"auditrelay/internal/verify"
	"auditrelay/runtime"

	_ "github.com/jackc/pgx/v5/stdlib"
	"golang.org/x/mod/sumdb/note"
)

// storeRows is a store in the form that verify reads.
type storeRows struct {
	ctx context.Context
	*auditstore.Store
}

func (s storeRows) Bundles(fn func(string, []byte) error) error { return s.Store.Bundles(s.ctx, fn) }

func (s storeRows) Check() ([]string, error) { return s.Store.Check(s.ctx) }

func (s storeRows) Rows(fn func(verify.Row) error) error {
	return s.Each(s.ctx, func(r *auditstore.Row) error {
		return fn(verify.Row{Position: r.Position, Journal: r.Journal, Sequence: r.Sequence, Data: r.Data, Tombstone: r.Tombstone, Damaged: r.Integrity == auditstore.Damaged})
	})
}

// storeTo runs a relay with delivered, filtered and dead-lettered events and one store. It
// returns the public key.
func storeTo(t *testing.T, sink func() auditrelay.Sink) (public string) {
	t.Helper()
	signing, public, err := note.GenerateKey(rand.Reader, "relay.example")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for round := range 2 {
		r, err := runtime.Open(t.Context(), runtime.Options{Dir: dir, Proofs: runtime.ProofOptions{Key: signing}, Callbacks: []runtime.Callback{{
			Name: "store", Digest: "1", Sink: sink(), Chunk: auditrelay.Chunking{Events: 4},
			Steps: []runtime.Step{{Name: "f", Filter: fn(func(c *filter.Call) (auditrelay.Verdict, error) {
				switch {
				case bytes.Contains(c.Event.Data, []byte("o3")):
					return auditrelay.Drop, nil
				case bytes.Contains(c.Event.Data, []byte("o5")):
					return auditrelay.NoVerdict, errors.New("no")
				}
				return auditrelay.Keep, nil
			}).filter()}}}}})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 6 {
			if _, err := r.Submit(t.Context(), runtime.Submission{Data: fmt.Appendf(nil, `{"id":"e%d-%d","action":"created","object_id":"o%d","updated_values":"{\"n\":%d}"}`, round, i, i, i)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return public
}

// TestAStoreVerifies: a complete one does, and changes are reported by row.
func TestAStoreVerifies(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "a.db")
		public := storeTo(t, func() auditrelay.Sink {
			s, err := sqlite.New(sqlite.Options{Path: path})
			if err != nil {
				t.Fatal(err)
			}
			return s
		})
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		view := func() (*auditstore.Store, error) { return sqlite.View(t.Context(), path) }
		testStore(t, public, view, func(statements ...string) { execute(t, path, statements...) }, "", func() {
			if err := os.WriteFile(path, whole, 0o600); err != nil {
				t.Fatal(err)
			}
		})
		flipStore(t, path, public, whole)
	})
	t.Run("postgres", func(t *testing.T) {
		server := pgtest.Start(t)
		admin := server.Connect(t, "owner", "postgres")
		o := postgres.Options{URL: auditrelay.Secret(server.URL("owner", "postgres"))}
		public := storeTo(t, func() auditrelay.Sink {
			s, err := postgres.New(o)
			if err != nil {
				t.Fatal(err)
			}
			return s
		})
		for _, table := range []string{"events", "proofs"} {
			admin.Exec("CREATE TABLE whole_" + table + " AS SELECT * FROM auditrelay.auditrelay_" + table)
		}
		testStore(t, public, func() (*auditstore.Store, error) { return postgres.View(t.Context(), o) }, func(statements ...string) {
			for _, s := range statements {
				admin.Exec(s)
			}
		}, "auditrelay.", func() {
			for _, table := range []string{"events", "proofs"} {
				admin.Exec("DELETE FROM auditrelay.auditrelay_" + table)
				admin.Exec("INSERT INTO auditrelay.auditrelay_" + table + " OVERRIDING SYSTEM VALUE SELECT * FROM whole_" + table)
			}
		})
	})
}

// cutRows is a store whose records can only be read in part.
type cutRows struct{ storeRows }

func (s cutRows) Rows(fn func(verify.Row) error) error {
	left := 3
	return s.storeRows.Rows(func(r verify.Row) error {
		if left--; left < 0 {
			return errors.New("the database is damaged")
		}
		return fn(r)
	})
}

// execute changes a database file.
func execute(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%.80s: %v", s, err)
		}
	}
}

func verifyStore(t *testing.T, view func() (*auditstore.Store, error), o verify.Options) (*verify.Report, error) {
	t.Helper()
	s, err := view()
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return verify.Store(storeRows{t.Context(), s}, o)
}

func testStore(t *testing.T, public string, view func() (*auditstore.Store, error), run func(...string), prefix string, restore func()) {
	o := verify.Options{Keys: []string{public}}
	report, err := verifyStore(t, view, o)
	if err != nil || report.FaultCount > 0 || report.Records != 10 || report.Objects != 10 || len(report.Unattested) > 0 || report.Logs[0].Last != 12 {
		t.Fatalf("untouched: %s\n%+v, %v", report.Verdict(), report, err)
	}
	s, err := view()
	if err != nil {
		t.Fatal(err)
	}
	cut, err := verify.Store(cutRows{storeRows{t.Context(), s}}, o)
	if err := errors.Join(err, s.Close()); err != nil || cut.FaultCount != 1 || cut.Faults[0].Category != verify.Unreadable {
		t.Errorf("read in part, it has other faults than that: %+v, %v", cut, err)
	}
	o.Pins = [][]byte{[]byte(report.Logs[0].Checkpoint)}
	events, proofs := prefix+"auditrelay_events", prefix+"auditrelay_proofs"
	columns := "journal, tombstone, updated_at, received, action, table_name, object_id, changed_by, changed_by_api_key, namespace, id, data, digest, teams, team_names, tokens"
	for name, c := range map[string]struct {
		do   []string
		want verify.Category
		text string
	}{
		"a record is changed": {[]string{"UPDATE " + events + " SET data = replace(data, '\\\"n\\\":1', '\\\"n\\\":7') WHERE sequence = 2"}, verify.Altered, "sequence 2: its content does not match the digest"},
		"a record is changed, and has no digest": {[]string{"UPDATE " + events + " SET data = replace(data, '\\\"n\\\":1', '\\\"n\\\":7'), digest = NULL WHERE sequence = 2"},
			verify.Altered, fmt.Sprintf("sequence 2: its record is not what was delivered until %s; if a replay has delivered it again since then, verify again", time.Unix(report.Logs[0].SignedUntil, 0).UTC().Format(time.RFC3339))},
		"a record is called a tombstone, and has no digest": {[]string{"UPDATE " + events + " SET tombstone = 1, digest = NULL WHERE sequence = 2"},
			verify.Altered, "sequence 2: it is marked as a tombstone, but is a record"},
		"a tombstone is called a record, and has no digest": {[]string{"UPDATE " + events + " SET tombstone = 0, digest = NULL WHERE sequence = 6"},
			verify.Altered, "sequence 6: it is marked as a record, but is a tombstone"},
		"what is searched inside values is changed": {[]string{"UPDATE " + events + " SET tokens = 'x' WHERE sequence = 2"}, verify.Altered, "sequence 2: its content does not match the digest"},
		"a row is deleted":                          {[]string{"DELETE FROM " + events + " WHERE sequence = 2"}, verify.Missing, "sequence 2: its row is missing"},
		"rows are deleted":                          {[]string{"DELETE FROM " + events + " WHERE sequence IN (1, 2, 3, 5)"}, verify.Missing, "the rows of sequences 1 to 3 are missing"},
		"all are":                                   {[]string{"DELETE FROM " + events}, verify.Missing, "sequence 1: the rows of sequences 1 to 3 are missing"},
		"a row is added":                            {[]string{"INSERT INTO " + events + " (sequence, " + columns + ") SELECT 4, " + columns + " FROM " + events + " WHERE sequence = 1"}, verify.Added, "sequence 4: only the store has it"},
		"rows change places": {[]string{"UPDATE " + events + " SET sequence = -1, digest = NULL WHERE sequence = 1", "UPDATE " + events + " SET sequence = 1, digest = NULL WHERE sequence = 2", "UPDATE " + events + " SET sequence = 2 WHERE sequence = -1"},
			verify.Altered, "sequence 1: its record is not what was delivered"},
		"the last bundle is deleted": {[]string{"DELETE FROM " + proofs + " WHERE size = (SELECT MAX(size) FROM " + proofs + ")"}, verify.Truncated, "pin 1"},
		"all bundles are":            {[]string{"DELETE FROM " + proofs}, verify.Missing, "no valid checkpoint"},
		"the first bundle is":        {[]string{"DELETE FROM " + proofs + " WHERE size = (SELECT MIN(size) FROM " + proofs + ")"}, "", ""},
		"a bundle is changed":        {[]string{"UPDATE " + proofs + " SET bundle = (SELECT bundle FROM " + proofs + " ORDER BY size LIMIT 1)"}, verify.Added, "it is there twice"},
	} {
		t.Run(name, func(t *testing.T) {
			run(c.do...)
			defer restore()
			r, err := verifyStore(t, view, o)
			if err != nil {
				t.Fatal(err)
			}
			if c.want == "" {
				if r.FaultCount > 0 || r.Records != 10 {
					t.Errorf("%s\n%v", r.Verdict(), r.Faults)
				}
				return
			}
			if !slices.ContainsFunc(r.Faults, func(f verify.Fault) bool { return f.Category == c.want && strings.Contains(f.String(), c.text) }) {
				t.Errorf("%s\n%v", r.Verdict(), r.Faults)
			}
		})
	}
	run("DELETE FROM " + events + " WHERE sequence <= 3")
	defer restore()
	o.From = 4
	if r, err := verifyStore(t, view, o); err != nil || r.FaultCount > 0 || r.Records != 7 {
		t.Errorf("from 4: %s %v %v", r.Verdict(), r.Faults, err)
	}
}

// flipStore flips bytes of a database. Each flip is reported, or changes nothing.
func flipStore(t *testing.T, path, public string, whole []byte) {
	t.Helper()
	step, named := 997, 0
	if os.Getenv("AUDITRELAY_SOAK") != "" {
		step = 1
	}
	for at := 0; at < len(whole); at += step {
		changed := bytes.Clone(whole)
		changed[at] ^= 1 << (at % 8)
		if err := os.WriteFile(path, changed, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := verifyStore(t, func() (*auditstore.Store, error) { return sqlite.View(t.Context(), path) }, verify.Options{Keys: []string{public}})
		if err != nil || r.FaultCount > 0 {
			named++
			continue
		}
		if r.Records != 10 || r.Objects != 10 || r.Logs[0].Last != 12 {
			t.Errorf("byte %d was flipped, and %s", at, r.Verdict())
		}
	}
	t.Logf("%d of %d flips were named; the others changed nothing that is read", named, (len(whole)+step-1)/step)
	if named == 0 {
		t.Error("no flip was named")
	}
}
