// Package client calls a relay over HTTP, for the command line.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"auditrelay"
	"auditrelay/cli/internal/api"
)

// Options configure a Client.
type Options struct {
	Server string            // default http://127.0.0.1:8787; or unix:PATH, a unix socket
	Token  auditrelay.Secret // empty if none is sent
	CAFile string            // PEM certificates to trust instead of the system's roots

	// CertFile and KeyFile, both or none, are the PEM certificate and key for a relay that
	// requires a client certificate (tls.client_ca).
	CertFile, KeyFile string

	// Seen is the version of the object that the user has seen. Every request sends it as
	// If-Match. Empty: not sent.
	Seen string
}

// DefaultServer is the default address of a relay.
const DefaultServer = "http://127.0.0.1:8787"

// maxAnswer limits the size of a response, in bytes.
const maxAnswer = 256 << 20

// Client calls one relay. It is safe for concurrent use.
type Client struct {
	name  string // the server's name, for messages
	base  *url.URL
	token auditrelay.Secret
	seen  string
	http  *http.Client
}

// UnreachableError says that there was no response: no server listens, the name does not
// resolve, the certificate is not trusted, or the connection broke.
type UnreachableError struct {
	Server string
	Err    error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("no answer from %s: %v", e.Server, e.Err)
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// New returns a client. It does not connect.
func New(o Options) (*Client, error) {
	if o.Server == "" {
		o.Server = DefaultServer
	}
	socket, onSocket := strings.CutPrefix(o.Server, "unix:")
	switch {
	case onSocket && (o.CAFile != "" || o.CertFile != "" || o.KeyFile != ""):
		return nil, errors.New("a unix socket has no TLS: leave the CA and the client certificate out")
	case onSocket:
		o.Server = "http://localhost"
	case !strings.Contains(o.Server, "://"):
		o.Server = "http://" + o.Server
	}
	base, err := url.Parse(strings.TrimSuffix(o.Server, "/"))
	if err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") {
		return nil, errors.New("the server is not an address such as http://127.0.0.1:8787")
	}
	if base.User != nil {
		return nil, errors.New("the server's address holds a name or password; give a token with AUDITRELAY_TOKEN or --token-file")
	}
	if o.Token != "" && base.Scheme == "http" && !local(base.Hostname()) {
		return nil, fmt.Errorf("a token would go to %s in the clear; use https", base.Host)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if transport.TLSClientConfig, err = o.tls(); err != nil {
		return nil, err
	}
	name := base.String()
	if onSocket {
		socket = strings.TrimPrefix(socket, "//")
		name = "unix:" + socket
		transport.Proxy = nil
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		}
	}
	return &Client{name: name, base: base, token: o.Token, seen: o.Seen, http: &http.Client{
		Transport: transport,
		// A redirect would send events, or a token, elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Within returns a client that calls a relay in the same process through t, with token if it is
// not empty. No data leaves the process.
func Within(t http.RoundTripper, token auditrelay.Secret) *Client {
	return &Client{name: "http://relay", base: &url.URL{Scheme: "http", Host: "relay"}, token: token, http: &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// tls returns the connection's TLS configuration, or nil for the default.
func (o Options) tls() (*tls.Config, error) {
	if o.CAFile == "" && o.CertFile == "" && o.KeyFile == "" {
		return nil, nil
	}
	out := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.CAFile != "" {
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read the CA file: %w", err)
		}
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("the CA file %s holds no certificate in PEM", o.CAFile)
		}
	}
	switch {
	case o.CertFile == "" && o.KeyFile == "":
	case o.CertFile == "" || o.KeyFile == "":
		return nil, errors.New("a client certificate needs its key, and a key its certificate: give both")
	default:
		pair, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("the client certificate %s with the key %s: %w", o.CertFile, o.KeyFile, err)
		}
		out.Certificates = []tls.Certificate{pair}
	}
	return out, nil
}

func local(host string) bool {
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.Unmap().IsLoopback()
}

// Server returns the server's address.
func (c *Client) Server() string { return c.name }

// call makes one request to an endpoint with JSON bodies. params fill the endpoint's path. An
// error response is returned as *api.Error, and a missing response as *UnreachableError.
func call[In, Out any](ctx context.Context, c *Client, e api.Endpoint[In, Out], in In, params ...string) (out Out, err error) {
	var query url.Values
	var body []byte
	if e.InQuery() {
		query = api.Query(in)
	} else if any(in) != any(api.None{}) && any(in) != any(api.Why{}) {
		if body, err = json.Marshal(in); err != nil {
			return out, err
		}
	}
	return exchange[Out](ctx, c, e.Method, e.URL(params...), query, "application/json", body)
}

// exchange makes one request with a JSON response.
func exchange[Out any](ctx context.Context, c *Client, method, path string, query url.Values, contentType string, body []byte) (out Out, err error) {
	answer, e, err := c.roundTrip(ctx, method, path, query, contentType, "", body)
	if err != nil {
		return out, err
	}
	if e != nil {
		return out, e
	}
	if err := json.Unmarshal(answer, &out); err != nil {
		return out, fmt.Errorf("%s answered with other JSON than an auditrelay does: %w", c.name, err)
	}
	return out, nil
}

// send makes one request. The caller must close the response's body.
func (c *Client) send(ctx context.Context, method, path string, query url.Values, contentType, encoding string, body []byte) (*http.Response, error) {
	u := *c.base
	u.Path, u.RawPath = u.Path+unescaped(path), u.EscapedPath()+path
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if len(body) > 0 {
		req.Header.Set("Content-Type", contentType)
		if encoding != "" {
			req.Header.Set("Content-Encoding", encoding)
		}
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token.Reveal())
	}
	if c.seen != "" {
		req.Header.Set("If-Match", strconv.Quote(c.seen))
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // without the address, which Server already names
		}
		return nil, c.unreachable(ctx, err)
	}
	return resp, nil
}

