package http

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"

	"auditrelay"
	"auditrelay/cli/internal/api"
	"auditrelay/config"
	"auditrelay/internal/schema"
	"auditrelay/internal/test/producers"
	"auditrelay/runtime"
)

const hookSecret = "a-secret-between-the-two-0123456789"

// parsed returns a configuration as read by the program.
func parsed(t *testing.T, text string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("auditrelay.yaml", []byte(text), config.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// hooksOf returns a configuration with a hook for each shipped schema, and tokens for one of
// them and for all others.
func hooksOf(t *testing.T, more string) *config.Config {
	t.Helper()
	text := "callbacks: []\ntokens:\n  - {name: reader, token: the-reader-of-all-01, roles: [comply]}\n" +
		"  - {name: cluster, token: the-token-of-the-cluster, roles: [ingest], schema: kubernetes}\ningest:\n" + more + "  hooks:\n"
	for _, name := range config.SchemaNames() {
		text += fmt.Sprintf("    %s: {secrets: [an-older-secret-of-the-two-0, %s]}\n", name, hookSecret)
	}
	return parsed(t, text)
}

func sign(body string) string {
	mac := hmac.New(sha256.New, []byte(hookSecret))
	mac.Write([]byte(body))
	return hex.EncodeToString(mac.Sum(nil))
}

// shown returns the header and value with which each producer authenticates.
func shown(name, body string) (header, value string) {
	switch name {
	case "github":
		return "X-Hub-Signature-256", "sha256=" + sign(body)
	case "keycloak":
		return "X-Keycloak-Signature", sign(body)
	case "gitlab":
		return "X-Gitlab-Event-Streaming-Token", hookSecret
	case "okta":
		return "Authorization", hookSecret
	}
	return "Authorization", "Bearer " + hookSecret
}

// TestEachProducer sends each producer's request twice, in its form: its events are stored
// once, byte for byte, with the fields that the schema reads.
func TestEachProducer(t *testing.T) {
	r := newRelayOn(t, Options{Config: hooksOf(t, "")}, runtime.Options{Dir: t.TempDir()})
	if names := config.SchemaNames(); len(names) != len(producers.Samples()) {
		t.Errorf("samples of %d of the schemas %q", len(producers.Samples()), names)
	}
	sequence := uint64(0)
	for _, sample := range producers.Samples() {
		body := string(sample.Body)
		header, value := shown(sample.Schema, body)
		n := len(sample.Events)
		status, answer, _ := r.call("POST", "/v1/hooks/"+sample.Schema, body, header, value)
		if got := decodeText[api.Submitted](t, answer); status != http.StatusOK || got.Accepted != n {
			t.Fatalf("%s: %d %s", sample.Schema, status, answer)
		}
		if status, answer, _ = r.call("POST", "/v1/hooks/"+sample.Schema, body, header, value); status != http.StatusOK || decodeText[api.Submitted](t, answer).Duplicates != n {
			t.Errorf("%s again: %d %s", sample.Schema, status, answer)
		}
		var got []producers.Event
		for range n {
			sequence++
			e, err := r.rt.Event(t.Context(), sequence)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Contains(sample.Body, e.Data) || e.Namespace != sample.Schema || e.Mapping == nil || e.Provenance.Principal != "hook:"+sample.Schema {
				t.Errorf("%s: %s %+v %s", e.Namespace, e.ID, e.Provenance, e.Data)
			}
			c := schema.ColumnsOf(e.Mapping, e.Data)
			if c.Action != string(e.Action) {
				t.Errorf("action %q, %q", c.Action, e.Action)
			}
			got = append(got, producers.Event{ID: e.ID, Action: string(e.Action), Time: e.Time, Actor: c.ChangedBy, Object: c.ObjectID, ObjectType: c.TableName})
		}
		if d := cmp.Diff(sample.Events, got); d != "" {
			t.Errorf("%s: %s", sample.Schema, d)
		}
	}
	status, answer, _ := r.call("GET", "/v1/stored?from=1&limit=100", "", "Authorization", "Bearer the-reader-of-all-01")
	if status != http.StatusOK {
		t.Fatal(status, answer)
	}
	for _, stored := range decodeText[api.Stored](t, answer).Events {
		if stored.Namespace == "auditrelay" {
			continue
		}
		e, err := runtime.ParseEventWith((*auditrelay.Mapping)(stored.Mapping), stored.Data, runtime.Limits{})
		if err != nil || stored.Mapping.Schema != stored.Namespace || e.Action == "" {
			t.Errorf("%+v: %+v, %v", stored, e, err)
		}
	}
}

// TestAHookLetsNobodyElseIn: a hook rejects requests without the secret, with another one, with
// the signature of another body, and with an unknown hook name.
func TestAHookLetsNobodyElseIn(t *testing.T) {
	r := newRelay(t, Options{Config: hooksOf(t, "")})
	body := string(producers.Samples()[0].Body)
	for name, header := range map[string][2]string{
		"gitlab":     {"X-Gitlab-Event-Streaming-Token", "another-secret-0123456789"},
		"okta":       {"Authorization", ""},
		"kubernetes": {"Authorization", "Bearer the-reader-of-all-01"},
		"vault":      {"X-Gitlab-Event-Streaming-Token", hookSecret},
		"github":     {"X-Hub-Signature-256", "sha256=" + sign(body+" ")},
		"keycloak":   {"X-Keycloak-Signature", ""},
	} {
		status, answer, _ := r.call("POST", "/v1/hooks/"+name, body, header[0], header[1])
		if status != http.StatusUnauthorized || strings.Contains(answer, hookSecret) {
			t.Errorf("%s: %d %s", name, status, answer)
		}
	}
	for _, prefix := range []string{"", "sha1=", "sha256"} {
		if status, _, _ := r.call("POST", "/v1/hooks/github", body, "X-Hub-Signature-256", prefix+sign(body)); status != http.StatusUnauthorized {
			t.Errorf("prefix %q: %d", prefix, status)
		}
	}
	if status, _, _ := r.call("POST", "/v1/hooks/other", body, "Authorization", hookSecret); status != http.StatusNotFound {
		t.Errorf("no hook: %d", status)
	}
	if n := r.rt.Stats().Accepted; n != 0 {
		t.Errorf("%d events came in", n)
	}
}

// TestAChallenge: Okta asks once, with the secret, whether the hook belongs to the user.
func TestAChallenge(t *testing.T) {
	r := newRelay(t, Options{Config: hooksOf(t, "")})
	ask := func(name string, head ...string) (int, string) {
		t.Helper()
		status, answer, _ := r.call("GET", "/v1/hooks/"+name, "", head...)
		return status, answer
	}
	if status, answer := ask("okta", "Authorization", hookSecret, "X-Okta-Verification-Challenge", "Me_rShK8"); status != http.StatusOK || strings.TrimSpace(answer) != `{"verification":"Me_rShK8"}` {
		t.Errorf("%d %s", status, answer)
	}
	if status, _ := ask("okta", "X-Okta-Verification-Challenge", "Me_rShK8"); status != http.StatusUnauthorized {
		t.Errorf("without the secret: %d", status)
	}
	if status, _ := ask("okta", "Authorization", hookSecret); status != http.StatusBadRequest {
		t.Errorf("without a challenge: %d", status)
	}
	if status, _ := ask("okta", "Authorization", hookSecret, "X-Okta-Verification-Challenge", strings.Repeat("x", 1025)); status != http.StatusBadRequest {
		t.Errorf("a long challenge: %d", status)
	}
	if status, _ := ask("gitlab", "X-Gitlab-Event-Streaming-Token", hookSecret, "X-Okta-Verification-Challenge", "a"); status != http.StatusBadRequest {
		t.Errorf("a hook without challenges: %d", status)
	}
}

// TestAProducerTriesAgain: while the relay cannot accept, a hook answers 503 and stores
// nothing, so the retry of the same request, as by Kubernetes, is accepted once.
func TestAProducerTriesAgain(t *testing.T) {
	sink := &memorySink{}
	sink.fail(auditrelay.Transient)
	r := newRelayOn(t, Options{Config: hooksOf(t, "")}, runtime.Options{Callbacks: []runtime.Callback{{
		Name: "required", Sink: sink, Retain: auditrelay.Retain{Bytes: 1, Then: auditrelay.RetainBlock},
		Chunk: auditrelay.Chunking{Age: time.Millisecond}, Backoff: auditrelay.Backoff{Initial: time.Millisecond, Max: time.Millisecond},
	}}})
	post := func(body string) (int, http.Header) {
		t.Helper()
		status, _, head := r.call("POST", "/v1/hooks/kubernetes", body, "Authorization", "Bearer "+hookSecret)
		return status, head
	}
	await := func(ready bool) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); (r.rt.Ready() == nil) != ready; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("the relay is not ready %v", ready)
			}
		}
	}
	if status, _ := post(`{"items": [{"auditID": "a", "stage": "s", "verb": "get"}]}`); status != http.StatusOK {
		t.Fatal(status)
	}
	await(false)
	body := `{"items": [{"auditID": "b", "stage": "s", "verb": "get"}, {"auditID": "b"}]}`
	if status, head := post(body); status != http.StatusServiceUnavailable || head.Get("Retry-After") == "" {
		t.Errorf("%d %v", status, head)
	}
	if items, err := r.rt.QuarantineItems(t.Context(), runtime.QuarantineQuery{Limit: 10}); err != nil || len(items) != 0 {
		t.Errorf("a request that is to come again is in quarantine: %v, %v", items, err)
	}
	sink.err.Store(nil)
	for range 2 {
		status := http.StatusServiceUnavailable
		for status == http.StatusServiceUnavailable { // the relay blocks until the earlier event is delivered
			await(true)
			status, _ = post(body)
		}
		if status != http.StatusOK {
			t.Errorf("again: %d", status)
		}
	}
	if n := r.rt.Stats().Accepted; n != 2 {
		t.Errorf("%d events are stored", n)
	}
}

