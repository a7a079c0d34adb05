package s3test_test

import (
	"net/http"
	"testing"

	"auditrelay/internal/test/s3test"
)

func TestTheGatewayIsARealOne(t *testing.T) {
	server := s3test.Start(t, "bucket")
	answer, err := http.Get(server.Endpoint + "/bucket/key")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusForbidden {
		t.Errorf("an unsigned request got %s", answer.Status)
	}
	if objects := server.Objects(t, "bucket"); len(objects) != 0 {
		t.Errorf("a new bucket holds %d objects", len(objects))
	}
}
