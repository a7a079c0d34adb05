package config

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"auditrelay"
	"auditrelay/document"
)

var (
	nameForm   = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)
	sha256Form = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)
)

// tokenDigest begins a token that the configuration has only the SHA-256 of.
const tokenDigest = "sha256:"

const expectedName = "expected 1 to 64 of a-z, 0-9, _ and -, the first a letter or digit"

// checker makes the checks that need more than one value. It continues after errors. A value
// that could not be decoded is zero, and causes no further error.
type checker struct {
	*Config
	root    *node
	options LoadOptions
	report  *report
}

func (c checker) check(plain func(*node, string)) {
	c.listener()
	c.tokens()
	c.oidc()
	c.approvals()
	c.schemas()
	c.socket()
	c.lineSockets()
	c.origins()
	c.quarantine()
	c.keys()
	c.encryption()
	c.journalOnPostgres()
	c.fleet()
	c.proofs()
	c.files()
	c.detectors()
	c.filters(plain)
	c.callbacks(plain)
	c.control()
	c.emits()
	c.alerts()
	c.canary()
	c.sources(plain)
	c.store()
	c.names()
	c.vocabulary()
}

// in returns the node at a path of keys and indexes, or the nearest existing node above it.
func (c checker) in(steps ...any) *node {
	n := c.root
	for _, step := range steps {
		var next *node
		switch s := step.(type) {
		case string:
			next = n.get(s)
		case int:
			if s < len(n.items) {
				next = n.items[s]
			}
		}
		if next == nil {
			return n
		}
		n = next
	}
	return n
}

func pathOf(steps ...any) string {
	path := ""
	for _, step := range steps {
		switch s := step.(type) {
		case string:
			path = join(path, s)
		case int:
			path = index(path, s)
		}
	}
	return path
}

// bad reports an error at a path.
func (c checker) bad(steps []any, format string, args ...any) {
	c.report.add(c.in(steps...), pathOf(steps...), format, args...)
}

func at(steps ...any) []any { return steps }

func (c checker) listener() {
	c.tlsPairs()
	if c.Listen == NoAddress {
		if c.Socket.Path == "" {
			c.bad(at("listen"), "none needs socket.path: nothing could reach the relay otherwise")
		}
		return
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		c.bad(at("listen"), "not an address: expected host:port, as in 127.0.0.1:8787, or none")
		return
	}
	if Loopback(host) {
		return
	}
	if c.Open() {
		c.bad(at("listen"), "an address beyond loopback without tokens: anyone who reaches it could send and read events; configure tokens or listen on 127.0.0.1")
	} else if c.TLS.Cert == "" {
		c.report.warn(c.in("listen"), "listen is an address beyond loopback without tls: tokens and events pass in clear text")
	}
}

func (c checker) tlsPairs() {
	for _, t := range []struct{ key, other, value, otherValue string }{
		{"cert", "key", c.TLS.Cert, c.TLS.Key}, {"key", "cert", c.TLS.Key, c.TLS.Cert}, {"client_ca", "cert", c.TLS.ClientCA, c.TLS.Cert},
	} {
		if t.value != "" && t.otherValue == "" {
			c.bad(at("tls", t.key), "it needs tls.%s as well", t.other)
		}
	}
}

// Loopback reports whether a host is only reachable from this machine.
func Loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// origins checks that origins have the form that a browser sends, since they are compared as
// texts.
func (c checker) origins() {
	for i, origin := range c.Audit.Origins {
		steps := at("audit", "cors_origins", i)
		u, err := url.Parse(origin)
		switch {
		case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Scheme+"://"+u.Host != origin || strings.ToLower(origin) != origin || strings.Contains(origin, "*"):
			c.bad(steps, "not an origin: expected scheme, host and port as a browser sends them, as in https://litellm.example or http://localhost:4000; no path, no *")
		case c.Open():
			c.bad(steps, "a page from elsewhere needs a token, and there are none: configure tokens")
		}
	}
}

