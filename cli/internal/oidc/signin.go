package oidc

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"

	"auditrelay"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// ErrSignIn: the issuer did not sign the person in.
var ErrSignIn = errors.New("the issuer did not confirm the sign-in")

// Offers reports whether people can sign in to the page at the issuer.
func (i *Issuer) Offers() bool { return i.cfg.SignIn.Redirect != "" }

func (i *Issuer) flow(ctx context.Context) (*oauth2.Config, error) {
	if _, _, err := i.keys(ctx, false); err != nil {
		return nil, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	scopes := i.cfg.SignIn.Scopes
	if len(scopes) == 0 {
		scopes = []string{"email"}
	}
	return &oauth2.Config{
		ClientID: i.cfg.Audience, ClientSecret: i.cfg.SignIn.Secret.Reveal(), RedirectURL: i.cfg.SignIn.Redirect,
		Endpoint: oauth2.Endpoint{AuthURL: i.found.authorize, TokenURL: i.found.exchange},
		Scopes:   append([]string{oidc.ScopeOpenID}, scopes...),
	}, nil
}

// Attempt is one sign-in in progress. Its values are secret, random, and for single use.
type Attempt struct{ State, Nonce, Verifier string }

// NewAttempt returns a new Attempt.
func NewAttempt() Attempt {
	return Attempt{State: oauth2.GenerateVerifier(), Nonce: oauth2.GenerateVerifier(), Verifier: oauth2.GenerateVerifier()}
}

// Address returns the issuer's address where a browser signs in. ErrUnreachable: the address is
// unknown.
func (i *Issuer) Address(ctx context.Context, a Attempt) (string, error) {
	flow, err := i.flow(ctx)
	if err != nil {
		return "", err
	}
	return flow.AuthCodeURL(a.State, oidc.Nonce(a.Nonce), oauth2.S256ChallengeOption(a.Verifier)), nil
}

// Redeem exchanges the code of an attempt for the person's token. iss is the response's
// parameter with that name, or "". Errors: ErrSignIn and those of Verify.
func (i *Issuer) Redeem(ctx context.Context, a Attempt, code, iss string) (auditrelay.Secret, error) {
	if iss != "" && iss != i.cfg.Issuer { // RFC 9207: the response of another issuer
		return "", ErrSignIn
	}
	flow, err := i.flow(ctx)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, i.client), fetchWait)
	defer cancel()
	got, err := flow.Exchange(ctx, code, oauth2.VerifierOption(a.Verifier))
	if err != nil {
		i.log.Warn("the OIDC issuer refused to exchange the code of a sign-in", "issuer", i.cfg.Issuer, "error", refusal(err))
		return "", ErrSignIn
	}
	token, _ := got.Extra("id_token").(string)
	_, checked, err := i.verify(ctx, token)
	if err != nil {
		return "", err
	}
	if subtle.ConstantTimeCompare([]byte(checked.Nonce), []byte(a.Nonce)) != 1 {
		return "", fmt.Errorf("%w: the token is of another sign-in", ErrSignIn)
	}
	return auditrelay.Secret(token), nil
}

// refusal returns an error of the exchange without the response's body, which may contain
// tokens.
func refusal(err error) string {
	if answer, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		return fmt.Sprintf("status %d, error %q", answer.Response.StatusCode, answer.ErrorCode)
	}
	return "no usable answer"
}