// unreachable reports a missing or incomplete response.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return &UnreachableError{Server: c.name, Err: err}
}

// roundTrip returns the response's body, and an error for an error status.
func (c *Client) roundTrip(ctx context.Context, method, path string, query url.Values, contentType, encoding string, body []byte) ([]byte, *api.Error, error) {
	resp, err := c.send(ctx, method, path, query, contentType, encoding, body)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	return c.read(ctx, resp)
}

// open makes a GET request whose response the caller reads as it arrives. The caller must close
// the body.
func (c *Client) open(ctx context.Context, path string, query url.Values) (*http.Response, error) {
	resp, err := c.send(ctx, http.MethodGet, path, query, "", "", nil)
	if err != nil || resp.StatusCode < 300 {
		return resp, err
	}
	defer resp.Body.Close()
	_, refused, err := c.read(ctx, resp)
	if err == nil {
		err = refused
	}
	return nil, err
}

// read reads a complete response.
func (c *Client) read(ctx context.Context, resp *http.Response) ([]byte, *api.Error, error) {
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, nil, c.unreachable(ctx, err)
	}
	if resp.StatusCode < 300 {
		return answer, nil, nil
	}
	var failed api.Failure
	if json.Unmarshal(answer, &failed) != nil || failed.Error == nil {
		failed.Error = &api.Error{Message: c.name + " answered " + resp.Status}
	}
	failed.Error.Status = resp.StatusCode
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds >= 0 {
		failed.Error.RetryAfter = time.Duration(min(seconds, 3600)) * time.Second
	}
	return answer, failed.Error, nil
}

func unescaped(path string) string {
	p, err := url.PathUnescape(path)
	if err != nil {
		return path
	}
	return p
}

// Submit sends one body of NDJSON. The returned Submitted is valid if err is nil, also if every
// event was rejected.
func (c *Client) Submit(ctx context.Context, ndjson []byte, encoding string) (api.Submitted, error) {
	var result api.Submitted
	answer, e, err := c.roundTrip(ctx, api.PostEvents.Method, api.PostEvents.Path, nil, "application/x-ndjson", encoding, ndjson)
	if err != nil {
		return result, err
	}
	if err := json.Unmarshal(answer, &result); err != nil && e == nil {
		return result, fmt.Errorf("%s answered with other JSON than an auditrelay does: %w", c.name, err)
	}
	if e == nil {
		return result, nil
	}
	if e.Status < http.StatusInternalServerError && len(result.Results) > 0 && result.Error == nil {
		return result, nil // each event has its own result
	}
	return result, e
}

// Callbacks returns every callback and replay.
func (c *Client) Callbacks(ctx context.Context) ([]api.CallbackStatus, error) {
	return call(ctx, c, api.GetCallbacks, api.None{})
}

// Callback returns one callback's state and account.
func (c *Client) Callback(ctx context.Context, name string) (api.CallbackStatus, error) {
	return call(ctx, c, api.GetCallback, api.None{}, name)
}

// Deliveries lists payloads with their attempts.
func (c *Client) Deliveries(ctx context.Context, q api.DeliveryQuery) (api.Deliveries, error) {
	return call(ctx, c, api.GetDeliveries, q)
}

// TestSink sends a marked event to a callback's destination and returns the result.
func (c *Client) TestSink(ctx context.Context, callback string, why api.Why) (api.SinkTest, error) {
	return call(ctx, c, api.TestCallback, why, callback)
}

// Pause stops a callback's deliveries; its events are retained.
func (c *Client) Pause(ctx context.Context, callback string, why api.Why) (api.CallbackStatus, error) {
	return call(ctx, c, api.PauseCallback, why, callback)
}

// Resume ends a pause.
func (c *Client) Resume(ctx context.Context, callback string, why api.Why) (api.CallbackStatus, error) {
	return call(ctx, c, api.ResumeCallback, why, callback)
}

// Detach makes a callback skip its pending and all new events until Attach.
func (c *Client) Detach(ctx context.Context, callback string, why api.Why) (api.CallbackStatus, error) {
	return call(ctx, c, api.DetachCallback, why, callback)
}

// Attach ends a detachment: the callback processes new events again.
func (c *Client) Attach(ctx context.Context, callback string, why api.Why) (api.CallbackStatus, error) {
	return call(ctx, c, api.AttachCallback, why, callback)
}