func (c checker) tokens() {
	names, secrets, rotating := map[string]Place{}, map[string]string{}, c.rotates()
	one := func(steps []any, name string, secret string) {
		n := c.in(steps...)
		if n.kind != kindMapping {
			return
		}
		switch {
		case name == "":
			c.bad(append(steps, "name"), "it is required: who uses the token")
		case names[name].Line > 0 && !rotating[name]:
			c.bad(append(steps, "name"), "token %s stands %s already: two of one name are one client's old and new token, with the same roles and namespace", c.in(append(steps, "name")...).show(), names[name].From(c.report.placeOf(n)))
		default:
			names[name] = c.report.placeOf(n)
			if IsOwnPrincipal(name) {
				c.report.warn(c.in(append(steps, "name")...), "%s is a name that the relay's own records use for what no client does: choose another, so that they tell who did it", pathOf(append(steps, "name")...))
			}
		}
		other, twice := secrets[secret]
		value := n.get("token")
		switch {
		case secret == "" && value.given() && (value.unset || value.text != ""):
			// Its error is already reported.
		case secret == "":
			c.bad(append(steps, "token"), "it is required and must not be empty")
		case twice:
			c.bad(append(steps, "token"), "the same value as %s: give each token its own, so that you can tell who sent what", other)
		default:
			secrets[secret] = pathOf(steps...)
			if digest, ok := strings.CutPrefix(secret, tokenDigest); ok {
				if raw, err := hex.DecodeString(digest); err != nil || len(raw) != sha256.Size {
					c.bad(append(steps, "token"), "expected sha256: and 64 hexadecimal digits; make them with: printf %%s TOKEN | sha256sum")
				}
			} else if value.given() && Weak(secret) {
				c.bad(append(steps, "token"), "it can be guessed over the network: expected at least 16 characters by chance; make one with: openssl rand -hex 24")
			}
		}
	}
	for i, t := range c.Tokens {
		one(at("tokens", i), t.Name, cmp.Or(t.Token.Reveal(), t.Certificate))
		switch {
		case t.Certificate == "":
		case t.Token.Reveal() != "":
			c.bad(at("tokens", i, "certificate"), "give a token or a certificate, not both")
		case c.TLS.ClientCA == "":
			c.bad(at("tokens", i, "certificate"), "it needs tls.client_ca, which says whose certificates count")
		}
		if len(t.Roles) == 0 && c.in("tokens", i).kind == kindMapping {
			c.bad(at("tokens", i, "roles"), "it is required: at least one of %s", strings.Join(RoleAdmin.allowed(), ", "))
		}
		if err := CheckNamespace(t.Namespace); err != nil {
			c.bad(at("tokens", i, "namespace"), "%v", err)
		}
		for k, role := range t.Roles {
			if t.Namespace != "" && (role == RoleOperate || role == RoleAdmin || role == RoleRelay) {
				c.bad(at("tokens", i, "roles", k), "it reaches beyond a namespace: a token with namespace has ingest, view, auditor and comply alone")
			}
		}
	}
	for i, t := range c.Ingest.Tokens {
		one(at("ingest", "tokens", i), t.Name, t.Token.Reveal())
		if err := CheckNamespace(t.Namespace); err != nil {
			c.bad(at("ingest", "tokens", i, "namespace"), "%v", err)
		}
		c.Tokens = append(c.Tokens, Token{Name: t.Name, Token: t.Token, Roles: []Role{RoleIngest}, Namespace: t.Namespace, Schema: t.Schema})
	}
}

