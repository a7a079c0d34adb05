package http

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"auditrelay/cli/internal/api"
	"auditrelay/cli/internal/oidc"
	"auditrelay/cli/internal/sources"
	"auditrelay/config"
	"auditrelay/runtime"
)

// principal is the caller of a request.
type principal struct {
	name       string // empty without authentication
	subject    string // for an issuer: the same in all tokens of one person; empty for others
	roles      roleSet
	credential string // which of its credentials; empty without authentication
	// namespace confines the principal: its events are in this namespace, and it sees nothing
	// else. Empty: not confined.
	namespace string
	schema    *runtime.Schema // schema of its events; nil: LiteLLM's
	rates     sources.Rates
}

// scope returns the namespace to search if the caller asks for one; empty: all. Objects that
// the caller may not see do not exist for it.
func (p principal) scope(asked string) (namespace string, err error) {
	if p.namespace != "" && asked != "" && asked != p.namespace {
		return "", fmt.Errorf("event: %w", runtime.ErrNotSeen)
	}
	return cmp.Or(p.namespace, asked), nil
}

// unconfined rejects a route that covers the whole relay.
func (p principal) unconfined() *api.Error {
	if p.namespace == "" {
		return nil
	}
	return &api.Error{
		Status: http.StatusForbidden, Reason: api.ReasonForbidden,
		Message: fmt.Sprintf("token %q is confined to the namespace %s, and this answers for the whole relay", p.name, p.namespace),
	}
}

// by returns the name for recording a change.
func (p principal) by() string {
	if p.name == "" {
		return "local"
	}
	return p.name
}

// auth decides on the rights of callers. With tokens, a token decides. Without tokens, the
// daemon listens only on loopback and every local client has every role, but requests that a
// browser sends for a foreign page are rejected.
type auth struct {
	tokens  []tokenEntry
	given   []string // names of tokens with the role ingest itself, and of hooks
	hooks   map[string]*hook
	schemas map[config.Sender]*runtime.Schema // of senders without tokens; LiteLLM's schema is omitted
	// tap: live viewing of events is enabled.
	tap bool
	// socket has the roles of a connection by the unix socket without a token.
	socket roleSet
	// origins are the origins whose pages may read the audit API with a token.
	origins []string
	issuer  *issuer // nil if no issuer is configured
}

// allowOrigins lets pages of these origins call the audit API from a browser. Without tokens no
// page may.
func (a *auth) allowOrigins(origins []string) {
	if !a.open() {
		a.origins = origins
	}
}

type tokenEntry struct {
	hash        [sha256.Size]byte
	certificate string    // instead of the hash: a name in a client certificate
	expires     time.Time // zero if it never expires
	who         principal
}

// minTokenBytes is the minimum length of a token, since shorter ones can be guessed over the
// network.
const minTokenBytes = 16

