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
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"auditrelay"
	"auditrelay/cli/internal/api"
	"auditrelay/runtime"
)

// Options configure a Client.
type Options struct {
	Server string            // default http://127.0.0.1:8787
	Token  auditrelay.Secret // empty: none is sent
	CAFile string            // PEM of whom to trust instead of the system's roots
}

// DefaultServer is where a relay listens unless it is told otherwise.
const DefaultServer = "http://127.0.0.1:8787"

// maxAnswer bounds what is read of an answer.
const maxAnswer = 256 << 20

// Client calls one relay. It is safe for concurrent use.
type Client struct {
	base  *url.URL
	token auditrelay.Secret
	http  *http.Client
}

// UnreachableError says that no answer came: nobody listens, the name does not
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
	if !strings.Contains(o.Server, "://") {
		o.Server = "http://" + o.Server
	}
	base, err := url.Parse(strings.TrimSuffix(o.Server, "/"))
	if err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") {
		return nil, errors.New("the server is not an address such as http://127.0.0.1:8787")
	}
	if base.User != nil {
		return nil, errors.New("the server's address holds a name or password; give a token by AUDITRELAY_TOKEN or --token-file")
	}
	if o.Token != "" && base.Scheme == "http" && !local(base.Hostname()) {
		return nil, fmt.Errorf("a token would go to %s in the clear; use https", base.Host)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if o.CAFile != "" {
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read the CA file: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("the CA file %s holds no certificate in PEM", o.CAFile)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	return &Client{base: base, token: o.Token, http: &http.Client{
		Transport: transport,
		// A redirect would carry events, or a token, elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func local(host string) bool {
	return host == "localhost" || host == "::1" || strings.HasPrefix(host, "127.")
}

// Server is the address that is called.
func (c *Client) Server() string { return c.base.String() }

// do makes one request. An answer that is an error comes back as *api.Error, no
// answer as *UnreachableError. Where into is nil the answer's body is dropped.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, in, into any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	answer, e, err := c.roundTrip(ctx, method, path, query, "application/json", "", body)
	if err != nil {
		return err
	}
	if e != nil {
		return e
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("%s answered what is no JSON of ours; is it an auditrelay? (%w)", c.base, err)
	}
	return nil
}

// send makes one request. The answer's body is the caller's to close.
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
	resp, err := c.http.Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // without the address, which Server says already
		}
		return nil, c.unreachable(ctx, err)
	}
	return resp, nil
}

// unreachable says that an answer did not come, or not whole.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return &UnreachableError{Server: c.base.String(), Err: err}
}

// roundTrip returns the answer's body, and its error where the status is one.
func (c *Client) roundTrip(ctx context.Context, method, path string, query url.Values, contentType, encoding string, body []byte) ([]byte, *api.Error, error) {
	resp, err := c.send(ctx, method, path, query, contentType, encoding, body)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	return c.read(ctx, resp)
}

// read reads an answer to its end.
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
		failed.Error = &api.Error{Message: c.base.String() + " answered " + resp.Status}
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

// Submit sends one body of NDJSON. The answer is valid without an error, and
// also where every event was refused; any other failure is an error.
func (c *Client) Submit(ctx context.Context, ndjson []byte, encoding string) (api.Submitted, error) {
	var result api.Submitted
	answer, e, err := c.roundTrip(ctx, http.MethodPost, "/v1/events", nil, "application/x-ndjson", encoding, ndjson)
	if err != nil {
		return result, err
	}
	if err := json.Unmarshal(answer, &result); err != nil && e == nil {
		return result, fmt.Errorf("%s answered what is no JSON of ours; is it an auditrelay? (%w)", c.base, err)
	}
	if e == nil {
		return result, nil
	}
	if (e.Status == http.StatusUnprocessableEntity || e.Status == http.StatusConflict) && len(result.Results) > 0 {
		return result, nil
	}
	return result, e
}

// Callbacks returns every callback and replay.
func (c *Client) Callbacks(ctx context.Context) ([]runtime.CallbackStatus, error) {
	var all []runtime.CallbackStatus
	return all, c.do(ctx, http.MethodGet, "/v1/callbacks", nil, nil, &all)
}

// Change makes one of the changes of state: pause, resume, detach, attach.
func (c *Client) Change(ctx context.Context, callback, change string) (runtime.CallbackStatus, error) {
	var status runtime.CallbackStatus
	return status, c.do(ctx, http.MethodPost, callbackPath(callback)+"/"+change, nil, nil, &status)
}

// DeadLetters lists dead letters beyond a sequence, without their contents.
func (c *Client) DeadLetters(ctx context.Context, callback string, after uint64, limit int) ([]runtime.DeadLetter, error) {
	var letters []runtime.DeadLetter
	query := url.Values{"after": {strconv.FormatUint(after, 10)}, "limit": {strconv.Itoa(limit)}}
	return letters, c.do(ctx, http.MethodGet, callbackPath(callback)+"/dead-letters", query, nil, &letters)
}

// DeadLetter returns one, contents included.
func (c *Client) DeadLetter(ctx context.Context, callback string, sequence uint64) (api.DeadLetter, error) {
	var letter api.DeadLetter
	return letter, c.do(ctx, http.MethodGet, callbackPath(callback)+"/dead-letters/"+strconv.FormatUint(sequence, 10), nil, nil, &letter)
}

// ChangeDeadLetters discards or replays dead letters.
func (c *Client) ChangeDeadLetters(ctx context.Context, callback, change string, which api.DeadLetters) (int, error) {
	var changed api.Changed
	err := c.do(ctx, http.MethodPost, callbackPath(callback)+"/dead-letters/"+change, nil, which, &changed)
	return changed.Changed, err
}

// Replay gives events to a callback again.
func (c *Client) Replay(ctx context.Context, callback string, r api.Replay) (runtime.ReplayStarted, error) {
	var started runtime.ReplayStarted
	return started, c.do(ctx, http.MethodPost, callbackPath(callback)+"/replay", nil, r, &started)
}

// Explain says what is known of one event; with data, its contents too.
func (c *Client) Explain(ctx context.Context, namespace, id string, data bool) (api.Explained, error) {
	query := url.Values{"id": {id}} // no part of the path: an id may be ".."
	if namespace != "" {
		query.Set("namespace", namespace)
	}
	if data {
		query.Set("data", "true")
	}
	var e api.Explained
	return e, c.do(ctx, http.MethodGet, "/v1/events", query, nil, &e)
}

// Backup makes a backup on the relay's machine.
func (c *Client) Backup(ctx context.Context) (api.BackedUp, error) {
	var b api.BackedUp
	return b, c.do(ctx, http.MethodPost, "/v1/backup", nil, nil, &b)
}

// Reload reads the configuration again.
func (c *Client) Reload(ctx context.Context) (api.Reloaded, error) {
	var r api.Reloaded
	return r, c.do(ctx, http.MethodPost, "/v1/reload", nil, nil, &r)
}

func callbackPath(name string) string { return "/v1/callbacks/" + url.PathEscape(name) }
