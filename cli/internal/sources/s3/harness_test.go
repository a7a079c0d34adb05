package s3

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"auditrelay"
	"auditrelay/runtime"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

const (
	testID     = "AKIDEXAMPLE"
	testSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	testBucket = "audit-prod"
	testKey    = "audit_logs/2026-01-31/12-00-00_a.json"
	batchKey   = "audit_logs/2026-01-31/batch_12-00-00_0123456789abcdef0123456789abcdef.jsonl"
)

// relay is a real runtime with its journal in memory behind a real HTTP server.
type relay struct {
	t    *testing.T
	rt   *runtime.Runtime
	h    *Handler
	http *httptest.Server
}

func newRelay(t *testing.T, o Options, engine runtime.Options, tls ...bool) *relay {
	t.Helper()
	engine.Logger = slog.New(slog.DiscardHandler)
	rt, err := runtime.Open(t.Context(), engine)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := rt.Close(); err != nil {
			t.Error(err)
		}
	})
	o.Runtime = rt
	if o.Logger == nil {
		o.Logger = engine.Logger
	}
	if o.Keys == nil {
		o.Keys = []Key{{Name: "litellm", AccessKeyID: testID, Secret: testSecret}}
	}
	h, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{t: t, rt: rt, h: h}
	if len(tls) > 0 && tls[0] {
		r.http = httptest.NewTLSServer(h)
	} else {
		r.http = httptest.NewServer(h)
	}
	t.Cleanup(r.http.Close)
	return r
}

// client returns AWS's own client.
func (r *relay) client(options ...func(*s3.Options)) *s3.Client {
	o := s3.Options{
		BaseEndpoint: aws.String(r.http.URL), Region: "us-west-2", UsePathStyle: true, HTTPClient: r.http.Client(), RetryMaxAttempts: 1,
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported, // the default if the SDK reads its configuration
		Credentials:                credentials.NewStaticCredentialsProvider(testID, testSecret, ""),
	}
	return s3.New(o, options...)
}

func (r *relay) put(ctx context.Context, key, body string, options ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	return r.client(options...).PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(testBucket), Key: aws.String(key), Body: strings.NewReader(body)})
}

func event(id string) string {
	return fmt.Sprintf(`{"id":%q,"updated_at":"2026-01-31T12:00:00+00:00","changed_by":"u","changed_by_api_key":"k",`+
		`"action":"created","table_name":"LiteLLM_TeamTable","object_id":"o","before_value":null,"updated_values":"{}"}`, id)
}

// stored returns the data of all events, by their sequence.
func (r *relay) stored() []string {
	r.t.Helper()
	var all []string
	for sequence := uint64(1); sequence < r.rt.Stats().Head; sequence++ {
		e, err := r.rt.Event(r.t.Context(), sequence)
		if err != nil {
			r.t.Fatal(err)
		}
		if e.Namespace != auditrelay.NamespaceLiteLLM || e.Provenance != (auditrelay.Provenance{Source: "s3", Principal: "litellm", Address: "127.0.0.1"}) {
			r.t.Errorf("event %d: %s, %+v", sequence, e.Namespace, e.Provenance)
		}
		all = append(all, string(e.Data))
	}
	return all
}

// quarantined returns the items in quarantine as reason: data.
func (r *relay) quarantined() []string {
	r.t.Helper()
	list, err := r.rt.QuarantineItems(r.t.Context(), runtime.QuarantineQuery{})
	if err != nil {
		r.t.Fatal(err)
	}
	all := []string{}
	for _, it := range list {
		whole, err := r.rt.QuarantineItem(r.t.Context(), it.Number)
		if err != nil {
			r.t.Fatal(err)
		}
		all = append(all, it.Reason+": "+string(whole.Data))
	}
	return all
}

// nothing fails the test if anything was stored.
func (r *relay) nothing() {
	r.t.Helper()
	if kept := append(r.stored(), r.quarantined()...); len(kept) > 0 {
		r.t.Errorf("kept: %q", kept)
	}
}

// answer is the answer to a request that no SDK sends.
type answer struct {
	status int
	body   string
	head   http.Header
}

func (a answer) code() string {
	_, rest, _ := strings.Cut(a.body, "<Code>")
	code, _, _ := strings.Cut(rest, "</Code>")
	return code
}

func (r *relay) do(req *http.Request) answer {
	r.t.Helper()
	resp, err := r.http.Client().Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return answer{resp.StatusCode, string(body), resp.Header}
}

func noMemory(context.Context, string, int64) (func(), error) { return nil, errNoMemory }

// reserveInto counts reservations, for sequential requests.
func reserveInto(held, most *int64) func(context.Context, string, int64) (func(), error) {
	return func(_ context.Context, _ string, n int64) (func(), error) {
		*held += n
		*most = max(*most, *held)
		return func() { *held -= n }, nil
	}
}
