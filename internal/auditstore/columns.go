package auditstore

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"auditrelay"
	"auditrelay/internal/schema"
)

// Field is a field that records can be searched or sorted by. Its value is a column name.
type Field string

// The fields.
const (
	FieldID        Field = "id"
	FieldChangedBy Field = "changed_by"
	FieldAPIKey    Field = "changed_by_api_key"
	FieldAction    Field = "action"
	FieldTable     Field = "table_name"
	FieldObject    Field = "object_id"
	FieldUpdatedAt Field = "updated_at"
)

// The fields inside values that can be searched for a substring. Records cannot be sorted by
// them.
const (
	// FieldTeam finds part of a team's id: team_id at the top level of before_value or
	// updated_values, or the event's object_team_id.
	FieldTeam Field = "object_team_id"
	// FieldTeamAny finds part of a team's id or alias.
	FieldTeamAny Field = "object_team"
	// FieldKey finds part of a key's hash: token at the top level of before_value or
	// updated_values.
	FieldKey Field = "object_key_hash"
)

// Inside returns the fields that can be searched for a substring.
func Inside() []Field { return []Field{FieldTeam, FieldTeamAny, FieldKey} }

// indexed are the fields that can be searched for a value, the most selective first. A query
// uses the index of the first one it contains.
var indexed = []Field{FieldID, FieldObject, FieldAPIKey, FieldChangedBy, FieldTable, FieldAction}

// Filterable returns the fields that can be searched for a value.
func Filterable() []Field {
	return []Field{FieldID, FieldChangedBy, FieldAPIKey, FieldAction, FieldTable, FieldObject}
}

// Sortable returns the fields that can be sorted by.
func Sortable() []Field {
	return []Field{FieldUpdatedAt, FieldID, FieldChangedBy, FieldAPIKey, FieldAction, FieldTable, FieldObject}
}

// maxKey limits a value in a column, in bytes. Postgres accepts at most about 2,700 bytes in an
// index.
const maxKey = 512

// column returns a value as its column stores it. A value that no column can store (too long,
// with a null character, or not UTF-8) is cut and identified by its digest. Searches convert
// their value in the same way.
func column(value string) string {
	if len(value) <= maxKey && strings.IndexByte(value, 0) < 0 && utf8.ValidString(value) {
		return value
	}
	sum := sha256.Sum256([]byte(value))
	head := strings.ReplaceAll(strings.ToValidUTF8(value[:min(len(value), maxKey/2)], "?"), "\x00", "?")
	return head + " sha256:" + hex.EncodeToString(sum[:])
}

// columnsOf returns the searchable fields of a record's document except its id, in the order
// action, table_name, object_id, changed_by, changed_by_api_key. mapping states where the
// fields are; empty means LiteLLM's schema.
func columnsOf(mapping string, data []byte) [5]string {
	var out [5]string
	if mapping != "" {
		if m := parseMapping(mapping); m != nil && gjson.ValidBytes(data) {
			c := schema.ColumnsOf(m, data)
			out = [5]string{column(c.Action), column(c.TableName), column(c.ObjectID), column(c.ChangedBy)}
		}
		return out
	}
	for i, value := range gjson.GetManyBytes(data, "action", "table_name", "object_id", "changed_by", "changed_by_api_key") {
		out[i] = column(value.String()) // for anything but a string, its JSON
	}
	return out
}

// mapping returns a Mapping as a row stores it.
type mapping struct {
	Schema     string `json:"schema"`
	ID         string `json:"id,omitempty"`
	Action     string `json:"action,omitempty"`
	Time       string `json:"time,omitempty"`
	Actor      string `json:"actor,omitempty"`
	Object     string `json:"object,omitempty"`
	ObjectType string `json:"object_type,omitempty"`
}

func mappingText(m *auditrelay.Mapping) string {
	if m == nil {
		return ""
	}
	text, err := json.Marshal(mapping(*m))
	if err != nil {
		return "" // strings always marshal
	}
	return string(text)
}

// parseMapping is the inverse of mapping. It returns nil for an empty or damaged text.
func parseMapping(text string) *auditrelay.Mapping {
	var m mapping
	if text == "" || json.Unmarshal([]byte(text), &m) != nil {
		return nil
	}
	out := auditrelay.Mapping(m)
	return &out
}

// inside are the texts from a record's values that can be searched for a substring.
type inside struct{ teams, names, tokens string }

// separator separates values so that no match can span two of them.
const separator = "\x1f"

// maxInside limits each text of inside, in bytes, because one index contains all three.
const maxInside = 640

func insideOf(data []byte) inside {
	var teams, names, tokens []string
	add := func(to *[]string, v gjson.Result) {
		text := clean(v.Str)
		if v.Type == gjson.String && text != "" && !slices.Contains(*to, text) {
			*to = append(*to, text)
		}
	}
	found := gjson.GetManyBytes(data, "object_team_id", "object_team_alias", "before_value", "updated_values")
	add(&teams, found[0])
	add(&names, found[1])
	for _, value := range found[2:] {
		if value.Type == gjson.String {
			value = gjson.Parse(value.Str)
		}
		if !value.IsObject() {
			continue
		}
		add(&teams, value.Get("team_id"))
		add(&names, value.Get("team_alias"))
		add(&tokens, value.Get("token"))
	}
	return inside{joined(teams), joined(names), joined(tokens)}
}

// clean makes text storable in a column and removes the separator from it.
func clean(text string) string {
	if utf8.ValidString(text) && strings.IndexByte(text, 0) < 0 && !strings.Contains(text, separator) {
		return text // the usual case; the rest costs a hundred times as much
	}
	return strings.NewReplacer("\x00", "\uFFFD", separator, "\uFFFD").Replace(strings.ToValidUTF8(text, "\uFFFD"))
}

func joined(values []string) string {
	text := strings.Join(values, separator)
	if len(text) > maxInside {
		text = strings.ToValidUTF8(text[:maxInside], "")
	}
	return text
}
