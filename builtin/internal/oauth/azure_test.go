package oauth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/builtin/internal/httpsink"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"golang.org/x/oauth2"
)

// metadata is a stand-in for Azure's instance metadata service, as described in Microsoft's
// "Use managed identities on a virtual machine to acquire an access token", API version
// 2018-02-01: GET with the header Metadata: true, resource and perhaps client_id; 400 for
// unknown values.
type metadata struct {
	*httptest.Server
	mu       sync.Mutex
	resource string // resource of the tokens
	status   int    // instead of a token; 0: none
	asked    []string
}

// startMetadata starts a service with tokens for the test's own resource, since the library
// caches tokens for the life of the process.
func startMetadata(t *testing.T) *metadata {
	m := &metadata{resource: "https://" + rand.Text() + ".example"}
	m.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.mu.Lock()
		defer m.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		q := r.URL.Query()
		switch {
		case r.Host != "169.254.169.254" || r.URL.Path != "/metadata/identity/oauth2/token" || r.Method != http.MethodGet:
			w.WriteHeader(http.StatusNotFound)
		case r.Header.Get("Metadata") != "true" || q.Get("api-version") != "2018-02-01" || q.Get("resource") != m.resource:
			w.WriteHeader(http.StatusBadRequest)
			w.Write([]byte(`{"error":"invalid_request","error_description":"Required metadata header not specified"}`))
		case m.status != 0:
			w.WriteHeader(m.status)
			w.Write([]byte(`{"error":"invalid_request","error_description":"Identity not found"}`))
		default:
			m.asked = append(m.asked, q.Get("client_id"))
			w.Write([]byte(`{"access_token":"of the machine","client_id":"","expires_in":"86399","expires_on":"` +
				`4102444800","ext_expires_in":"86399","not_before":"1","resource":"` + m.resource + `","token_type":"Bearer"}`))
		}
	}))
	t.Cleanup(m.Close)
	return m
}

// transport sends requests for the metadata service's address to m, and those for Entra
// nowhere.
func (m *metadata) transport() tokenTransport {
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		if address != "169.254.169.254:80" {
			return nil, errors.New("not the metadata service's address")
		}
		return new(net.Dialer).DialContext(ctx, network, m.Listener.Addr().String())
	}
	nowhere := &http.Client{Transport: failing{errors.New("no route to host")}}
	return tokenTransport{nowhere, &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

type failing struct{ err error }

func (f failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, f.err }

// noVariables hides the test machine from Azure's search.
func noVariables(t *testing.T) {
	for _, name := range []string{"AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_AUTHORITY_HOST",
		"AZURE_USERNAME", "AZURE_PASSWORD", "IDENTITY_ENDPOINT", "IDENTITY_HEADER", "MSI_ENDPOINT", "MSI_SECRET", "IMDS_ENDPOINT", "AZURE_TOKEN_CREDENTIALS"} {
		t.Setenv(name, "")
		unset(t, name)
	}
	t.Setenv("AZURE_TOKEN_CREDENTIALS", "prod") // no developer tools
}

// A machine's own identity gets tokens from its metadata service, and so does one named by
// AZURE_CLIENT_ID.
func TestAManagedIdentity(t *testing.T) {
	for _, id := range []string{"", "00000000-0000-0000-0000-00000000000a"} {
		noVariables(t)
		if id != "" {
			t.Setenv("AZURE_CLIENT_ID", id)
		}
		m := startMetadata(t)
		found, err := azureBy(m.transport())
		if err != nil {
			t.Fatal(err)
		}
		token, err := found.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{m.resource + "/.default"}})
		if err != nil || token.Token != "of the machine" || len(m.asked) != 1 || m.asked[0] != id {
			t.Errorf("%q: %v, %+v", id, err, m.asked)
		}
	}
}