// newAuth checks tokens.
func newAuth(tokens []config.Token) (*auth, error) {
	a := &auth{schemas: map[config.Sender]*runtime.Schema{}}
	var errs []error
	names, values := map[string]roleSet{}, map[[sha256.Size]byte]string{}
	namespaces, shared := map[string]string{}, map[string]sources.Rates{}
	for i, t := range tokens {
		where := fmt.Sprintf("token %d (%q)", i+1, t.Name)
		set, err := newRoleSet(t.Roles...)
		hash, digest, malformed := hashOf(t.Token.Reveal())
		if t.Certificate != "" {
			hash = sha256.Sum256([]byte("certificate\x00" + t.Certificate))
		}
		switch {
		case malformed:
			errs = append(errs, fmt.Errorf("%s: expected sha256: and 64 hexadecimal digits", where))
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", where, err))
		case t.Name == "":
			errs = append(errs, fmt.Errorf("%s: a token needs a name: records of its use contain it", where))
		case names[t.Name] != nil && !maps.Equal(names[t.Name], set):
			errs = append(errs, fmt.Errorf("%s: the name is taken by a token with other roles", where))
		case names[t.Name] != nil && namespaces[t.Name] != t.Namespace:
			errs = append(errs, fmt.Errorf("%s: the name is taken by a token with another namespace", where))
		case config.CheckNamespace(t.Namespace) != nil:
			errs = append(errs, fmt.Errorf("%s: namespace: %w", where, config.CheckNamespace(t.Namespace)))
		case t.Namespace != "" && (set[roleOperate] || set[roleRelay]):
			errs = append(errs, fmt.Errorf("%s: a token with namespace has the roles ingest, view and comply alone", where))
		case !digest && t.Certificate == "" && len(t.Token.Reveal()) < minTokenBytes:
			errs = append(errs, fmt.Errorf("%s: shorter than %d bytes; make one with: openssl rand -hex 24", where, minTokenBytes))
		case values[hash] != "":
			errs = append(errs, fmt.Errorf("%s: the same value as token %q", where, values[hash]))
		case len(set) == 0:
			errs = append(errs, fmt.Errorf("%s: no roles; give some of %s", where, roleNames()))
		}
		names[t.Name], namespaces[t.Name] = set, t.Namespace
		values[hash] = t.Name
		if slices.Contains(t.Roles, roleIngest) {
			a.given = append(a.given, t.Name)
		}
		who := principal{name: t.Name, roles: set, credential: "token " + hex.EncodeToString(hash[:4]), namespace: t.Namespace, rates: sources.NewRates(t.Rate)}
		if other, known := shared[t.Name]; known {
			who.rates = other // two credentials of one client share one limit
		}
		shared[t.Name] = who.rates
		if t.Certificate != "" {
			who.credential = "certificate " + t.Certificate
		}
		a.tokens = append(a.tokens, tokenEntry{hash: hash, certificate: t.Certificate, expires: t.Expires, who: who})
	}
	return a, errors.Join(errs...)
}

// hashOf returns a token's SHA-256, computed or from the configuration.
func hashOf(token string) (hash [sha256.Size]byte, digest, malformed bool) {
	text, ok := strings.CutPrefix(token, "sha256:")
	if !ok {
		return sha256.Sum256([]byte(token)), false, false
	}
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != sha256.Size {
		return hash, true, true
	}
	return [sha256.Size]byte(raw), true, false
}

// byCertificate returns the entry of the client certificate, which the listener has verified;
// -1 if there is none.
func (a *auth) byCertificate(r *http.Request) int {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return -1
	}
	leaf := r.TLS.VerifiedChains[0][0]
	names := append([]string{leaf.Subject.String(), leaf.Subject.CommonName}, leaf.DNSNames...)
	names = append(names, leaf.EmailAddresses...)
	for _, u := range leaf.URIs {
		names = append(names, u.String())
	}
	for i := range a.tokens {
		if c := a.tokens[i].certificate; c != "" && slices.Contains(names, c) {
			return i
		}
	}
	return -1
}

// senders returns the names of expected senders.
func (a *auth) senders() []string {
	if a.open() {
		return append([]string{principal{}.by()}, a.given...)
	}
	return a.given
}

// open reports whether no token is needed.
func (a *auth) open() bool { return len(a.tokens) == 0 && a.issuer == nil }

