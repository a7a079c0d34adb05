package client

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"auditrelay/cli/internal/api"
)

// TestReceiptsThatBreakOffAreAnError: nobody is to take a part for the whole.
func TestReceiptsThatBreakOffAreAnError(t *testing.T) {
	for name, c := range map[string]struct {
		write func(w http.ResponseWriter)
		lines int
		ok    bool
		told  bool // by the relay itself
	}{
		"whole":          {func(w http.ResponseWriter) { fmt.Fprint(w, "{\"id\":\"a\"}\n{\"id\":\"b\"}\n") }, 2, true, false},
		"none":           {func(w http.ResponseWriter) {}, 0, true, false},
		"cut in a line":  {func(w http.ResponseWriter) { fmt.Fprint(w, "{\"id\":\"a\"}\n{\"id\":") }, 1, false, false},
		"cut behind one": {func(w http.ResponseWriter) { fmt.Fprint(w, "{\"id\":\"a\"}\n"); abort(w) }, 1, false, false},
		"an error inside": {func(w http.ResponseWriter) {
			fmt.Fprint(w, "{\"id\":\"a\"}\n{\"error\":{\"reason\":\"internal\"}}\n")
			abort(w)
		}, 1, false, true},
		"an error": {func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"error":{"reason":"not_found"}}`)
		}, 0, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { c.write(w) }))
			defer server.Close()
			client, err := New(Options{Server: server.URL})
			if err != nil {
				t.Fatal(err)
			}
			lines := 0
			err = client.Receipts(t.Context(), api.ReceiptQuery{}, func([]byte) error { lines++; return nil })
			_, told := errors.AsType[*api.Error](err)
			if (err == nil) != c.ok || told != c.told || lines != c.lines {
				t.Errorf("%d lines, %v", lines, err)
			}
		})
	}
}

func abort(w http.ResponseWriter) {
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}
