package http

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"

	"auditrelay/internal/auditstore"
	"auditrelay/internal/schema"

	"github.com/tidwall/gjson"
)

// recordField is the field of an audit log with the relay's own data about it. A field of the
// event with that name is omitted.
const recordField = "auditrelay_record"

// auditRecord is the value of that field.
type auditRecord struct {
	Namespace string    `json:"namespace"`
	Journal   string    `json:"journal"`
	Sequence  uint64    `json:"sequence"`
	Received  time.Time `json:"received"`
	// Source and Principal say where the event came from; an event's content cannot change
	// them. They are missing if an older version stored the record. Principal is also missing
	// if the sender needed no token.
	Source    string `json:"source,omitempty"`
	Principal string `json:"principal,omitempty"`
	Tombstone bool   `json:"tombstone"`
	// Conflict: a different event with this id had been accepted before.
	Conflict bool `json:"conflict,omitempty"`
	// Schema is the schema of an event that is not in LiteLLM's.
	Schema string `json:"schema,omitempty"`
	// Integrity says whether the record is unchanged since it was stored. Of a damaged record
	// only its place is shown.
	Integrity auditstore.Integrity `json:"integrity"`
	// Others lists other records with this id. It is set only for a request by id.
	Others []otherRecord `json:"others,omitempty"`
}

// otherRecord is another record with the same id.
type otherRecord struct {
	Namespace string    `json:"namespace"`
	Journal   string    `json:"journal"`
	Sequence  uint64    `json:"sequence"`
	Received  time.Time `json:"received"`
	Conflict  bool      `json:"conflict"` // with the first one of its namespace
}

func otherRecords(others []auditstore.Other) []otherRecord {
	return some(others, func(o *auditstore.Other) otherRecord { return otherRecord(*o) })
}

// valueField is the single field of an object that replaces a value that is not an object,
// since LiteLLM's model has only objects or null there.
const valueField = "auditrelay_value"

// auditLog returns a stored record in the form of LiteLLM's API: with all fields of its model
// and their types, objects instead of strings with JSON, and then the event's other fields.
func auditLog(row *auditstore.Row, others ...otherRecord) []byte {
	var b bytes.Buffer
	b.Grow(len(row.Data) + 512)
	field := func(name string, value []byte) {
		if b.Len() > 0 {
			b.WriteByte(',')
		} else {
			b.WriteByte('{')
		}
		b.Write(appendMarshalled(nil, name))
		b.WriteByte(':')
		b.Write(value)
	}
	seen := map[string]bool{}
	data := row.Data
	if row.Integrity == auditstore.Damaged {
		data = nil
	}
	if row.Mapping != nil && data != nil {
		data = asLiteLLM(row)
	}
	gjson.ParseBytes(data).ForEach(func(key, value gjson.Result) bool {
		name := key.String()
		if name == recordField || seen[name] {
			return true
		}
		seen[name] = true
		switch name {
		case "before_value", "updated_values":
			field(name, onlyObject(asObject(value)))
		case "id", "updated_at", "changed_by", "changed_by_api_key", "action", "table_name", "object_id":
			if value.Type == gjson.Null || name == "updated_at" && value.Str == "" {
				delete(seen, name) // treated as missing
			} else if value.Type == gjson.String {
				field(name, []byte(value.Raw))
			} else {
				field(name, appendMarshalled(nil, value.Raw))
			}
		default:
			field(name, []byte(value.Raw))
		}
		return true
	})
	for _, missing := range []struct {
		name  string
		value any
	}{
		{"id", row.ID}, {"updated_at", isoTime(row.Time)}, {"changed_by", ""}, {"changed_by_api_key", ""}, {"action", ""},
		{"table_name", ""}, {"object_id", ""}, {"before_value", nil}, {"updated_values", nil},
	} {
		if !seen[missing.name] {
			field(missing.name, appendMarshalled(nil, missing.value))
		}
	}
	name := ""
	if row.Mapping != nil {
		name = row.Mapping.Schema
	}
	field(recordField, appendMarshalled(nil, auditRecord{Schema: name, Namespace: row.Namespace, Journal: row.Journal, Sequence: row.Sequence, Received: row.Received, Source: row.Source, Principal: row.Principal, Tombstone: row.Tombstone, Conflict: row.Conflict, Integrity: row.Integrity, Others: others}))
	b.WriteByte('}')
	return b.Bytes()
}

// asLiteLLM returns an event of another schema in the form of LiteLLM's API: the mapped fields
// with LiteLLM's names, and the delivered event as the updated values.
func asLiteLLM(row *auditstore.Row) []byte {
	c := schema.ColumnsOf(row.Mapping, row.Data)
	return appendMarshalled(nil, struct {
		ID        string          `json:"id"`
		UpdatedAt string          `json:"updated_at"`
		ChangedBy string          `json:"changed_by"`
		Action    string          `json:"action"`
		Table     string          `json:"table_name"`
		Object    string          `json:"object_id"`
		After     json.RawMessage `json:"updated_values"`
	}{row.ID, isoTime(row.Time), c.ChangedBy, c.Action, c.TableName, c.ObjectID, row.Data})
}

// asObject returns a value that may be an object or a list, or text with one. It does not
// change the JSON except for white space.
func asObject(value gjson.Result) []byte {
	if value.Type != gjson.String {
		return []byte(value.Raw)
	}
	text := strings.TrimSpace(value.String())
	if text == "null" {
		return []byte(text)
	}
	if !strings.HasPrefix(text, "{") && !strings.HasPrefix(text, "[") {
		return []byte(value.Raw)
	}
	var compact bytes.Buffer
	if json.Compact(&compact, []byte(text)) != nil {
		return []byte(value.Raw)
	}
	return compact.Bytes()
}

// onlyObject returns value if it is an object or null, otherwise an object with it.
func onlyObject(value []byte) []byte {
	if len(value) == 0 || value[0] == '{' || string(value) == "null" {
		return value
	}
	return append(append([]byte(`{"`+valueField+`":`), value...), '}')
}

// isoTime formats a time as LiteLLM does.
func isoTime(t time.Time) string {
	t = t.UTC()
	if t.Nanosecond() == 0 {
		return t.Format("2006-01-02T15:04:05+00:00")
	}
	return t.Format("2006-01-02T15:04:05.000000+00:00")
}
