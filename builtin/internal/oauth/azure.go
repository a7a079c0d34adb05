package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"auditrelay"
	"auditrelay/builtin/internal/httpsink"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"golang.org/x/oauth2"
)

// Azure returns a credential from Azure's own search: AZURE_* variables, workload identity,
// managed identity. services sends token requests over the network. The errors of Azure and of
// the credential are *auditrelay.DeliveryError; those of the credential may also be the
// context's or wrap httpsink.ErrInside. They contain nothing that a service wrote.
func Azure(services *http.Client) (azcore.TokenCredential, error) {
	return azureBy(newTokenTransport(services))
}

func azureBy(transport policy.Transporter) (azcore.TokenCredential, error) {
	found, err := azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{
		ClientOptions: azcore.ClientOptions{
			Transport: transport, Telemetry: policy.TelemetryOptions{Disabled: true},
			Retry: policy.RetryOptions{MaxRetries: -1}, // the engine retries
		},
	})
	if err != nil {
		return nil, credentialsError(auditrelay.Unauthorized, "read the credentials: AZURE_TOKEN_CREDENTIALS names an unknown kind of credentials")
	}
	return search{found}, nil
}

// AzureSearch returns Azure as a source of tokens with one scope. timeout limits one request.
func AzureSearch(services *http.Client, scope string, timeout time.Duration) Opener {
	return func(context.Context) (oauth2.TokenSource, error) {
		found, err := Azure(services)
		if err != nil {
			return nil, err
		}
		return sourceFunc(func() (*oauth2.Token, error) {
			ctx, cancel := context.WithTimeout(context.Background(), timeout)
			defer cancel()
			token, err := found.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{scope}})
			if err != nil {
				return nil, err
			}
			return &oauth2.Token{AccessToken: token.Token, Expiry: token.ExpiresOn}, nil
		}), nil
	}
}

// search is a credential with classified errors. Azure's own errors give their cause only as
// text, so search keeps the requests that had no answer.
type search struct{ found azcore.TokenCredential }

// unansweredKey is the context key of an *atomic.Pointer[error]: why the latest token request
// had no answer.
type unansweredKey struct{}

// GetToken returns a token; see azcore.TokenCredential.
func (s search) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	var unanswered atomic.Pointer[error]
	token, err := s.found.GetToken(context.WithValue(ctx, unansweredKey{}, &unanswered), o)
	if err == nil {
		return token, nil
	}
	var lost error
	if at := unanswered.Load(); at != nil {
		lost = *at
	}
	return azcore.AccessToken{}, azureError(ctx, err, lost)
}

// azureError classifies an error of Azure's search. lost is why the latest request had no
// answer, or nil. The result omits everything that err quotes.
func azureError(ctx context.Context, err, lost error) error {
	refused, known := errors.AsType[*azidentity.AuthenticationFailedError](err)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(lost, httpsink.ErrInside):
		return lost // the sink names the network to allow
	case known && refused.RawResponse != nil:
		status := refused.RawResponse.StatusCode
		kind := auditrelay.Unauthorized
		if passing(status) || ofMachine(refused.RawResponse.Request) && updating(status) {
			kind = auditrelay.Transient
		}
		return credentialsError(kind, fmt.Sprintf("get a token: the token service refused the credentials (%s)", statusText(refused.RawResponse.StatusCode)))
	case known && lost != nil:
		return credentialsError(auditrelay.Transient, fmt.Sprintf("get a token: the token service cannot be reached (%T)", lost))
	case known:
		return credentialsError(auditrelay.Unauthorized, "get a token: the credentials found by Azure's search cannot be used: does the file of the federated token, or the certificate, exist?")
	case lost != nil:
		return credentialsError(auditrelay.Unauthorized, "get a token: Azure's search found no credentials, and no metadata service answered: give the credentials, or run where an identity is attached")
	}
	return credentialsError(auditrelay.Unauthorized, "get a token: Azure's search found no credentials: give them, or run where an identity is attached")
}

func credentialsError(kind auditrelay.ErrorKind, text string) error {
	return &auditrelay.DeliveryError{Kind: kind, Reason: auditrelay.ReasonCredentials, Err: errors.New(text)}
}

// passing reports whether a token service's status says nothing about the credentials.
func passing(status int) bool { return status >= 500 || status == http.StatusTooManyRequests }

// updating reports whether the metadata service's status is temporary. According to Microsoft's
// "Use managed identities on a virtual machine to acquire an access token", error handling, 404
// and 410 mean that it is being updated.
func updating(status int) bool { return status == http.StatusNotFound || status == http.StatusGone }

// ofMachine reports whether a request went to a service of the machine itself.
func ofMachine(r *http.Request) bool { return r != nil && r.URL.Scheme == "http" }

// tokenTransport sends token requests to services, except those to the machine itself: plain
// HTTP to an address from Azure's environment variables, or to the metadata service. The guard
// would refuse these, and no proxy reaches them.
type tokenTransport struct{ services, machine *http.Client }

func newTokenTransport(services *http.Client) tokenTransport {
	machine := *services
	machine.Transport = &http.Transport{MaxResponseHeaderBytes: 64 << 10, DisableKeepAlives: true}
	return tokenTransport{services, &machine}
}

// Do sends one request; see policy.Transporter.
func (t tokenTransport) Do(request *http.Request) (*http.Response, error) {
	client := t.services
	if ofMachine(request) {
		client = t.machine
	}
	response, err := client.Do(request)
	if at, ok := request.Context().Value(unansweredKey{}).(*atomic.Pointer[error]); ok {
		at.Store(nil)
		if err != nil {
			at.Store(&err)
		}
	}
	return response, err
}