// identify authenticates the caller of the request.
func (a *auth) identify(r *http.Request) (principal, *api.Error) {
	if who, ok := a.bySocket(r); ok {
		return who, nil
	}
	if a.open() {
		if err := localOnly(r); err != nil {
			return principal{}, err
		}
		all, _ := newRoleSet(roleAdmin)
		return principal{roles: all}, nil
	}
	scheme, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if i := a.byCertificate(r); i >= 0 && r.Header.Get("Authorization") == "" {
		// A browser sends its certificate for any page.
		if err := foreignPage(r); err != nil {
			return principal{}, err
		}
		return a.valid(i)
	}
	if value == "" || !strings.EqualFold(scheme, "Bearer") {
		return principal{}, &api.Error{
			Status: http.StatusUnauthorized, Reason: api.ReasonUnauthorized,
			Message: "no bearer token", Hint: "send it as Authorization: Bearer TOKEN",
		}
	}
	value = strings.TrimSpace(value)
	presented := sha256.Sum256([]byte(value))
	found := -1
	for i := range a.tokens { // checks all, so that the time reveals nothing
		if a.tokens[i].certificate == "" && subtle.ConstantTimeCompare(presented[:], a.tokens[i].hash[:]) == 1 {
			found = i
		}
	}
	if found < 0 && a.issuer != nil && oidc.Looks(value) {
		return a.issuer.identify(r.Context(), value)
	}
	if found < 0 {
		return principal{}, &api.Error{
			Status: http.StatusUnauthorized, Reason: api.ReasonUnauthorized,
			Message: "the bearer token is not known here",
		}
	}
	return a.valid(found)
}

// valid returns the principal of an entry, unless the entry has expired.
func (a *auth) valid(i int) (principal, *api.Error) {
	if e := a.tokens[i].expires; !e.IsZero() && !time.Now().Before(e) {
		return principal{name: a.tokens[i].who.name}, &api.Error{
			Status: http.StatusUnauthorized, Reason: api.ReasonUnauthorized,
			Message: "the credential has expired", Hint: "ask the relay's operator for a new one",
		}
	}
	return a.tokens[i].who, nil
}

// allow returns an error unless p has the role.
func (p principal) allow(role config.Role) *api.Error {
	if p.roles[role] || role == anyRole {
		return nil
	}
	who := fmt.Sprintf("token %q does", p.name)
	if p.name == "" {
		who = "the relay's socket without a token does"
	}
	return &api.Error{
		Status: http.StatusForbidden, Reason: api.ReasonForbidden,
		Message: fmt.Sprintf("%s not have the role %s", who, role),
	}
}

// localOnly rejects requests that a page may have made a browser send: with another name of
// this machine in Host (DNS rebinding), or with a foreign origin.
func localOnly(r *http.Request) *api.Error {
	if !loopbackHost(r.Host) {
		return &api.Error{
			Status: http.StatusForbidden, Reason: api.ReasonCrossOrigin,
			Message: "without tokens the relay answers to localhost and loopback addresses only, and the Host header names another",
			Hint:    "call it as 127.0.0.1 or localhost, or configure tokens",
		}
	}
	if peer, err := netip.ParseAddrPort(r.RemoteAddr); err != nil || !peer.Addr().Unmap().IsLoopback() {
		return &api.Error{
			Status: http.StatusForbidden, Reason: api.ReasonForbidden,
			Message: "without tokens the relay answers to loopback clients only",
			Hint:    "configure tokens",
		}
	}
	return foreignPage(r)
}

// foreignPage rejects a request that a browser sends for a foreign page.
func foreignPage(r *http.Request) *api.Error {
	crossSite := false
	if origin := r.Header.Get("Origin"); origin != "" {
		u, err := url.Parse(origin)
		crossSite = err != nil || !strings.EqualFold(u.Host, r.Host)
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
	default:
		crossSite = true
	}
	if crossSite {
		return &api.Error{
			Status: http.StatusForbidden, Reason: api.ReasonCrossOrigin,
			Message: "a page from elsewhere may not call the relay",
		}
	}
	return nil
}

// loopbackHost reports whether a Host header names this machine.
func loopbackHost(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// checkListen returns an error if the daemon may not listen on address without tokens.
func checkListen(address string, open bool) error {
	if address == config.NoAddress || strings.HasPrefix(address, socketScheme) {
		return nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("listen %q: %w", address, err)
	}
	if open && !loopbackHost(host) {
		return fmt.Errorf("listen %q: beyond loopback the relay needs authentication: "+
			"configure tokens, or listen on 127.0.0.1", address)
	}
	return nil
}