// Each failure in the search has the kind that the engine acts on, and its error quotes no
// service.
func TestTheSearchsErrors(t *testing.T) {
	const secret = "planted-secret"
	entra := func(t *testing.T) {
		t.Setenv("AZURE_TENANT_ID", "tenant.example")
		t.Setenv("AZURE_CLIENT_ID", "app")
		t.Setenv("AZURE_CLIENT_SECRET", secret)
	}
	services := func(f func(*http.Request) (*http.Response, error)) func(*metadata) tokenTransport {
		return func(m *metadata) tokenTransport {
			to := m.transport()
			to.services = &http.Client{Transport: roundTrip(f)}
			return to
		}
	}
	machine := func(status int) func(*metadata) tokenTransport {
		return func(m *metadata) tokenTransport { m.status = status; return m.transport() }
	}
	for name, tt := range map[string]struct {
		variables func(*testing.T)
		transport func(*metadata) tokenTransport
		kind      auditrelay.ErrorKind
		says      string
	}{
		"the token service cannot be reached": {entra, services(func(*http.Request) (*http.Response, error) { return nil, errors.New("reset " + secret) }), auditrelay.Transient, "cannot be reached"},
		"the token service is in trouble":     {entra, services(answering(503)), auditrelay.Transient, "503"},
		"the token service throttles":         {entra, services(answering(429)), auditrelay.Transient, "429"},
		"the token service knows no secret":   {entra, services(answering(401)), auditrelay.Unauthorized, "401"},
		"the token service is inside":         {entra, services(func(*http.Request) (*http.Response, error) { return nil, httpsink.ErrInside }), auditrelay.Misconfigured, "internal address"},
		"the machine has no such identity":    {nil, machine(400), auditrelay.Unauthorized, "found no credentials"},
		"the metadata service is updated":     {nil, machine(410), auditrelay.Transient, "410"},
		"the metadata service is in trouble":  {nil, machine(500), auditrelay.Transient, "500"},
		"there is no metadata service": {nil, func(m *metadata) tokenTransport {
			return tokenTransport{machine: &http.Client{Transport: failing{errors.New("no route to host")}}}
		}, auditrelay.Unauthorized, "no metadata service answered"},
		"the metadata service is lost, and nothing else is asked": {func(t *testing.T) { t.Setenv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential") }, func(m *metadata) tokenTransport {
			return tokenTransport{machine: &http.Client{Transport: failing{errors.New("no route to host")}}}
		}, auditrelay.Transient, "cannot be reached"},
		"the federated token's file is gone": {func(t *testing.T) {
			t.Setenv("AZURE_TENANT_ID", "tenant.example")
			t.Setenv("AZURE_CLIENT_ID", "app")
			t.Setenv("AZURE_FEDERATED_TOKEN_FILE", "/nonexistent")
		}, services(authority), auditrelay.Unauthorized, "cannot be used"},
	} {
		t.Run(name, func(t *testing.T) {
			noVariables(t)
			if tt.variables != nil {
				tt.variables(t)
			}
			m := startMetadata(t)
			found, err := azureBy(tt.transport(m))
			if err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			_, err = found.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{m.resource + "/.default"}})
			classified := err
			if errors.Is(err, httpsink.ErrInside) { // the sink's client names the network
				classified = &auditrelay.DeliveryError{Kind: auditrelay.Misconfigured, Err: err}
			}
			if err == nil || auditrelay.KindOf(classified) != tt.kind || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), secret) {
				t.Errorf("%v, want %v and %q", err, tt.kind, tt.says)
			}
			if took := time.Since(begun); took > 10*time.Second {
				t.Errorf("it took %v: the engine tries again, the library must not", took)
			}
		})
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// authority returns Entra's description of itself, which the library requests before a token.
func authority(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	w.Header().Set("Content-Type", "application/json")
	at := "https://login.microsoftonline.com/tenant.example"
	switch {
	case strings.HasSuffix(r.URL.Path, "/.well-known/openid-configuration"):
		w.WriteString(`{"authorization_endpoint":"` + at + `/oauth2/v2.0/authorize","token_endpoint":"` + at + `/oauth2/v2.0/token","issuer":"` + at + `/v2.0"}`)
	case strings.HasSuffix(r.URL.Path, "/discovery/instance"):
		w.WriteString(`{"tenant_discovery_endpoint":"` + at + `/v2.0/.well-known/openid-configuration","metadata":[{"preferred_network":"login.microsoftonline.com","preferred_cache":"login.windows.net","aliases":["login.microsoftonline.com"]}]}`)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
	answer := w.Result()
	answer.Request = r
	return answer, nil
}

// answering answers token requests with a status, and quotes the request.
func answering(status int) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		if !strings.HasSuffix(r.URL.Path, "/oauth2/v2.0/token") {
			return authority(r)
		}
		w := httptest.NewRecorder()
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		w.WriteString(`{"error":"invalid_client","error_description":"` + r.FormValue("client_secret") + `"}`)
		answer := w.Result()
		answer.Request, answer.Status = r, fmt.Sprint(status, " ", r.FormValue("client_secret"))
		return answer, nil
	}
}

// A token service's text, including the status line, does not get into the error.
func TestARefusalQuotesNoService(t *testing.T) {
	const secret = "planted-secret"
	u, err := url.Parse("https://sink.example")
	if err != nil {
		t.Fatal(err)
	}
	client, err := httpsink.NewClient(httpsink.Options{Concurrency: 1}, u, nil)
	if err != nil {
		t.Fatal(err)
	}
	refused := sourceFunc(func() (*oauth2.Token, error) {
		return nil, &oauth2.RetrieveError{Response: &http.Response{StatusCode: http.StatusBadRequest, Status: "400 " + secret}, Body: []byte(secret)}
	})
	tokens := New(func(context.Context) (oauth2.TokenSource, error) { return refused, nil }, client, time.Minute)
	if _, err := tokens.Get(t.Context()); err == nil || !strings.Contains(err.Error(), "400") || strings.Contains(err.Error(), secret) {
		t.Errorf("%v", err)
	}
}

// unset removes a variable during the test; t.Setenv restores it.
func unset(t *testing.T, name string) {
	t.Helper()
	if err := os.Unsetenv(name); err != nil {
		t.Fatal(err)
	}
}
