// Package oauth gives sinks access tokens from Google credentials or a Microsoft Entra client.
package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"auditrelay"
	"auditrelay/builtin/internal/httpsink"

	"golang.org/x/oauth2"
)

// Opener reads credentials and returns a source of tokens. ctx outlives the call and carries
// the HTTP client of the requests.
type Opener func(ctx context.Context) (oauth2.TokenSource, error)

// Tokens returns access tokens and caches them until shortly before they expire. A nil Tokens
// returns none. It is safe for concurrent use.
type Tokens struct {
	open    Opener
	client  *httpsink.Client
	http    *http.Client
	timeout time.Duration

	mu     sync.Mutex
	source oauth2.TokenSource // nil: the credentials must be read
}

// New returns tokens for the destination of client. timeout limits one Get.
func New(open Opener, client *httpsink.Client, timeout time.Duration) *Tokens {
	return &Tokens{open: open, client: client, http: client.Tokens(), timeout: timeout}
}

// Get returns a token. Its error is classified and contains nothing of the credentials.
func (t *Tokens) Get(ctx context.Context) (string, error) {
	if t == nil {
		return "", nil
	}
	source, err := t.opened()
	if classified, ok := errors.AsType[*auditrelay.DeliveryError](err); ok {
		return "", classified
	}
	if err != nil {
		return "", &auditrelay.DeliveryError{Kind: auditrelay.Unauthorized, Reason: auditrelay.ReasonCredentials, Err: err}
	}
	type result struct {
		token *oauth2.Token
		err   error
	}
	got := make(chan result, 1)
	go func() { // the source takes no context: a delivery that ends does not wait for it
		token, err := source.Token()
		got <- result{token, err}
	}()
	timer := time.NewTimer(t.timeout)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return "", t.client.Failure(ctx, ctx.Err())
	case <-timer.C: // the source's next caller would wait for the same answer
		t.Forget()
		return "", &auditrelay.DeliveryError{Reason: auditrelay.ReasonCredentials, Err: fmt.Errorf("get a token: no answer within request_timeout (%v)", t.timeout)}
	case r := <-got:
		if r.err == nil {
			return r.token.AccessToken, nil
		}
		t.Forget()
		if refused, ok := errors.AsType[*oauth2.RetrieveError](r.err); ok {
			kind := auditrelay.Unauthorized
			if refused.Response != nil && passing(refused.Response.StatusCode) {
				kind = auditrelay.Transient
			}
			return "", &auditrelay.DeliveryError{Kind: kind, Reason: auditrelay.ReasonCredentials, Err: fmt.Errorf("get a token: the token service refused the credentials (%s)", status(refused))}
		}
		if classified, ok := errors.AsType[*auditrelay.DeliveryError](r.err); ok {
			return "", classified
		}
		if errors.Is(r.err, httpsink.ErrInside) {
			return "", t.client.Failure(ctx, r.err)
		}
		if strings.Contains(r.err.Error(), httpsink.ErrInside.Error()) { // the library passes on only the text
			return "", &auditrelay.DeliveryError{Kind: auditrelay.Misconfigured, Reason: auditrelay.ReasonAddress,
				Err: fmt.Errorf("get a token: %w: the credentials name this service: add its network to http.allow_networks", httpsink.ErrInside)}
		}
		return "", &auditrelay.DeliveryError{Reason: auditrelay.ReasonCredentials, Err: fmt.Errorf("get a token: the token service cannot be reached (%T)", r.err)}
	}
}

func status(e *oauth2.RetrieveError) string {
	if e.Response == nil {
		return "no status"
	}
	return statusText(e.Response.StatusCode)
}

// statusText is the text of a status. The service's own words may quote the request.
func statusText(code int) string {
	return strings.TrimSpace(fmt.Sprint(code, " ", http.StatusText(code)))
}

// opened reads the credentials if necessary. The source outlives the delivery that requested
// it.
func (t *Tokens) opened() (oauth2.TokenSource, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.source != nil {
		return t.source, nil
	}
	source, err := t.open(context.WithValue(context.Background(), oauth2.HTTPClient, t.http))
	if err != nil {
		return nil, err
	}
	t.source = oauth2.ReuseTokenSource(nil, source)
	return t.source, nil
}

// Forget makes the next Get read the credentials again.
func (t *Tokens) Forget() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.source = nil
}

// ForgetAfter forgets the credentials if err may be their fault, and returns err.
func (t *Tokens) ForgetAfter(err error) error { return httpsink.ForgetAfter(err, t.Forget) }