// rotates returns the pairs of names with equal rights that belong to the old and the new token
// of one client.
func (c checker) rotates() map[string]bool {
	rights := map[string][]string{}
	for _, t := range c.Tokens {
		roles := slices.Clone(t.Roles)
		slices.Sort(roles)
		rights[t.Name] = append(rights[t.Name], fmt.Sprint(roles, " ", t.Namespace, " ", t.Schema))
	}
	for _, t := range c.Ingest.Tokens {
		rights[t.Name] = append(rights[t.Name], fmt.Sprint([]Role{RoleIngest}, " ", t.Namespace, " ", t.Schema))
	}
	both := map[string]bool{}
	for name, all := range rights {
		both[name] = len(all) == 2 && all[0] == all[1] && !strings.HasPrefix(all[0], "[] ")
	}
	return both
}

func (c checker) files() {
	dir := c.options.Dir
	c.DataDir = relative(dir, c.DataDir)
	if c.DataDir == "" {
		c.bad(at("data_dir"), "it must not be empty")
	}
	if info, err := os.Stat(c.DataDir); err == nil && info.IsDir() && info.Mode().Perm()&0o007 != 0 {
		c.report.warn(c.in("data_dir"), "data_dir: every user of this machine may enter the directory, which holds events and keys: chmod 0700 it")
	}
	for _, f := range []struct {
		key  string
		file *string
	}{{"cert", &c.TLS.Cert}, {"key", &c.TLS.Key}, {"client_ca", &c.TLS.ClientCA}} {
		if *f.file == "" {
			continue
		}
		*f.file = relative(dir, *f.file)
		if err := checkFile(*f.file); err != nil {
			c.bad(at("tls", f.key), "%w", err)
			continue
		}
		if f.key == "key" {
			if othersMayRead(*f.file) {
				c.report.warn(c.in("tls", "key"), "tls.key: every user of this machine may read the key: chmod o-rwx it")
			}
			continue // a certificate has no old and new token
		}
		content, err := digestFile(*f.file)
		if err != nil {
			c.bad(at("tls", f.key), "%w", pathless(err))
		}
		c.tlsFiles = append(c.tlsFiles, content)
	}
}

// othersMayRead reports whether every user of the machine may read a file.
func othersMayRead(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o004 != 0
}

func (c checker) filters(plain func(*node, string)) {
	for i := range c.Filters {
		f := &c.Filters[i]
		steps := at("filters", f.Name)
		if !nameForm.MatchString(f.Name) {
			c.report.add(c.root.get("filters").key(f.Name), pathOf(steps...), "a name of another form: %s", expectedName)
		}
		if f.Native() {
			c.native(f, steps, plain)
			continue
		}
		if f.SHA256 != "" && !sha256Form.MatchString(f.SHA256) {
			c.bad(append(steps, "sha256"), "not a SHA-256: expected 64 hexadecimal digits")
		}
		for j, path := range f.Grants.Write {
			if _, err := document.ParsePath(path); err != nil {
				n := c.in(append(steps, "grants", "write", j)...)
				c.bad(append(steps, "grants", "write", j), "%w", n.veil(err))
			}
		}
		for j, key := range f.Grants.Keys {
			if k, ok := c.Keys[key]; !ok {
				n := c.in(append(steps, "grants", "keys", j)...)
				c.bad(append(steps, "grants", "keys", j), "there is no key %s under keys%s", n.show(), n.hint(sortedKeys(c.Keys)))
			} else if k.At(k.Current).Public() {
				c.bad(append(steps, "grants", "keys", j), "it is a public key, which makes no pseudonyms: give a secret")
			}
		}
		if f.Cases != "" {
			f.Cases = relative(c.options.Dir, f.Cases)
			if err := checkFile(f.Cases); err != nil {
				c.bad(append(steps, "cases"), "%w", err)
			}
		}
		if f.Role == auditrelay.RoleObserve && len(f.Grants.Write) > 0 {
			c.bad(append(steps, "grants", "write"), "an observer may not edit: leave grants.write out, or role: observe")
		}
		c.module(f, steps)
	}
}

