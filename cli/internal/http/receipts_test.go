package http

import (
	"auditrelay/cli/internal/api"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

func TestReceiptsAreALineEach(t *testing.T) {
	r := newRelay(t, Options{})
	if status, answer, head := r.call("GET", "/v1/receipts", ""); status != http.StatusOK || answer != "" || head.Get("Content-Type") != "application/x-ndjson" {
		t.Errorf("none: %d %q %v", status, answer, head)
	}
	if status, answer, _ := r.call("POST", "/v1/events", event("a")+"\n"+event("b")+"\n", "Content-Type", "application/x-ndjson"); status != http.StatusOK {
		t.Fatal(status, answer)
	}
	r.settle()
	for query, want := range map[string]string{
		"": "a b", "?callback=archive": "a b", "?from=2": "b", "?to=2": "a", "?id=b": "b", "?id=b&namespace=litellm": "b",
		"?from=2000-01-01T00:00:00Z": "a b", "?to=2000-01-01T00:00:00Z": "", "?from=2000-01-01T00:00:00%2B01:00&to=2": "a",
	} {
		status, answer, _ := r.call("GET", "/v1/receipts"+query, "")
		var ids []string
		for line := range strings.Lines(answer) {
			var one api.Receipt
			if err := json.Unmarshal([]byte(line), &one); err != nil || one.Callback != "archive" || one.Input == "" {
				t.Errorf("%s: %v in %s", query, err, line)
			}
			ids = append(ids, one.ID)
		}
		if got := strings.Join(ids, " "); status != http.StatusOK || got != want {
			t.Errorf("%s: %d %s, want %s", query, status, got, want)
		}
		if strings.Contains(answer, "LiteLLM_TeamTable") {
			t.Errorf("%s: it holds the event's contents: %s", query, answer)
		}
	}
	for query, want := range map[string]int{"?from=yesterday": 400, "?to=-1": 400, "?callback=nobody": 404, "?id=nothing": 404} {
		if status, answer, _ := r.call("GET", "/v1/receipts"+query, ""); status != want {
			t.Errorf("%s: %d %s, want %d", query, status, answer, want)
		}
	}
	explained := get[struct{ Callbacks []api.Ending }](r, "/v1/events/a")
	if len(explained.Callbacks) != 1 || len(explained.Callbacks[0].Receipts) != 1 {
		t.Errorf("explained: %+v", explained)
	}
}
