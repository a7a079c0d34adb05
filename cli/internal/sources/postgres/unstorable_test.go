package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"auditrelay/internal/test/pgtest"

	"github.com/jackc/pgx/v5/pgconn"
)

// The verdict on an event matches the server's behaviour.
func TestUnstorableIsWhatTheServerRefuses(t *testing.T) {
	server := pgtest.Start(t)
	conn, err := pgconn.Connect(t.Context(), server.URL("owner", "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	refused := 0
	for _, text := range []string{
		`{}`, `null`, `[1]`, `{"a": NaN}`, `{"a": [Infinity]}`, `{"a": -Infinity}`, `{"a": "NaN"}`, `{"a": "\u0000"}`, `{"a": "x\\u0000"}`, `{"a": "\\\u0000"}`, `{"\u0000": 1}`,
		`{"a": "\ud800"}`, `{"a": "\ud83d\ude00"}`, `{"a": "\ude00"}`, `{"a": "\ud83d\ud83d"}`, `{"a": "\ud83dx\ude00"}`, `{"a": "\ud83d\\ude00"}`, `{"a": "\ud83d\ude00\u0000"}`, `{"a": "\ud83d\ude00\ude00"}`,
		`{"a": "\u00e9\n\"\\"}`, `{"a": 1e300}`, `{"a": "\uD83D\uDE00"}`, `"\\\\u0000"`, `{"a":"\\\\\u0000"}`,
	} {
		result := conn.ExecParams(t.Context(), "SELECT $1::jsonb", [][]byte{[]byte(text)}, nil, nil, nil).Read()
		inText, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := unstorable(fmt.Appendf(nil, `{"id":"a","updated_values":%s}`, inText)); got != (result.Err != nil) {
			t.Errorf("%s: %v; the server says %v", text, got, result.Err)
		}
		if result.Err != nil {
			refused++
		}
		if json.Valid([]byte(text)) && unstorable(fmt.Appendf(nil, `{"id":"a","before_value":%s}`, text)) != (result.Err != nil) && text[0] != '"' {
			t.Errorf("%s as an object; the server says %v", text, result.Err)
		}
	}
	if refused < 10 {
		t.Errorf("only %d are refused", refused)
	}
	if !unstorable([]byte(`{"id":"a\u0000b"}`)) || unstorable([]byte(`{"id":"a","object_id":null}`)) {
		t.Error("a null character in a text column")
	}
}