// native checks a filter that is not a guest.
func (c checker) native(f *Filter, steps []any, plain func(*node, string)) {
	n := c.in(steps...)
	for _, key := range []string{"wasm", "module", "sha256", "cases", "config", "grants", "limits", "role", "isolation", "breaker"} {
		if n.get(key).given() {
			c.bad(append(steps, key), "it goes with a guest only, and redact stands beside it: take one of the two out")
		}
	}
	c.unsaid(f.Name, n.get("redact"))
	c.idle(f.Name, n.get("redact"))
	f.Redact.dir = c.options.Dir
	if c.options.Redact == nil {
		return
	}
	s := *f.Redact
	s.plain = plain
	var err error
	f.keys, err = c.options.Redact(s, c.CurrentKeys(), c.catalogue)
	s.explain(c.report, err)
}

// idle warns about a policy that changes nothing. Its rules may be in the wrong place.
func (c checker) idle(name string, policy *node) {
	for _, key := range []string{"preset", "keep_only", "json", "opaque", "changed_fields"} {
		if policy.get(key).given() {
			return
		}
	}
	if rules := policy.get("rules"); !rules.given() || rules.kind == kindList && len(rules.items) == 0 {
		c.report.warn(policy, "filters.%s.redact: it changes nothing: give a preset, rules or keep_only", name)
	}
}

// unsaid warns about a policy that makes pseudonyms and does not set whether readers may join
// destinations or fields by them. Older versions allowed that.
func (c checker) unsaid(name string, policy *node) {
	if policy.get("pseudonyms").given() {
		return
	}
	rules := policy.get("rules")
	if rules == nil {
		return
	}
	for _, rule := range rules.items {
		do := rule.get("do")
		keyed := do.given() && (do.text == "hmac" || do.text == "encrypt")
		if shared := rule.get("shared"); keyed && !(shared.given() && shared.text == "true") {
			c.report.warn(rule, "filters.%s: its pseudonyms differ by callback and field, which before only pseudonyms: separate asked for. Write that, or pseudonyms: shared to keep joining them by value", name)
			return
		}
	}
}

// module checks that a filter's module exists and has the pinned digest.
func (c checker) module(f *Filter, steps []any) {
	n := c.in(steps...)
	switch {
	case f.Module != "" && f.Wasm != "":
		c.bad(append(steps, "module"), "a file under wasm stands beside it: give one of the two")
		return
	case f.Module != "" && !nameForm.MatchString(f.Module):
		c.bad(append(steps, "module"), "a name of another form: %s", expectedName)
		return
	case f.Module != "" && f.SHA256 != "":
		c.bad(append(steps, "sha256"), "the module is chosen by its digest already (auditrelay module use): leave it out")
		return
	case f.Module != "":
		return
	case f.Wasm == "":
		if n.kind == kindMapping && !c.in(append(steps, "wasm")...).unset {
			c.bad(steps, "it says nothing: give a policy under redact, a module's file under wasm, or the name of uploaded ones under module")
		}
		return
	}
	f.Wasm = relative(c.options.Dir, f.Wasm)
	if err := checkFile(f.Wasm); err != nil {
		c.bad(append(steps, "wasm"), "%w", err)
		return
	}
	var err error
	if f.module, err = digestFile(f.Wasm); err != nil {
		c.bad(append(steps, "wasm"), "%w", pathless(err))
		return
	}
	switch {
	case f.SHA256 == "":
		c.report.warn(n, "filters.%s: the module is not pinned and may be changed unseen: add sha256: %s", f.Name, f.module)
	case sha256Form.MatchString(f.SHA256) && !strings.EqualFold(f.SHA256, f.module):
		c.bad(append(steps, "sha256"), "the module has another digest: %s", f.module)
	}
}

func digestFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	// The limit is that of the largest module that can be configured.
	if n, err := io.Copy(h, io.LimitReader(f, 256<<20+1)); err != nil {
		return "", err
	} else if n > 256<<20 {
		return "", errors.New("the file is larger than 256MiB, no module is")
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
