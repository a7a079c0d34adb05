package http

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"auditrelay/cli/internal/api"
	"auditrelay/cli/internal/oidc"
	"auditrelay/config"
)

// issuer is the OpenID Connect issuer whose tokens are accepted, with the roles that its claims
// give.
type issuer struct {
	*oidc.Issuer
	credential string
	grants     []claimed
}

// claimed is what one claim value gives.
type claimed struct {
	config.OIDCGrant
	roles roleSet
}

// newIssuer returns nil if cfg names no issuer.
func newIssuer(cfg config.OIDC, log *slog.Logger) (*issuer, error) {
	if !cfg.Enabled() {
		return nil, nil
	}
	inner, err := oidc.New(cfg, log)
	if err != nil {
		return nil, err
	}
	i := &issuer{Issuer: inner, credential: "oidc " + cfg.Issuer}
	for _, g := range cfg.Grants {
		set, err := newRoleSet(g.Roles...)
		if err != nil {
			return nil, err
		}
		i.grants = append(i.grants, claimed{g, set})
	}
	return i, nil
}

// identify returns the principal that a token belongs to.
func (i *issuer) identify(ctx context.Context, token string) (principal, *api.Error) {
	person, err := i.Verify(ctx, token)
	switch {
	case errors.Is(err, oidc.ErrUnreachable):
		return principal{}, &api.Error{Status: http.StatusServiceUnavailable, Reason: api.ReasonUnavailable, Message: err.Error(), RetryAfter: 10 * time.Second}
	case errors.Is(err, oidc.ErrExpired):
		return principal{}, &api.Error{Status: http.StatusUnauthorized, Reason: api.ReasonUnauthorized, Message: err.Error(), Hint: "sign in at the issuer again"}
	case err != nil:
		return principal{}, &api.Error{Status: http.StatusUnauthorized, Reason: api.ReasonUnauthorized, Message: err.Error(), Hint: "oidc in the configuration says what counts; the relay's log at level debug says why this one does not"}
	}
	who := principal{name: person.Name, subject: person.Subject, roles: roleSet{}, credential: i.credential}
	matched := false
	for _, g := range i.grants {
		values, err := person.Claims.Values(g.Claim)
		if err != nil {
			return who, &api.Error{Status: http.StatusUnauthorized, Reason: api.ReasonUnauthorized, Message: err.Error()}
		}
		if !slices.Contains(values, g.Value) || g.Claim == "email" && !person.Claims.Verified() {
			continue
		}
		if matched && who.namespace != g.Namespace {
			return principal{name: who.name}, &api.Error{Status: http.StatusForbidden, Reason: api.ReasonForbidden,
				Message: "the token's claims give it more than one namespace", Hint: "oidc.grants in the configuration has to decide on one"}
		}
		matched, who.namespace = true, g.Namespace
		for role := range g.roles {
			who.roles[role] = true
		}
	}
	if !matched {
		return principal{name: who.name}, &api.Error{Status: http.StatusForbidden, Reason: api.ReasonForbidden,
			Message: "no claim of the token gives it a role here", Hint: "oidc.grants in the configuration says which do"}
	}
	return who, nil
}

// Issuer returns the issuer where users sign in to the page, or nil if there is none.
func (s *Server) Issuer() *oidc.Issuer {
	if i := s.auth.Load().issuer; i != nil && i.Offers() {
		return i.Issuer
	}
	return nil
}
