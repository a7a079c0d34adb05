package cli

import (
	"slices"
	"strings"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/cli/internal/api"
)

// The table shows the operation and the cause of a failure, not half of a key between them.
func TestAnErrorsCauseIsShown(t *testing.T) {
	long := "put object \"audit/" + strings.Repeat("dt=2026/", 20) + "1.ndjson.gz\": operation error S3: PutObject: dial tcp 127.0.0.1:9: connect: connection refused"
	got := shortened(long)
	if !strings.HasPrefix(got, "put object") || !strings.HasSuffix(got, "connect: connection refused") || len([]rune(got)) > shownError {
		t.Errorf("got %q", got)
	}
	if got := shortened("short"); got != "short" {
		t.Errorf("got %q", got)
	}
	if got := shortened(strings.Repeat("ä", 200)); len([]rune(got)) > shownError || strings.ContainsRune(got, '\uFFFD') {
		t.Errorf("got %q", got)
	}
}

// A misspelt cause is an error, instead of matching nothing.
func TestCausesOfDeadLetters(t *testing.T) {
	if got, err := causes([]string{"refused", "too_large"}); err != nil || len(got) != 2 || got[1] != auditrelay.CauseTooLarge {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := causes([]string{"refuse"}); err == nil || !strings.Contains(err.Error(), `--cause "refuse": expected one of`) || !strings.Contains(err.Error(), " refused ") {
		t.Errorf("%v", err)
	}
}

func TestShowTellsAll(t *testing.T) {
	at := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	long := strings.Repeat("why ", 100)
	rows := callbackRows(&api.CallbackStatus{Name: "siem", State: "degraded", Reason: "because", LastError: long, NextTry: at, Filters: []string{"a", "b"},
		Sink: "s3", Account: api.Account{Assigned: 7, Pending: 3}, Attempts: 9, Failures: map[string]uint64{"transient": 2}, Unverified: 1})
	for _, want := range [][]string{
		{"state", "degraded"}, {"reason", "because"}, {"last error", long}, {"next try", "2026-01-31T12:00:00.000Z"}, {"filters", "a, b"},
		{"sink", "s3"}, {"assigned", "7"}, {"pending", "3"}, {"attempts", "9 since start"}, {"failures", "transient 2"},
		{"unverified", "1 payloads whose key the destination already had, without a comparison"},
	} {
		if !slices.ContainsFunc(rows, func(row []string) bool { return slices.Equal(row, want) }) {
			t.Errorf("%v is not in %v", want, rows)
		}
	}
}
