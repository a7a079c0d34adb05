package s3

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"auditrelay/cli/internal/sources"
	"auditrelay/config"
	"auditrelay/runtime"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// TestRatesOfKeys: a key that exceeds its rate is asked to retry. Another key is not affected.
func TestRatesOfKeys(t *testing.T) {
	const other = "AKIDOTHER"
	r := newRelay(t, Options{Keys: []Key{
		{Name: "litellm", AccessKeyID: testID, Secret: testSecret, Rates: sources.NewRates(config.Rate{Events: 10})},
		{Name: "other", AccessKeyID: other, Secret: testSecret},
	}}, runtime.Options{})
	var lines []string
	for i := range 1000 {
		lines = append(lines, event(fmt.Sprint("e", i)))
	}
	if _, err := r.put(t.Context(), batchKey, strings.Join(lines, "\n")); err != nil {
		t.Fatal(err)
	}
	_, err := r.put(t.Context(), testKey, event("late"))
	fault, ok := errors.AsType[smithy.APIError](err)
	answer, has := errors.AsType[*smithyhttp.ResponseError](err)
	if !ok || fault.ErrorCode() != "SlowDown" || !has || answer.HTTPStatusCode() != http.StatusServiceUnavailable || len(answer.Response.Header.Get("Retry-After")) != 2 {
		t.Errorf("beyond the rate: %v", err)
	}
	_, err = r.put(t.Context(), testKey, event("other"), func(o *s3.Options) { o.Credentials = credentials.NewStaticCredentialsProvider(other, testSecret, "") })
	if err != nil {
		t.Errorf("another key: %v", err)
	}
}
