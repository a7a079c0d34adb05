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

// Field is a field of a record that can be searched or sorted by; a column's name.
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

// The fields inside values that can be searched for a part. No record is sorted by one.
const (
	// FieldTeam finds a part of a team's id: team_id at the top of before_value or
	// updated_values, or the event's object_team_id.
	FieldTeam Field = "object_team_id"
	// FieldTeamAny finds a part of a team's id or of its alias.
	FieldTeamAny Field = "object_team"
	// FieldKey finds a part of a key's hash: token at the top of before_value or
	// updated_values.
	FieldKey Field = "object_key_hash"
)

// Inside returns the fields that can be searched for a part.
func Inside() []Field { return []Field{FieldTeam, FieldTeamAny, FieldKey} }

// indexed are the fields that can be searched for a value, the one that tells most
// first: it is the one whose index a query runs along.
var indexed = []Field{FieldID, FieldObject, FieldAPIKey, FieldChangedBy, FieldTable, FieldAction}

// Filterable returns the fields that can be searched for a value.
func Filterable() []Field {
	return []Field{FieldID, FieldChangedBy, FieldAPIKey, FieldAction, FieldTable, FieldObject}
}

// Sortable returns the fields that can be sorted by.
func Sortable() []Field {
	return []Field{FieldUpdatedAt, FieldID, FieldChangedBy, FieldAPIKey, FieldAction, FieldTable, FieldObject}
}

// maxKey bounds a value in a column, in bytes: Postgres takes no more than 2,700 or so
// in an index.
const maxKey = 512

// column is a value as it stands in a column. A value that no column can hold, too
// long, with a null character or no UTF-8, is cut and told apart by its digest; whoever
// searches for it asks for the same.
func column(value string) string {
	if len(value) <= maxKey && strings.IndexByte(value, 0) < 0 && utf8.ValidString(value) {
		return value
	}
	sum := sha256.Sum256([]byte(value))
	head := strings.ReplaceAll(strings.ToValidUTF8(value[:min(len(value), maxKey/2)], "?"), "\x00", "?")
	return head + " sha256:" + hex.EncodeToString(sum[:])
}

// columnsOf are the searchable fields of a record's document, but its id: in the order
// action, table_name, object_id, changed_by, changed_by_api_key. mapping says where they
// are; empty: where LiteLLM has them.
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
		out[i] = column(value.String()) // of what is no string, its JSON
	}
	return out
}

// mapping is a Mapping as a row has it.
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
		return "" // strings alone always marshal
	}
	return string(text)
}

// parseMapping is the inverse; nil for an empty text, and for one that is damaged.
func parseMapping(text string) *auditrelay.Mapping {
	var m mapping
	if text == "" || json.Unmarshal([]byte(text), &m) != nil {
		return nil
	}
	out := auditrelay.Mapping(m)
	return &out
}

// inside is what of a record's values can be searched for a part.
type inside struct{ teams, names, tokens string }

// separator stands between values, such that no part reaches over two of them.
const separator = "\x1f"

// maxInside bounds each of an inside's texts, in bytes: all three stand in one index.
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

// clean is text that a column holds, without what separates values in it.
func clean(text string) string {
	if utf8.ValidString(text) && strings.IndexByte(text, 0) < 0 && !strings.Contains(text, separator) {
		return text // nearly always, and what follows costs a hundred times as much
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
