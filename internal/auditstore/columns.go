package auditstore

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"
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

// columns are the searchable fields of a record's document, but its id: in the order
// action, table_name, object_id, changed_by, changed_by_api_key.
func columns(data []byte) [5]string {
	var out [5]string
	for i, value := range gjson.GetManyBytes(data, "action", "table_name", "object_id", "changed_by", "changed_by_api_key") {
		out[i] = column(value.String()) // of what is no string, its JSON
	}
	return out
}
