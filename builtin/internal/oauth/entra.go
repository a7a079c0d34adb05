package oauth

import (
	"context"
	"errors"
	"net/http"
	"time"

	"auditrelay"
	"auditrelay/builtin/internal/httpsink"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// Entra is the grant of client credentials of an application of Microsoft Entra: service is
// the URL of its token service. The secret is read for each token.
func Entra(service, client string, secret *httpsink.Secret, scope string) Opener {
	return func(ctx context.Context) (oauth2.TokenSource, error) {
		if _, err := secret.Get(); err != nil {
			return nil, err
		}
		return sourceFunc(func() (*oauth2.Token, error) {
			text, err := secret.Get()
			if err != nil {
				return nil, err
			}
			grant := clientcredentials.Config{ClientID: client, ClientSecret: text, TokenURL: service, Scopes: []string{scope}, AuthStyle: oauth2.AuthStyleInParams}
			return grant.Token(ctx)
		}), nil
	}
}

type sourceFunc func() (*oauth2.Token, error)

func (f sourceFunc) Token() (*oauth2.Token, error) { return f() }

// Azure is Azure's own search: AZURE_* variables, workload identity, managed identity.
// services are requests for tokens over the network.
func Azure(services *http.Client) (azcore.TokenCredential, error) {
	return azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{
		ClientOptions: azcore.ClientOptions{Transport: newTokenTransport(services), Telemetry: policy.TelemetryOptions{Disabled: true}},
	})
}

// AzureSearch is Azure as a source of tokens of one scope; timeout bounds one request.
func AzureSearch(services *http.Client, scope string, timeout time.Duration) Opener {
	return func(context.Context) (oauth2.TokenSource, error) {
		found, err := Azure(services)
		if err != nil {
			return nil, errors.New("read the credentials: Azure's variables are not complete")
		}
		return sourceFunc(func() (*oauth2.Token, error) {
			ctx, cancel := context.WithTimeout(context.Background(), timeout)
			defer cancel()
			token, err := found.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{scope}})
			if err != nil {
				return nil, azureRefusal(err)
			}
			return &oauth2.Token{AccessToken: token.Token, Expiry: token.ExpiresOn}, nil
		}), nil
	}
}

// azureRefusal is an error of the search without what it quotes.
func azureRefusal(err error) error {
	if refused, ok := errors.AsType[*azidentity.AuthenticationFailedError](err); ok {
		return &oauth2.RetrieveError{Response: refused.RawResponse}
	}
	return &auditrelay.DeliveryError{Kind: auditrelay.Unauthorized, Reason: auditrelay.ReasonCredentials,
		Err: errors.New("get a token: Azure's search found no credentials: give client_id and client_secret, or run where an identity is attached")}
}

// tokenTransport leads requests for tokens to services, but for those of the machine
// itself: plain HTTP to an address that Azure put into the environment, or to the metadata
// service, which the guard would refuse and no proxy reaches.
type tokenTransport struct{ services, machine *http.Client }

func newTokenTransport(services *http.Client) tokenTransport {
	machine := *services
	machine.Transport = &http.Transport{MaxResponseHeaderBytes: 64 << 10, DisableKeepAlives: true}
	return tokenTransport{services, &machine}
}

// Do sends one request; see policy.Transporter.
func (t tokenTransport) Do(request *http.Request) (*http.Response, error) {
	if request.URL.Scheme == "http" {
		return t.machine.Do(request)
	}
	return t.services.Do(request)
}
