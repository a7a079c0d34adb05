package auditstore_test

import (
	"fmt"
	"testing"

	"auditrelay"
	"auditrelay/internal/auditstore"
)

// TestRecordsOfOtherSchemas: mapped fields are searched by LiteLLM's names, on tables of this
// version and of an earlier one. A changed mapping makes the row damaged.
func TestRecordsOfOtherSchemas(t *testing.T) {
	both(t, func(t *testing.T, open func() *auditstore.Store, run func(string), prefix string) {
		s := open()
		earlier(run, prefix, 3)
		s.Close()
		s = open()
		defer s.Close()
		mapped := record(1, "o1", `{"order":"o1","verb":"buy","by":{"mail":"jane"},"object":"b1"}`)
		mapped.Mapping = &auditrelay.Mapping{Schema: "shop", ID: "order", Action: "verb", Actor: "by.mail", Object: "shelf/{object}", ObjectType: "=book"}
		masked := record(2, "o2", `{"order":"o2","verb":"buy","by":{"mail":"***"}}`)
		masked.Mapping = mapped.Mapping
		plain := record(3, "o3", `{"id":"o3","action":"created","changed_by":"kim","verb":"buy"}`)
		all := []auditstore.Record{mapped, masked, plain}
		if got, err := s.Put(t.Context(), "j.1", all, 0); err != nil || got.Inserted != 3 {
			t.Fatal(got, err)
		}
		if got, err := s.Put(t.Context(), "j.1", all, 0); err != nil || got.Known != 3 {
			t.Fatal(got, err)
		}
		for _, tt := range []struct {
			field auditstore.Field
			value string
			want  uint64
		}{
			{auditstore.FieldAction, "buy", 2}, {auditstore.FieldChangedBy, "jane", 1}, {auditstore.FieldChangedBy, "***", 2}, {auditstore.FieldChangedBy, "kim", 3},
			{auditstore.FieldObject, "shelf/b1", 1}, {auditstore.FieldTable, "book", 2}, {auditstore.FieldID, "o1", 1},
		} {
			page, err := s.Skip(t.Context(), auditstore.Query{Equal: map[auditstore.Field]string{tt.field: tt.value}}, 0, 10)
			if err != nil || len(page.Places) == 0 {
				t.Errorf("%s %s: %v, %v", tt.field, tt.value, page, err)
				continue
			}
			row, _, err := s.Row(t.Context(), page.Places[0].Position)
			if err != nil || row.Sequence != tt.want || row.Integrity != auditstore.Verified {
				t.Errorf("%s %s: %+v, %v", tt.field, tt.value, row, err)
			}
			if other := row.Mapping == nil; other != (row.Sequence == 3) {
				t.Errorf("%s: mapping %+v", row.ID, row.Mapping)
			}
		}
		run(fmt.Sprintf(`UPDATE %sauditrelay_events SET mapping = replace(mapping, 'book', 'boat'), table_name = 'boat' WHERE sequence = 1`, prefix))
		run(fmt.Sprintf(`UPDATE %sauditrelay_events SET mapping = '' WHERE sequence = 2`, prefix))
		if got := integrityOf(t, s); got[1] != auditstore.Damaged || got[2] != auditstore.Damaged {
			t.Errorf("%v", got)
		}
		if _, err := s.Put(t.Context(), "j.1", all, 0); err != nil {
			t.Fatal(err)
		}
		for sequence, is := range integrityOf(t, s) {
			if is != auditstore.Verified {
				t.Errorf("stored again: %d is %s", sequence, is)
			}
		}
	})
}

// TestAPayloadHasTheMapping: Parse reads what Render writes.
func TestAPayloadHasTheMapping(t *testing.T) {
	m := &auditrelay.Mapping{Schema: "shop", Action: "verb"}
	chunk := auditrelay.Chunk{Callback: "c", Journal: "j.1", Records: []auditrelay.Record{
		{Sequence: 1, ID: "a", Mapping: m, Data: []byte(`{"verb":"buy"}`)},
		{Sequence: 2, Tombstone: true, Mapping: m, Data: []byte(`{"auditrelay_tombstone":true}`)},
		{Sequence: 3, ID: "c", Data: []byte(`{"id":"c"}`)},
	}}
	payloads, err := auditstore.Render(chunk)
	if err != nil || len(payloads) != 1 {
		t.Fatal(payloads, err)
	}
	_, records, err := auditstore.Parse(&payloads[0])
	if err != nil || len(records) != 3 || records[0].Mapping == nil || *records[0].Mapping != *m || records[1].Mapping != nil || records[2].Mapping != nil {
		t.Errorf("%+v, %v", records, err)
	}
}
