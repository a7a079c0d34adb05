package gcs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"

	"auditrelay"
	"auditrelay/builtin/internal/httpsink"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
)

// scope is all that a writer needs.
const scope = "https://www.googleapis.com/auth/devstorage.read_write"

// maxCredentialsBytes bounds a file of credentials.
const maxCredentialsBytes = 64 << 10

// tokens gives access tokens, kept until shortly before they expire. A nil one gives none.
type tokens struct {
	file    string // empty: Google's own search
	http    *http.Client
	timeout time.Duration

	mu     sync.Mutex
	source oauth2.TokenSource // nil: the credentials are to be read
}

// get returns a token. Its error is classified and holds nothing of the credentials.
func (t *tokens) get(ctx context.Context, c *httpsink.Client) (string, error) {
	if t == nil {
		return "", nil
	}
	source, err := t.open()
	if err != nil {
		return "", &auditrelay.DeliveryError{Kind: auditrelay.Unauthorized, Reason: auditrelay.ReasonCredentials, Err: err}
	}
	type result struct {
		token *oauth2.Token
		err   error
	}
	got := make(chan result, 1)
	go func() { // the source knows no context: a delivery that ends does not wait for it
		token, err := source.Token()
		got <- result{token, err}
	}()
	timer := time.NewTimer(t.timeout)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return "", c.Failure(ctx, ctx.Err())
	case <-timer.C: // the source's next caller would wait for the same answer
		t.forget()
		return "", &auditrelay.DeliveryError{Reason: auditrelay.ReasonCredentials, Err: fmt.Errorf("get a token: no answer within request_timeout (%v)", t.timeout)}
	case r := <-got:
		if r.err == nil {
			return r.token.AccessToken, nil
		}
		t.forget()
		if refused, ok := errors.AsType[*oauth2.RetrieveError](r.err); ok {
			kind := auditrelay.Unauthorized
			if refused.Response != nil && (refused.Response.StatusCode >= 500 || refused.Response.StatusCode == http.StatusTooManyRequests) {
				kind = auditrelay.Transient
			}
			return "", &auditrelay.DeliveryError{Kind: kind, Reason: auditrelay.ReasonCredentials, Err: fmt.Errorf("get a token: the token service refused the credentials (%s)", status(refused))}
		}
		if errors.Is(r.err, httpsink.ErrInside) {
			return "", c.Failure(ctx, r.err)
		}
		return "", &auditrelay.DeliveryError{Reason: auditrelay.ReasonCredentials, Err: fmt.Errorf("get a token: the token service is out of reach (%T)", r.err)}
	}
}

func status(e *oauth2.RetrieveError) string {
	if e.Response == nil {
		return "no status"
	}
	return e.Response.Status
}

// open reads the credentials where that is due. The source outlives the delivery that asked.
func (t *tokens) open() (oauth2.TokenSource, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.source != nil {
		return t.source, nil
	}
	ctx := context.WithValue(context.Background(), oauth2.HTTPClient, t.http)
	var found *google.Credentials
	if t.file == "" {
		var err error
		if found, err = google.FindDefaultCredentials(ctx, scope); err != nil {
			return nil, errors.New("read the credentials: Google's search found none: give credentials_file, or run where a service account is attached")
		}
	} else {
		info, err := os.Stat(t.file)
		if err != nil {
			return nil, fmt.Errorf("read the credentials: %w", err)
		}
		if info.Size() > maxCredentialsBytes || !info.Mode().IsRegular() {
			return nil, fmt.Errorf("read the credentials: %s is no regular file of at most %d KiB", t.file, maxCredentialsBytes>>10)
		}
		data, err := os.ReadFile(t.file)
		if err != nil {
			return nil, fmt.Errorf("read the credentials: %w", err)
		}
		var kind struct {
			Type google.CredentialsType `json:"type"`
		}
		if json.Unmarshal(data, &kind) != nil || kind.Type == "" {
			return nil, fmt.Errorf("read the credentials: %s is no file of credentials: expected JSON with a type", t.file)
		}
		if found, err = google.CredentialsFromJSONWithType(ctx, data, kind.Type, scope); err != nil {
			return nil, fmt.Errorf("read the credentials: %s is no valid file of the type that it names", t.file)
		}
	}
	t.source = oauth2.ReuseTokenSource(nil, found.TokenSource)
	return t.source, nil
}

// forget makes the next get read the credentials again.
func (t *tokens) forget() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.source = nil
}
