package config

import (
	"net/url"
	"strings"
	"time"

	"auditrelay"
)

// OIDC accepts bearer tokens (JWT) that an OpenID Connect issuer signed, so that own records
// name the person.
type OIDC struct {
	// Issuer is the issuer's URL, exactly as in iss of its tokens. The relay reads the issuer's
	// keys from there. It must be https, except for loopback addresses. Default: no issuer.
	Issuer string `yaml:"issuer"`
	// Audience is the value that aud of a token must have: the relay's client id at the
	// issuer. Required.
	Audience string `yaml:"audience"`
	// Name lists the claims that name the person. The first one that a token has is used.
	// Choose claims that people cannot change themselves. An email is ignored if email_verified
	// is false. Default: [email, sub].
	Name []string `yaml:"name"`
	// Grants map claims to roles. A token gets the roles of all grants that match it. A token
	// without a match may do nothing. Required. At most 200.
	Grants []OIDCGrant `yaml:"grants"`
	// Algorithms are the accepted signatures: RS256, RS384, RS512, PS256, PS384, PS512,
	// ES256, ES384, ES512, EdDSA. Default: [RS256, ES256].
	Algorithms []OIDCAlgorithm `yaml:"algorithms"`
	// Leeway is the maximum difference between the clocks of the issuer and the relay. Default:
	// 30s.
	Leeway time.Duration `yaml:"leeway" range:"1s..5m"`
	// CA is a file of the PEM certificates that may sign the issuer's certificate. Default:
	// those that the system trusts.
	CA string `yaml:"ca"`
	// SignIn lets people sign in to the page at the issuer.
	SignIn OIDCSignIn `yaml:"sign_in"`
}

// OIDCGrant gives roles to the tokens that have a value in a claim.
type OIDCGrant struct {
	// Claim is the claim's name, such as groups. A dot selects a field of an object, as in
	// realm_access.roles, unless a claim has the whole name.
	Claim string `yaml:"claim"`
	// Value is the text of the claim, or a text in the claim's list.
	Value string `yaml:"value"`
	// Roles are the roles, as those of a token.
	Roles []Role `yaml:"roles"`
	// Namespace confines the token to one namespace; see tokens. A token is rejected if its
	// grants have two namespaces, or if some of them have one and others none.
	Namespace string `yaml:"namespace"`
}

// OIDCSignIn lets people sign in to the page at the issuer: authorization code flow with
// PKCE.
type OIDCSignIn struct {
	// Redirect is the page's address for the issuer's responses, such as
	// https://relay.example/ui/callback, as registered at the issuer. Default: people sign in
	// to the page with a token.
	Redirect string `yaml:"redirect"`
	// Secret is the client secret at the issuer. Default: none, a public client.
	Secret auditrelay.Secret `yaml:"secret"`
	// Scopes lists the scopes to request in addition to openid. Default: [email].
	Scopes []string `yaml:"scopes"`
}

// OIDCAlgorithm is a signature algorithm of an issuer. Algorithms with a shared secret are
// excluded.
type OIDCAlgorithm string

func (OIDCAlgorithm) allowed() []string {
	return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
}

// Enabled reports whether an issuer is configured.
func (o *OIDC) Enabled() bool { return o.Issuer != "" }

// Open reports whether there are no credentials, so that every local process may do everything.
func (c *Config) Open() bool {
	return len(c.Tokens) == 0 && len(c.Ingest.Tokens) == 0 && !c.OIDC.Enabled()
}

// OIDCCallback is the path at which the page receives the issuer's responses.
const OIDCCallback = "/ui/callback"

// mostGrants limits the grants of an issuer.
const mostGrants = 200

// secureURL reports whether text is a plain https URL, or an http URL of this machine.
func secureURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && u.User == nil && u.RawQuery == "" && u.Fragment == "" &&
		(u.Scheme == "https" || u.Scheme == "http" && Loopback(u.Hostname()))
}

func (c checker) oidc() {
	o := &c.OIDC
	if !o.Enabled() {
		if n := c.root.get("oidc"); n != nil && n.kind == kindMapping {
			c.bad(at("oidc", "issuer"), "it is required: the URL of the issuer")
		}
		return
	}
	if !secureURL(o.Issuer) {
		c.bad(at("oidc", "issuer"), "expected an https URL without query, as in https://login.example; http is for loopback addresses alone")
	}
	if o.Audience == "" {
		c.bad(at("oidc", "audience"), "it is required: without it tokens for other programs would count here")
	}
	for i, name := range o.Name {
		if name == "" {
			c.bad(at("oidc", "name", i), "expected the name of a claim")
		}
	}
	if o.CA != "" {
		o.CA = relative(c.options.Dir, o.CA)
		if err := checkCertificates(o.CA); err != nil {
			c.bad(at("oidc", "ca"), "%w", err)
		}
	}
	if r := o.SignIn.Redirect; r != "" && (!secureURL(r) || !strings.HasSuffix(r, OIDCCallback)) {
		c.bad(at("oidc", "sign_in", "redirect"), "expected the page's https URL, as in https://relay.example%s", OIDCCallback)
	} else if r == "" && (o.SignIn.Secret != "" || len(o.SignIn.Scopes) > 0) {
		c.bad(at("oidc", "sign_in", "redirect"), "it is required to sign in at the issuer")
	}
	c.grants()
}

func (c checker) grants() {
	if n := len(c.OIDC.Grants); n == 0 || n > mostGrants {
		c.bad(at("oidc", "grants"), "expected 1 to %d grants: without one a token of the issuer may do nothing", mostGrants)
	}
	for i, g := range c.OIDC.Grants {
		steps := func(key string) []any { return at("oidc", "grants", i, key) }
		if g.Claim == "" {
			c.bad(steps("claim"), "it is required: the name of a claim")
		}
		if g.Value == "" {
			c.bad(steps("value"), "it is required: what the claim must have")
		}
		if len(g.Roles) == 0 {
			c.bad(steps("roles"), "it is required: at least one of %s", strings.Join(RoleAdmin.allowed(), ", "))
		}
		if err := CheckNamespace(g.Namespace); err != nil {
			c.bad(steps("namespace"), "%v", err)
		}
		for k, role := range g.Roles {
			if g.Namespace != "" && (role == RoleOperate || role == RoleAdmin || role == RoleRelay) {
				c.bad(append(steps("roles"), k), "it reaches beyond a namespace: a grant with namespace has ingest, view, auditor and comply alone")
			}
		}
	}
}
