package s3_test

import (
	"testing"
	"time"

	"auditrelay"
	"auditrelay/builtin/s3"
)

// The records' origin is in the object's metadata, where no event can write. An object with several
// origins names none.
func TestOriginsStandInTheMetadata(t *testing.T) {
	at := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	r := func(sequence uint64, principal string) auditrelay.Record {
		return auditrelay.Record{Sequence: sequence, Namespace: "team-x", ID: "a" + principal, Time: at, Received: at, Source: "http", Principal: principal,
			Data: []byte(`{"id":"a","auditrelay_principal":"forged"}`)}
	}
	for _, row := range []struct {
		layout  string
		records []auditrelay.Record
		want    [4]string // namespace, source, principal, sequence
	}{
		{s3.LayoutLiteLLM, []auditrelay.Record{r(7, "J\u00f6rg A")}, [4]string{"team-x", "http", "J%C3%B6rg%20A", "7"}},
		{s3.LayoutBatch, []auditrelay.Record{r(7, "alice"), r(8, "alice")}, [4]string{"team-x", "http", "alice", ""}},
		{s3.LayoutBatch, []auditrelay.Record{r(7, "alice"), r(8, "bob")}, [4]string{}},
	} {
		o := options("http://127.0.0.1:1", "bucket")
		o.Layout = row.layout
		payloads, err := newSink(t, o).Render(auditrelay.Chunk{Callback: "archive", Journal: "j.1", From: 7, To: 9, Records: row.records})
		if err != nil || len(payloads) != 1 {
			t.Fatal(payloads, err)
		}
		var got [4]string
		for i, name := range []string{"Namespace", "Source", "Principal", "Sequence"} {
			got[i] = payloads[0].Headers["X-Amz-Meta-Auditrelay-"+name]
		}
		if got != row.want {
			t.Errorf("%v: %q, want %q", row.layout, got, row.want)
		}
	}
}
