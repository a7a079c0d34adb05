package oauth

import (
	"context"

	"auditrelay/builtin/internal/httpsink"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// Entra returns the client credentials grant of an application in Microsoft Entra. service is
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
