package s3

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"auditrelay"
	"auditrelay/internal/test/s3test"
	"auditrelay/runtime"
)

// TestObjectsThatAreNoEventsArePassedOn: to a real gateway, signed anew, with their
// content and their checksum; audit events are not.
func TestObjectsThatAreNoEventsArePassedOn(t *testing.T) {
	server := s3test.Start(t, "logs")
	r := newRelay(t, Options{Forward: &Forward{
		Endpoint: server.Endpoint, Region: s3test.Region, Bucket: "logs", AccessKeyID: s3test.AccessKey, SecretAccessKey: auditrelay.Secret(server.SecretKey),
	}}, runtime.Options{})
	for _, key := range []string{"2026-01-31/time-12_x.json", "with space/ü+&.json"} {
		if _, err := r.put(t.Context(), key, "a request log"); err != nil {
			t.Fatalf("%s: %v", key, err)
		}
	}
	if _, err := r.put(t.Context(), testKey, event("a")); err != nil {
		t.Fatal(err)
	}
	objects := server.Objects(t, "logs")
	if len(objects) != 2 || string(objects["2026-01-31/time-12_x.json"]) != "a request log" || string(objects["with space/ü+&.json"]) != "a request log" {
		t.Errorf("the bucket holds %q", objects)
	}
	if got := r.stored(); !slices.Equal(got, []string{event("a")}) || len(r.quarantined()) != 0 {
		t.Errorf("the relay holds %q", got)
	}
	answers := map[Answer]uint64{}
	r.h.counts.Answers(func(a Answer, n uint64) { answers[a] = n })
	if answers[Answer{opForward, codeOK}] != 2 || answers[Answer{opPut, codeOK}] != 1 {
		t.Errorf("counted %v", answers)
	}
}

// TestABucketThatRefuses: its answer is the producer's; one that cannot be reached is
// 503, to be tried again. Neither is ever a 200.
func TestABucketThatRefuses(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte("<Error><Code>AccessDenied</Code></Error>"))
	}))
	r := newRelay(t, Options{Forward: &Forward{Endpoint: upstream.URL, Region: "x", AccessKeyID: "k", SecretAccessKey: "s"}}, runtime.Options{})
	if _, err := r.put(t.Context(), "log.json", "a"); codeOf(err) != "AccessDenied" {
		t.Errorf("got %v", err)
	}
	upstream.Close()
	if _, err := r.put(t.Context(), "log.json", "a"); codeOf(err) != "ServiceUnavailable" {
		t.Errorf("got %v", err)
	}
	r.nothing()
}
