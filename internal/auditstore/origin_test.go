package auditstore_test

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"testing"

	"auditrelay"
	"auditrelay/builtin/sqlite"
	"auditrelay/internal/auditstore"
)

// earlier converts the tables to those of version 3 or 4.
func earlier(run func(string), prefix string, version int) {
	columns := []string{"source", "principal"}
	if version < 4 {
		columns = append(columns, "mapping")
	}
	for _, column := range columns {
		run(fmt.Sprintf("ALTER TABLE %sauditrelay_events DROP COLUMN %s", prefix, column))
	}
	run(fmt.Sprintf("UPDATE %sauditrelay_meta SET value = %d WHERE name = 'version'", prefix, version))
}

// TestRowsSayWhereTheyCameFrom: source and principal are in columns, whatever a record says
// itself, on tables of this version and of an earlier one. Storing a record of an earlier
// version again adds them.
func TestRowsSayWhereTheyCameFrom(t *testing.T) {
	both(t, func(t *testing.T, open func() *auditstore.Store, run func(string), prefix string) {
		s := open()
		from := func(sequence uint64, source, principal string) auditstore.Record {
			r := record(sequence, fmt.Sprint("id-", sequence), `{"source":"relay","principal":"root","auditrelay_record":{"principal":"root"}}`)
			r.Source, r.Principal = source, principal
			return r
		}
		if _, err := s.Put(t.Context(), "j.1", []auditstore.Record{from(1, "", "")}, 0); err != nil {
			t.Fatal(err)
		}
		earlier(run, prefix, 4)
		s.Close()
		s = open()
		defer s.Close()
		if got := integrityOf(t, s); got[1] != auditstore.Verified {
			t.Errorf("of version 4: %v", got)
		}
		long := string(make([]byte, 600)) // too long for a column
		all := []auditstore.Record{from(2, "http", "gateway"), from(3, "s3", "gateway"), from(4, "postgres", ""), from(5, "http", long)}
		gone := tombstone(6)
		gone.Source, gone.Principal = "http", "gateway"
		all = append(all, gone)
		if got, err := s.Put(t.Context(), "j.1", all, 0); err != nil || got.Inserted != 5 {
			t.Fatal(got, err)
		}
		if got, err := s.Put(t.Context(), "j.1", append(all, from(1, "http", "old")), 0); err != nil || got.Known != 5 || got.Replaced != 1 {
			t.Errorf("again: %+v, %v", got, err)
		}
		for _, tt := range []struct {
			query auditstore.Query
			want  []uint64
		}{
			{auditstore.Query{Principal: "gateway"}, []uint64{2, 3, 6}},
			{auditstore.Query{Source: "http"}, []uint64{1, 2, 5, 6}},
			{auditstore.Query{Source: "http", Principal: "gateway"}, []uint64{2, 6}},
			{auditstore.Query{Source: "http", Principal: "gateway", Sort: auditstore.FieldID}, []uint64{2, 6}},
			{auditstore.Query{Principal: long}, []uint64{5}},
			{auditstore.Query{Principal: "root"}, nil},
			{auditstore.Query{Source: "relay"}, nil},
		} {
			page, err := s.Skip(t.Context(), tt.query, 0, 100)
			if err != nil {
				t.Fatal(err)
			}
			var got []uint64
			for _, at := range page.Places {
				row, _, err := s.Row(t.Context(), at.Position)
				if err != nil || row.Integrity != auditstore.Verified {
					t.Errorf("%+v, %v", row, err)
				}
				got = append(got, row.Sequence)
			}
			if n, exact, err := s.Count(t.Context(), tt.query, 0); err != nil || !exact || int(n) != len(tt.want) {
				t.Errorf("%+v: counted %d, %v", tt.query, n, err)
			}
			if slices.Sort(got); !slices.Equal(got, tt.want) {
				t.Errorf("%+v: %v, want %v", tt.query, got, tt.want)
			}
		}
	})
}

// If an earlier version's tables may not be altered, missing columns are not searched.
func TestAnEarlierStoreHasNoOrigins(t *testing.T) {
	path := t.TempDir() + "/a.db"
	s, err := sqlite.Maintain(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), "j.1", []auditstore.Record{record(1, "a", `{"id":"a"}`)}, 0); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	earlier(func(statement string) {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}, "", 4)
	if s, err = sqlite.View(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := integrityOf(t, s); got[1] != auditstore.Verified {
		t.Error(got)
	}
	if _, err := s.Skip(t.Context(), auditstore.Query{Principal: "p"}, 0, 1); !errors.Is(err, auditstore.ErrEarlier) {
		t.Error(err)
	}
}

// TestAPayloadHasTheOrigin: Parse reads what Render writes, also after Split.
func TestAPayloadHasTheOrigin(t *testing.T) {
	chunk := auditrelay.Chunk{Callback: "c", Journal: "j.1", Records: []auditrelay.Record{
		{Sequence: 1, ID: "a", Source: "http", Principal: "gateway", Data: []byte(`{"id":"a"}`)},
		{Sequence: 2, Source: "s3", Principal: "key", Tombstone: true, Data: []byte(`{"auditrelay_tombstone":true}`)},
	}}
	payloads, err := auditstore.Render(chunk)
	if err != nil || len(payloads) != 1 {
		t.Fatal(payloads, err)
	}
	first, second, err := auditstore.Split(payloads[0])
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range []auditrelay.Payload{first, second} {
		_, records, err := auditstore.Parse(&p)
		if err != nil || len(records) != 1 || records[0].Source != chunk.Records[i].Source || records[0].Principal != chunk.Records[i].Principal {
			t.Errorf("%+v, %v", records, err)
		}
	}
}