// TestAHooksInvalidInput: it goes into quarantine as a whole, is answered as accepted, and is
// read by the hook's schema when it is replayed.
func TestAHooksInvalidInput(t *testing.T) {
	r := newRelay(t, Options{Config: hooksOf(t, "")})
	post := func(body string) api.Submitted {
		t.Helper()
		status, answer, _ := r.call("POST", "/v1/hooks/okta", body, "Authorization", hookSecret)
		if status != http.StatusOK {
			t.Errorf("%s: %d %s", body, status, answer)
			return api.Submitted{}
		}
		return decodeText[api.Submitted](t, answer)
	}
	if got := post(`{"data": {"events": [{"uuid": "a", "eventType": "x"}, {"uuid": "b"}, 7, {"uuid": "a", "eventType": "y"}]}}`); got.Accepted != 1 || got.Quarantined != 3 {
		t.Errorf("%+v", got)
	}
	if got := post(`no JSON at all`); got.Quarantined != 1 {
		t.Errorf("%+v", got)
	}
	items, err := r.rt.QuarantineItems(t.Context(), runtime.QuarantineQuery{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	var reasons []string
	for _, it := range items {
		reasons = append(reasons, it.Reason)
	}
	if want := []string{"missing", "not_object", "conflict", "not_object"}; !slices.Equal(reasons, want) {
		t.Errorf("%q", reasons)
	}
	item, err := r.rt.QuarantineItem(t.Context(), items[0].Number)
	if err != nil || string(item.Data) != `{"uuid": "b"}` {
		t.Errorf("%s, %v", item.Data, err)
	}
	results, err := r.rt.ReplayQuarantineItem(t.Context(), runtime.By{Principal: "u"}, items[0].Number, []byte(`{"uuid": "b", "eventType": "mended"}`))
	if err != nil || len(results) != 1 || results[0].ID != "b" {
		t.Errorf("%+v, %v", results, err)
	}

	var many strings.Builder
	for i := range 150 {
		fmt.Fprintf(&many, `{"uuid": "m%d"}`+"\n", i)
	}
	if got := post(many.String()); got.Quarantined != 150 {
		t.Errorf("%+v", got)
	}
	items, err = r.rt.QuarantineItems(t.Context(), runtime.QuarantineQuery{Limit: 1000})
	if err != nil || len(items) != 3+101 || items[len(items)-1].Bytes != int64(many.Len()) {
		t.Errorf("%d items, %v", len(items), err)
	}
}

// TestAHooksBounds: the limit of events includes those in lists. The stored part of a request
// that is only known to be too large is stored once.
func TestAHooksBounds(t *testing.T) {
	r := newRelay(t, Options{Config: hooksOf(t, ""), Limits: Limits{Events: 20, EventBytes: 1 << 10}})
	post := func(hook, header, body string) api.Submitted {
		t.Helper()
		status, answer, _ := r.call("POST", "/v1/hooks/"+hook, body, header, hookSecret)
		if status != http.StatusOK {
			t.Fatalf("%d %s", status, answer)
		}
		return decodeText[api.Submitted](t, answer)
	}
	events := func(name string, n int) string {
		all := make([]string, n)
		for i := range all {
			all[i] = fmt.Sprintf(`{"uuid": "%s%d", "eventType": "x"}`, name, i)
		}
		return `{"data": {"events": [` + strings.Join(all, ",") + `]}}` + "\n"
	}
	if got := post("okta", "Authorization", events("a", 20)); got.Accepted != 20 {
		t.Errorf("%+v", got)
	}
	whole := events("b", 12) + events("c", 12)
	if got := post("okta", "Authorization", whole); got.Accepted != 12 || got.Quarantined != 1 {
		t.Errorf("%+v", got)
	}
	large := strings.Repeat(`{"a": "`+strings.Repeat("x", 2000)+`"}`+"\n", 10)
	if got := post("gitlab", "X-Gitlab-Event-Streaming-Token", large); got.Quarantined != 10 {
		t.Errorf("%+v", got)
	}
	items, err := r.rt.QuarantineItems(t.Context(), runtime.QuarantineQuery{Limit: 100})
	if err != nil || len(items) != 2 || items[0].Reason != "too_many_events" || items[0].Bytes != int64(len(whole)) || items[1].Bytes != int64(len(large)) {
		t.Errorf("%+v, %v", items, err)
	}
	if status, answer, _ := r.call("POST", "/v1/events", `{"items": [`+strings.Repeat("1,", 30)+`1]}`, "Authorization", "Bearer the-token-of-the-cluster"); status != http.StatusRequestEntityTooLarge {
		t.Errorf("%d %s", status, answer)
	}
}

// TestATokenWithASchema: POST /v1/events reads a token's events by its schema, in every form of
// request. Another token's events are still LiteLLM's.
func TestATokenWithASchema(t *testing.T) {
	own := `  schemas:
    shop: {namespace: orders, unwrap: [batch.items, list], id: [id, "{order}-{step}"], action: [verb, "=unknown"], time: at, actor: [by.mail, by.name], object: order}
  tokens:
    - {name: shop, token: the-token-of-the-shop-0, schema: shop}
    - {name: other, token: the-token-of-the-other, namespace: elsewhere, schema: shop}
    - {name: litellm, token: the-token-of-litellm-0}
`
	r := newRelay(t, Options{Config: hooksOf(t, own)})
	send := func(token, body string, head ...string) (int, api.Submitted) {
		t.Helper()
		status, answer, _ := r.call("POST", "/v1/events", body, append(head, "Authorization", "Bearer "+token)...)
		return status, decodeText[api.Submitted](t, answer)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	fmt.Fprint(z, `{"list": [{"order": 3, "step": "c"}]}`)
	z.Close()
	for name, tt := range map[string]struct {
		body string
		head []string
		ids  []string
	}{
		"one":          {`{"order": 1, "step": "a", "at": 1772359200}`, nil, []string{"1-a"}},
		"a wrapper":    {"{\n\"batch\": {\"items\": [{\"id\": \"x\"}, {\"id\": \"y\"}]}}", nil, []string{"x", "y"}},
		"lines":        {`{"list": [{"id": "l1"}]}` + "\n" + `{"id": "l2"}` + "\n", []string{"Content-Type", "application/x-ndjson"}, []string{"l1", "l2"}},
		"an empty one": {`[{"list": [{"id": "n1"}]}, {"list": []}, {"list": [{"id": "n2"}]}]`, nil, []string{"n1", "", "n2"}},
		"an array":     {`[{"list": []}, {"list": [{"id": "r1"}]}]`, nil, []string{"", "r1"}},
		"gzip":         {packed.String(), []string{"Content-Encoding", "gzip"}, []string{"3-c"}},
	} {
		status, got := send("the-token-of-the-shop-0", tt.body, tt.head...)
		var ids []string
		for _, one := range got.Results {
			ids = append(ids, one.ID)
		}
		if status != http.StatusOK || !slices.Equal(ids, tt.ids) {
			t.Errorf("%s: %d %+v", name, status, got)
		}
	}
	if status, got := send("the-token-of-the-shop-0", `{"list": [{"id": ""}, 1]}`); status != http.StatusMultiStatus || got.Accepted != 1 || got.Refused != 1 || got.Results[1].Index != 0 {
		t.Errorf("%d %+v", status, got)
	}
	// Without an id, it is a keyed digest: the same bytes are the same event.
	_, first := send("the-token-of-the-shop-0", `{"verb": "buy", "n": 1}`)
	_, again := send("the-token-of-the-shop-0", `{"verb": "buy", "n": 1}`)
	_, another := send("the-token-of-the-shop-0", `{"verb": "buy", "n": 2}`)
	if id := first.Results[0].ID; len(id) != 32 || !again.Results[0].Duplicate || again.Results[0].ID != id || another.Results[0].ID == id {
		t.Errorf("%+v, %+v, %+v", first, again, another)
	}
	if _, got := send("the-token-of-the-other", `{"id": "x", "verb": "sell"}`); got.Accepted != 1 {
		t.Errorf("another namespace: %+v", got)
	}
	if _, got := send("the-token-of-litellm-0", event("x")); got.Accepted != 1 {
		t.Errorf("LiteLLM's: %+v", got)
	}
	for namespace, want := range map[string]string{"orders": "unknown", "elsewhere": "sell", "litellm": "created"} {
		status, answer, _ := r.call("GET", "/v1/events/x?namespace="+namespace+"&data=true", "", "Authorization", "Bearer the-reader-of-all-01")
		if e := decodeText[api.Explained](t, answer); status != http.StatusOK || e.Namespace != namespace || e.Action != want {
			t.Errorf("%s: %d %s", namespace, status, answer)
		}
	}
}

// TestAHooksRate: above the limit, 429 with the time to retry. Requests not from the producer
// do not count, so nobody else can use up the rate.
func TestAHooksRate(t *testing.T) {
	cfg := parsed(t, "callbacks: []\ntokens:\n  - {name: reader, token: the-reader-of-all-01, roles: [comply]}\ningest:\n  hooks:\n"+
		"    github: {secrets: ["+hookSecret+"], rate: {events: 10}}\n    gitlab: {secrets: ["+hookSecret+"], rate: {requests: 1}}\n    okta: {secrets: ["+hookSecret+"]}\n")
	r := newRelay(t, Options{Config: cfg})
	post := func(name, body, signed string) (int, http.Header) {
		header, value := shown(name, signed)
		status, _, head := r.call("POST", "/v1/hooks/"+name, body, header, value)
		return status, head
	}
	for range 30 {
		if status, _ := post("github", `{"action": "a"}`, "another"); status != http.StatusUnauthorized {
			break // 429 for an address with many failures
		}
	}
	var lines []string
	for i := range 1000 {
		lines = append(lines, fmt.Sprintf(`{"action": "repo.create", "_document_id": "d%d"}`, i))
	}
	body := strings.Join(lines, "\n")
	if status, _ := post("github", body, body); status != http.StatusOK {
		t.Fatalf("others used the hook's rate up: %d", status)
	}
	if status, head := post("github", `{"action": "b"}`, `{"action": "b"}`); status != http.StatusTooManyRequests || head.Get("Retry-After") != "99" && head.Get("Retry-After") != "100" {
		t.Errorf("%d, Retry-After %s", status, head.Get("Retry-After"))
	}
	var statuses []int
	for range 5 {
		status, _ := post("gitlab", `{"id": "a", "event_type": "x"}`, "")
		statuses = append(statuses, status)
	}
	if statuses[0] != http.StatusOK || !slices.Contains(statuses, http.StatusTooManyRequests) {
		t.Errorf("five requests at one a second: %v", statuses)
	}
	if n := r.rt.Stats().Accepted; n != 1001 {
		t.Errorf("%d events are stored", n)
	}
}

// TestUnknownSendersStarveNobody: a hook with a signature reads a body before it knows the
// sender. Such bodies use nothing reserved for known senders, and an address leaves room for
// the next one.
func TestUnknownSendersStarveNobody(t *testing.T) {
	r := newRelay(t, Options{Config: hooksOf(t, "")})
	p := defaultPatience()
	p.busy = 300 * time.Millisecond // a waiting request fails the test with 503, and none delays the server's end
	address := r.listen(p)
	part := strings.Repeat(" ", 256<<10)
	for range 40 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "POST /v1/hooks/github HTTP/1.1\r\nHost: a\r\nX-Hub-Signature-256: sha256=00\r\nContent-Length: %d\r\n\r\n", 15<<20)
		_ = c.SetWriteDeadline(time.Now().Add(50 * time.Millisecond)) // it is not read for ever
		for range 16 {
			if _, err := c.Write([]byte(part)); err != nil {
				break
			}
		}
	}
	if r.srv.unknown.inUse() == 0 || r.srv.large.inUse()+r.srv.small.inUse() != 0 {
		t.Errorf("unknown senders hold %d bytes of their own, %d of what others have", r.srv.unknown.inUse(), r.srv.large.inUse()+r.srv.small.inUse())
	}
	elsewhere := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}).DialContext,
	}}
	defer elsewhere.CloseIdleConnections()
	body := fmt.Sprintf(`{"action": "repo.create", "_document_id": "d", "filler": "%s"}`, strings.Repeat("x", 900<<10))
	q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/v1/hooks/github", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("X-Hub-Signature-256", "sha256="+sign(body))
	answer, err := elsewhere.Do(q)
	if err != nil {
		t.Fatalf("the producer waits behind unknown senders: %v", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("the producer's own: %d", answer.StatusCode)
	}
}
