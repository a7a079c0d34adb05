package ndjson_test

import (
	"errors"
	"testing"

	"auditrelay"
	"auditrelay/internal/ndjson"

	"github.com/google/go-cmp/cmp"
)

func TestJoinKeepsOrderAndBytes(t *testing.T) {
	body, sequences := ndjson.Join([]auditrelay.Record{
		{Sequence: 3, Data: []byte(`{"a": 1.0}`)},
		{Sequence: 7, Data: []byte(`{}`)},
	})
	if diff := cmp.Diff("{\"a\": 1.0}\n{}\n", string(body)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]uint64{3, 7}, sequences); diff != "" {
		t.Error(diff)
	}
}

func TestCheckNamesWhatCannotStandOnALine(t *testing.T) {
	err := ndjson.Check([]auditrelay.Record{
		{Sequence: 1, Data: []byte(`{}`)},
		{Sequence: 2, Data: []byte("{\n}")},
		{Sequence: 3},
	})
	bad, ok := errors.AsType[*auditrelay.RecordErrors](err)
	if !ok || len(bad.Records) != 2 || bad.Records[0].Sequence != 2 || bad.Records[1].Sequence != 3 {
		t.Fatalf("got %v", err)
	}
	if err := ndjson.Check([]auditrelay.Record{{Sequence: 1, Data: []byte(`{}`)}}); err != nil {
		t.Fatal(err)
	}
}

func TestCut(t *testing.T) {
	for _, tc := range []struct {
		body          string
		n, total      int
		first, second string
		bad           bool
	}{
		{body: "1\n2\n", n: 1, total: 2, first: "1\n", second: "2\n"},
		{body: "1\n2\n3\n", n: 2, total: 3, first: "1\n2\n", second: "3\n"},
		{body: "1\n2\n", n: 1, total: 3, bad: true},
		{body: "1\n2", n: 1, total: 2, bad: true},
		{body: "1\n", n: 1, total: 1, bad: true},
		{body: "", n: 1, total: 2, bad: true},
	} {
		first, second, err := ndjson.Cut([]byte(tc.body), tc.n, tc.total)
		if (err != nil) != tc.bad || string(first) != tc.first || string(second) != tc.second {
			t.Errorf("Cut(%q, %d, %d) = %q, %q, %v", tc.body, tc.n, tc.total, first, second, err)
		}
	}
}