// DeadLetters lists dead letters, without their contents.
func (c *Client) DeadLetters(ctx context.Context, callback string, q api.DeadLetterQuery) ([]api.DeadLetter, error) {
	return call(ctx, c, api.GetDeadLetters, q, callback)
}

// DeadLetter returns one dead letter with its contents.
func (c *Client) DeadLetter(ctx context.Context, callback string, sequence uint64) (api.DeadLetter, error) {
	return call(ctx, c, api.GetDeadLetter, api.None{}, callback, strconv.FormatUint(sequence, 10))
}

// DiscardDeadLetters discards dead letters and returns their number.
func (c *Client) DiscardDeadLetters(ctx context.Context, callback string, which api.DeadLetters) (api.Changed, error) {
	return call(ctx, c, api.DiscardDeadLetters, which, callback)
}

// ReplayDeadLetters queues dead letters for processing and returns their number, or the job
// that queues them.
func (c *Client) ReplayDeadLetters(ctx context.Context, callback string, which api.DeadLetterReplay) (api.DeadLetterReplayed, error) {
	return call(ctx, c, api.ReplayDeadLetters, which, callback)
}

// DeadReplays lists replays of dead letters by filter.
func (c *Client) DeadReplays(ctx context.Context) ([]api.DeadReplayJob, error) {
	return call(ctx, c, api.GetDeadReplays, api.None{})
}

// CancelDeadReplay cancels a replay.
func (c *Client) CancelDeadReplay(ctx context.Context, id string, why api.Why) (api.DeadReplayJob, error) {
	return call(ctx, c, api.CancelDeadReplay, why, id)
}

// Replay makes a callback process events again.
func (c *Client) Replay(ctx context.Context, callback string, r api.Replay) (api.ReplayStarted, error) {
	return call(ctx, c, api.ReplayCallback, r, callback)
}

// CancelReplay ends a replay of events. Its undelivered events become skipped.
func (c *Client) CancelReplay(ctx context.Context, callback, id string, why api.Why) (api.CallbackStatus, error) {
	return call(ctx, c, api.CancelReplay, why, callback, id)
}

// Explain returns what is known about one event.
func (c *Client) Explain(ctx context.Context, q api.EventQuery) (api.Explained, error) {
	return call(ctx, c, api.FindEvent, q) // in the query, since the id may be ".."
}

// Proofs returns the proofs of an event's outcomes.
func (c *Client) Proofs(ctx context.Context, q api.ProofQuery) ([]api.EventProof, error) {
	return call(ctx, c, api.GetProofs, q)
}

// Stored returns accepted events with their contents, from a sequence on.
func (c *Client) Stored(ctx context.Context, q api.StoredQuery) (api.Stored, error) {
	return call(ctx, c, api.GetStored, q)
}

// LookUp returns the pseudonyms of a value.
func (c *Client) LookUp(ctx context.Context, want api.LookUp) (api.LookedUp, error) {
	return call(ctx, c, api.LookUps, want)
}

// Keyring returns the encryption periods.
func (c *Client) Keyring(ctx context.Context) ([]api.Period, error) {
	return call(ctx, c, api.GetKeyring, api.None{})
}

// DestroyPeriod destroys a period's key.
func (c *Client) DestroyPeriod(ctx context.Context, number uint64, q api.DestroyQuery) (api.Period, error) {
	return call(ctx, c, api.DestroyPeriod, q, strconv.FormatUint(number, 10))
}

// Sources returns the expected senders.
func (c *Client) Sources(ctx context.Context) ([]api.Source, error) {
	return call(ctx, c, api.GetSources, api.None{})
}

// Stats returns figures about the journal, what was accepted and the quarantine.
func (c *Client) Stats(ctx context.Context) (api.Stats, error) {
	return call(ctx, c, api.GetStats, api.None{})
}

// Backup makes a backup on the relay's machine.
func (c *Client) Backup(ctx context.Context, why api.Why) (api.BackedUp, error) {
	return call(ctx, c, api.PostBackup, why)
}

// Reload reads the configuration again.
func (c *Client) Reload(ctx context.Context, why api.Why) (api.Reloaded, error) {
	return call(ctx, c, api.PostReload, why)
}

// Control returns the relay's own records from a sequence on.
func (c *Client) Control(ctx context.Context, q api.ControlQuery) (api.ControlRecords, error) {
	return call(ctx, c, api.GetControl, q)
}

// Principal returns the relay's name and roles of the client.
func (c *Client) Principal(ctx context.Context) (api.Principal, error) {
	return call(ctx, c, api.GetCaller, api.None{})
}

// Ready returns whether the relay accepts events, and problems that need an operator. A relay
// that does not accept events is no error.
func (c *Client) Ready(ctx context.Context) (api.Readiness, error) {
	e := api.GetReady
	answer, refused, err := c.roundTrip(ctx, e.Method, e.Path, url.Values{"verbose": {""}}, "", "", nil)
	var out api.Readiness
	if err == nil && refused != nil && refused.Status != http.StatusServiceUnavailable {
		err = refused
	}
	if err == nil {
		err = json.Unmarshal(answer, &out)
	}
	return out, err
}
