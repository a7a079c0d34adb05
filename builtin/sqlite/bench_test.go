package sqlite_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/builtin/sqlite"
	"auditrelay/internal/auditstore"
)

// BenchmarkMillion measures pages, counts and exports over a million events of about 0.9 KB, and
// the speed of writing them. AUDITRELAY_ROWS sets another number of events.
//
//	go test ./builtin/sqlite -run '^$' -bench Million -benchtime 200x -timeout 30m
func BenchmarkMillion(b *testing.B) {
	rows := 1_000_000
	if s := os.Getenv("AUDITRELAY_ROWS"); s != "" {
		var err error
		if rows, err = strconv.Atoi(s); err != nil {
			b.Fatal(err)
		}
	}
	path := filepath.Join(b.TempDir(), "audit.db")
	begin := time.Now()
	fill(b, path, rows)
	took := time.Since(begin)
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("%d events in %v, %.0f a second; the file has %.0f bytes an event", rows, took.Round(time.Second), float64(rows)/took.Seconds(), float64(info.Size())/float64(rows))
	s, err := sqlite.Open(b.Context(), sqlite.Options{Path: path})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	equal := func(f auditstore.Field, value string) auditstore.Query {
		return auditstore.Query{Equal: map[auditstore.Field]string{f: value}}
	}
	narrowed := func(f auditstore.Field, value string, sort auditstore.Field) auditstore.Query {
		q := equal(f, value)
		q.Sort = sort
		return q
	}
	both := equal(auditstore.FieldAction, "updated")
	both.Equal[auditstore.FieldTable] = "LiteLLM_UserTable"
	none := equal(auditstore.FieldAction, "rotated")
	none.Equal[auditstore.FieldTable] = "LiteLLM_TeamTable"
	sorted := auditstore.Query{Sort: auditstore.FieldChangedBy}
	day := auditstore.Query{From: first.Add(24 * time.Hour), To: first.Add(48 * time.Hour)}
	deep, err := s.Skip(b.Context(), auditstore.Query{}, rows*9/10, 1)
	if err != nil {
		b.Fatal(err)
	}
	page := func(q auditstore.Query) func(ctx context.Context) error {
		return func(ctx context.Context) error {
			p, err := s.Skip(ctx, q, 0, 10)
			if err == nil {
				_, _, err = s.Count(ctx, q, 10_000)
			}
			for i := range p.Places {
				if err == nil {
					_, _, err = s.Row(ctx, p.Places[i].Position)
				}
			}
			return err
		}
	}
	for _, one := range []struct {
		name string
		run  func(ctx context.Context) error
	}{
		{"first page", page(auditstore.Query{})},
		{"first page, action (1 in 6)", page(equal(auditstore.FieldAction, "created"))},
		{"first page, user (1 in 1000)", page(equal(auditstore.FieldChangedBy, "user-7"))},
		{"first page, object", page(equal(auditstore.FieldObject, "team-77"))},
		{"first page, two broad filters", page(both)},
		{"first page, two broad filters that never meet", page(none)},
		{"first page, a day", page(day)},
		{"first page, by user", page(sorted)},
		{"first page, action (1 in 6), by user", page(narrowed(auditstore.FieldAction, "created", auditstore.FieldChangedBy))},
		{"first page, table (1 in 3), by object", page(narrowed(auditstore.FieldTable, "LiteLLM_TeamTable", auditstore.FieldObject))},
		{"first page, user (1 in 1000), by object", page(narrowed(auditstore.FieldChangedBy, "user-7", auditstore.FieldObject))},
		{"first page, a day, by user", page(auditstore.Query{From: day.From, To: day.To, Sort: auditstore.FieldChangedBy})},
		{"export's positions, action (1 in 6), by user", func(ctx context.Context) error {
			return s.Positions(ctx, narrowed(auditstore.FieldAction, "created", auditstore.FieldChangedBy), func(int64) error { return nil })
		}},
		{"by id", func(ctx context.Context) error { _, _, err := s.Find(ctx, "", "id-777"); return err }},
		{"page 90,000", func(ctx context.Context) error { _, err := s.Skip(ctx, auditstore.Query{}, rows*9/10, 10); return err }},
		{"cursor there", func(ctx context.Context) error {
			_, err := s.After(ctx, auditstore.Query{}, deep.Places[0], 10)
			return err
		}},
		{"exact count of 1 in 6", func(ctx context.Context) error {
			_, _, err := s.Count(ctx, equal(auditstore.FieldAction, "created"), 0)
			return err
		}},
		{"export of 1000", func(ctx context.Context) error {
			p, err := s.Skip(ctx, auditstore.Query{}, 0, 1000)
			for i := range p.Places {
				if err == nil {
					_, _, err = s.Row(ctx, p.Places[i].Position)
				}
			}
			return err
		}},
	} {
		b.Run(one.name, func(b *testing.B) {
			for b.Loop() {
				// With a deadline, as the audit API has one.
				ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
				err := one.run(ctx)
				cancel()
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

var first = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func fill(b *testing.B, path string, rows int) {
	b.Helper()
	sink := newSink(b, path)
	actions := []string{"created", "updated", "deleted", "blocked", "unblocked", "rotated"}
	tables := []string{"LiteLLM_TeamTable", "LiteLLM_UserTable", "LiteLLM_VerificationToken"}
	const chunk = 10_000
	for from := 0; from < rows; from += chunk {
		c := auditrelay.Chunk{Callback: "store", Journal: "0123456789abcdef.0123456789abcdef", From: uint64(from + 1)}
		for n := from; n < min(from+chunk, rows); n++ {
			at := first.Add(time.Duration(n) * time.Second)
			c.Records = append(c.Records, auditrelay.Record{
				Sequence: uint64(n + 1), Namespace: "litellm", ID: fmt.Sprintf("id-%d", n*7919%rows), Time: at, Received: at,
				Data: fmt.Appendf(nil, `{"id":"id-%d","updated_at":%q,"changed_by":"user-%d","changed_by_api_key":"%064x","action":%q,"table_name":%q,"object_id":"team-%d","before_value":"{\"padding\":\"%0300d\"}","updated_values":"{\"padding\":\"%0300d\"}"}`,
					n*7919%rows, at.Format(time.RFC3339), n*31%1000, n*31%5000, actions[n%6], tables[n%3], n*17%50000, n, n+1),
			})
		}
		payloads, err := sink.Render(c)
		if err != nil {
			b.Fatal(err)
		}
		for _, p := range payloads {
			if _, err := sink.Deliver(b.Context(), p); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := sink.Close(); err != nil {
		b.Fatal(err)
	}
}
