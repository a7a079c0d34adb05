package s3_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"auditrelay"
	"auditrelay/builtin/s3"
	"auditrelay/internal/test/faultproxy"
	"auditrelay/internal/test/s3test"
)

// Some stores answer 412 without a body. The object itself then shows whether it was delivered.
func TestA412WithoutABodyIsCompared(t *testing.T) {
	server := s3test.Start(t, "bare")
	for name, tc := range map[string]struct {
		layout string
		first  []byte // what stands there
		head   faultproxy.Fault
		there  bool
	}{
		"the same":            {s3.LayoutBatch, []byte(`{"v":1}`), faultproxy.Pass, true},
		"the same, by its id": {s3.LayoutLiteLLM, []byte(`{"v":1}`), faultproxy.Pass, true},
		"another, by its id":  {s3.LayoutLiteLLM, []byte(`{"v":2}`), faultproxy.Pass, false},
		"nothing":             {s3.LayoutBatch, nil, faultproxy.Pass, false},
		"no right to read":    {s3.LayoutBatch, []byte(`{"v":1}`), faultproxy.Answer(403, ""), false},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(server.Endpoint, "bare")
			o.Layout, o.Prefix = tc.layout, strings.ReplaceAll(name, " ", "-")
			now := at(t, "2026-03-15T12:00:00Z")
			record := auditrelay.Record{ID: "same", Time: now, Received: now, Data: []byte(`{"v":1}`)}
			if tc.first != nil {
				standing := record
				standing.Data = tc.first
				if _, err := newSink(t, o).Deliver(t.Context(), renderOne(t, o, standing)); err != nil {
					t.Fatal(err)
				}
			}
			proxy := faultproxy.Start(t, server.Endpoint)
			proxy.Script(faultproxy.Answer(412, ""), tc.head)
			o.Endpoint = proxy.URL
			receipt, err := newSink(t, o).Deliver(t.Context(), renderOne(t, o, record))
			if tc.there && (err != nil || !receipt.Duplicate || receipt.Unverified || receipt.Version == "") || !tc.there && auditrelay.KindOf(err) != auditrelay.Misconfigured {
				t.Errorf("%+v, %v", receipt, err)
			}
		})
	}
}

// A redirect is an answer like any other: another host cannot say that an object is there, or
// what it contains.
func TestRedirectsAreNotFollowed(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s %s, %v", r.Method, r.URL, r.Header)
	}))
	t.Cleanup(other.Close)
	for _, status := range []int{301, 302, 307, 308} {
		redirect := faultproxy.Answer(status, "", "Location", strings.Replace(other.URL, "127.0.0.1", "localhost", 1)+"/bucket/key")
		proxy := fake(t)
		proxy.Always(redirect)
		proxy.Script(faultproxy.S3Error(412, "PreconditionFailed"))
		o := options(proxy.URL, "bucket")
		o.Layout, o.VerifyExisting = s3.LayoutLiteLLM, true
		s := newSink(t, o)
		for _, request := range []string{"HEAD", "PUT"} {
			if receipt, err := s.Deliver(t.Context(), payloadFor(t, o)); err == nil {
				t.Errorf("%d to %s: %+v", status, request, receipt)
			}
		}
		if _, err := s.ReadBack(t.Context(), payloadFor(t, o), auditrelay.Receipt{}); err == nil {
			t.Errorf("%d to GET is read", status)
		}
	}
}
