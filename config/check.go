package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
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

const expectedName = "expected 1 to 64 of a-z, 0-9, _ and -, the first a letter or digit"

// laterSinks are sinks that are on their way.
var laterSinks = []string{"otlp", "syslog", "elastic", "kafka", "sentinel", "gcs", "azure"}

// checker looks at what no single value shows. It goes on after errors; what
// could not be decoded is zero and not complained about again.
type checker struct {
	*Config
	root    *node
	options LoadOptions
	report  *report
}

func (c checker) check(plain func(*node, string)) {
	c.listener()
	c.tokens()
	c.origins()
	c.quarantine()
	c.keys()
	c.encryption()
	c.proofs()
	c.files()
	c.detectors()
	c.filters(plain)
	c.callbacks(plain)
	c.emits()
	c.sources(plain)
	c.store()
	c.names()
	c.vocabulary()
}

// in returns the node at a path of keys and indexes, or the nearest above it.
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
	host, port, err := net.SplitHostPort(c.Listen)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		c.bad(at("listen"), "not an address: expected host:port, as in 127.0.0.1:8787")
		return
	}
	for _, t := range []struct{ key, other, value, otherValue string }{
		{"cert", "key", c.TLS.Cert, c.TLS.Key}, {"key", "cert", c.TLS.Key, c.TLS.Cert}, {"client_ca", "cert", c.TLS.ClientCA, c.TLS.Cert},
	} {
		if t.value != "" && t.otherValue == "" {
			c.bad(at("tls", t.key), "it needs tls.%s as well", t.other)
		}
	}
	if Loopback(host) {
		return
	}
	if len(c.Tokens) == 0 && len(c.Ingest.Tokens) == 0 {
		c.bad(at("listen"), "an address beyond loopback without tokens: anyone who reaches it could send and read events; configure tokens or listen on 127.0.0.1")
	} else if c.TLS.Cert == "" {
		c.report.warn(c.in("listen"), "listen is an address beyond loopback without tls: tokens and events pass in clear text")
	}
}

// Loopback reports whether a host is this machine alone.
func Loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// origins are checked as a browser writes them, since they are compared as texts.
func (c checker) origins() {
	for i, origin := range c.Audit.Origins {
		steps := at("audit", "cors_origins", i)
		u, err := url.Parse(origin)
		switch {
		case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Scheme+"://"+u.Host != origin || strings.ToLower(origin) != origin || strings.Contains(origin, "*"):
			c.bad(steps, "not an origin: expected scheme, host and port as a browser sends them, as in https://litellm.example or http://localhost:4000; no path, no *")
		case len(c.Tokens) == 0:
			c.bad(steps, "a page from elsewhere needs a token, and there are none: configure tokens")
		}
	}
}

func (c checker) tokens() {
	names, secrets, rotating := map[string]int{}, map[string]string{}, c.rotates()
	one := func(steps []any, name string, secret string) {
		n := c.in(steps...)
		if n.kind != kindMapping {
			return
		}
		switch {
		case name == "":
			c.bad(append(steps, "name"), "it is required: who uses the token")
		case names[name] > 0 && !rotating[name]:
			c.bad(append(steps, "name"), "token %s stands on line %d already: two of one name are one client's old and new token, with the same roles", c.in(append(steps, "name")...).show(), names[name])
		default:
			names[name] = n.line
		}
		other, twice := secrets[secret]
		value := n.get("token")
		switch {
		case secret == "" && value.given() && (value.unset || value.text != ""):
			// What is wrong with it was told.
		case secret == "":
			c.bad(append(steps, "token"), "it is required and must not be empty")
		case twice:
			c.bad(append(steps, "token"), "the same value as %s: give each token its own, so that you can tell who sent what", other)
		default:
			secrets[secret] = pathOf(steps...)
			if Weak(secret) {
				c.bad(append(steps, "token"), "it can be guessed over the network: expected at least 16 characters by chance; make one with: openssl rand -hex 24")
			}
		}
	}
	for i, t := range c.Tokens {
		one(at("tokens", i), t.Name, t.Token.Reveal())
		if len(t.Roles) == 0 && c.in("tokens", i).kind == kindMapping {
			c.bad(at("tokens", i, "roles"), "it is required: at least one of %s", strings.Join(RoleAdmin.allowed(), ", "))
		}
	}
	for i, t := range c.Ingest.Tokens {
		one(at("ingest", "tokens", i), t.Name, t.Token.Reveal())
		c.Tokens = append(c.Tokens, Token{Name: t.Name, Token: t.Token, Roles: []Role{RoleIngest}})
	}
}

// rotates returns the names that stand for the old and the new token of one client: two
// tokens with the same rights.
func (c checker) rotates() map[string]bool {
	rights := map[string][]string{}
	for _, t := range c.Tokens {
		roles := slices.Clone(t.Roles)
		slices.Sort(roles)
		rights[t.Name] = append(rights[t.Name], fmt.Sprint(roles))
	}
	for _, t := range c.Ingest.Tokens {
		rights[t.Name] = append(rights[t.Name], fmt.Sprint([]Role{RoleIngest}))
	}
	both := map[string]bool{}
	for name, all := range rights {
		both[name] = len(all) == 2 && all[0] == all[1] && all[0] != "[]"
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
			continue // it changes with its certificate
		}
		content, err := digestFile(*f.file)
		if err != nil {
			c.bad(at("tls", f.key), "%w", pathless(err))
		}
		c.tlsFiles = append(c.tlsFiles, content)
	}
}

// othersMayRead reports whether a file is open to every user of the machine.
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
			if _, ok := c.Keys[key]; !ok {
				n := c.in(append(steps, "grants", "keys", j)...)
				c.bad(append(steps, "grants", "keys", j), "there is no key %s under keys%s", n.show(), n.hint(sortedKeys(c.Keys)))
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

// native checks a filter that is no guest.
func (c checker) native(f *Filter, steps []any, plain func(*node, string)) {
	n := c.in(steps...)
	for _, key := range []string{"wasm", "module", "sha256", "cases", "config", "grants", "limits", "role", "isolation", "breaker"} {
		if n.get(key).given() {
			c.bad(append(steps, key), "it goes with a guest only, and redact stands beside it: take one of the two out")
		}
	}
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

// module checks that a filter's module is there and is the one that was pinned.
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
	// The bound is that of the largest module that could be allowed.
	if n, err := io.Copy(h, io.LimitReader(f, 256<<20+1)); err != nil {
		return "", err
	} else if n > 256<<20 {
		return "", errors.New("the file is larger than 256MiB, no module is")
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func (c checker) callbacks(plain func(*node, string)) {
	switch list := c.root.get("callbacks"); {
	case !list.given():
		c.bad(at("callbacks"), "no callback is configured: the file may be cut off; write callbacks: [] to keep events in the journal and deliver none")
	case len(c.Callbacks) == 0:
		c.report.warn(list, "no callback is configured: events are kept in the journal and delivered nowhere")
	}
	lines, used := map[string]int{}, map[string]bool{}
	for i := range c.Callbacks {
		cb := &c.Callbacks[i]
		steps := at("callbacks", i)
		if c.in(steps...).kind != kindMapping {
			continue
		}
		switch {
		case cb.Name == "":
			c.bad(append(steps, "name"), "it is required")
		case !nameForm.MatchString(cb.Name):
			c.bad(append(steps, "name"), "a name of another form: %s", expectedName)
		case lines[cb.Name] > 0:
			c.bad(append(steps, "name"), "callback %s stands on line %d already: the position in the journal hangs on the name, so that each needs its own", c.in(append(steps, "name")...).show(), lines[cb.Name])
		default:
			lines[cb.Name] = cb.line
		}
		for j, name := range cb.Filters {
			used[name] = true
			if c.filter(name) == nil {
				n := c.in(append(steps, "filters", j)...)
				c.bad(append(steps, "filters", j), "no filter is called %s%s", n.show(), c.knownFilters(n))
			}
		}
		c.mustNotLeave(cb.MustNotLeave, append(steps, "must_not_leave"))
		c.format(cb, steps)
		if cb.Sink.Type != "" {
			c.sink(cb, append(steps, "sink"), plain)
		} else if !c.in(append(steps, "sink")...).given() || c.in(append(steps, "sink")...) == c.in(steps...) {
			c.sinkless(cb, steps)
		}
		if b := cb.Backoff; b.Initial > 0 && b.Max > 0 && b.Max < b.Initial {
			c.bad(append(steps, "backoff", "max"), "it is less than initial")
		}
		if r := cb.Retain; c.in(append(steps, "retain")...).get("then").given() && r.Age == 0 && r.Bytes == 0 {
			c.bad(append(steps, "retain", "then"), "there is no bound at which it could happen: give age or bytes")
		}
	}
	for j, name := range c.Ingest.Filters {
		used[name] = true
		steps := at("ingest", "filters", j)
		n := c.in(steps...)
		if f := c.filter(name); f == nil {
			c.bad(steps, "no filter is called %s%s", n.show(), c.knownFilters(n))
		} else if !f.Native() {
			c.bad(steps, "it is a guest: before the journal stand native filters only (redact)")
		}
	}
	for _, f := range c.Filters {
		if !used[f.Name] {
			c.report.warn(&node{line: f.line}, "filters.%s: no callback lists it", bounded(f.Name))
		}
	}
}

func (c checker) mustNotLeave(m auditrelay.MustNotLeave, steps []any) {
	for j, name := range m.Detectors {
		if _, err := c.catalogue.Set(name); err != nil {
			n := c.in(append(steps, "detectors", j)...)
			c.bad(append(steps, "detectors", j), "%w", n.veil(err))
		}
	}
	for j, path := range m.Paths {
		if _, err := document.ParsePath(path); err != nil {
			n := c.in(append(steps, "paths", j)...)
			c.bad(append(steps, "paths", j), "%w", n.veil(err))
		}
	}
	// A gate that is asked for and checks nothing is a slip of the pen.
	n := c.in(steps[:2]...).get("must_not_leave")
	if n == nil || n.kind != kindMapping {
		return
	}
	for _, item := range n.items {
		if item.kind != kindNull && (item.kind != kindList || len(item.items) > 0) {
			return
		}
	}
	c.bad(steps, "it names nothing: give detectors, paths or both, or leave it out")
}

func (c checker) knownFilters(n *node) string {
	names := make([]string, len(c.Filters))
	for i, f := range c.Filters {
		names[i] = f.Name
	}
	if h := n.hint(names); h != "" {
		return h
	}
	if len(names) == 0 {
		return ": no filter is configured"
	}
	return ": expected one of " + strings.Join(names, ", ")
}

func (c checker) filter(name string) *Filter {
	i := slices.IndexFunc(c.Filters, func(f Filter) bool { return f.Name == name })
	if i < 0 {
		return nil
	}
	return &c.Filters[i]
}

// sinkless checks a callback without a sink: there must be something it does.
func (c checker) sinkless(cb *Callback, steps []any) {
	for _, name := range cb.Filters {
		if f := c.filter(name); f == nil || len(f.Grants.Emit) > 0 {
			return
		}
	}
	c.bad(steps, "it has neither a sink nor a filter that may emit: nothing would come of its events")
}

func (c checker) sink(cb *Callback, steps []any, plain func(*node, string)) {
	known := slices.Sorted(maps.Keys(c.options.Sinks))
	cb.Sink.Options.dir = c.options.Dir
	if c.options.Sinks == nil {
		return
	}
	check, ok := c.options.Sinks[cb.Sink.Type]
	if !ok {
		key := c.in(steps...).key(cb.Sink.Type)
		what := "no sink is called %q: expected one of %s%s"
		if slices.Contains(laterSinks, cb.Sink.Type) {
			what = "the sink %q is not in this version: expected one of %s%s"
		}
		c.report.add(key, pathOf(steps...), what, bounded(cb.Sink.Type), strings.Join(known, ", "), hint(cb.Sink.Type, known))
		return
	}
	c.patterns(cb.Sink.Options.node, cb.Sink.Options.path)
	if check == nil {
		return
	}
	s := cb.Sink.Options
	s.plain = plain
	s.explain(c.report, check(s))
}

// datePattern is what strftime and other shippers replace by a part of the time. A
// percent sign before two hexadecimal digits is an escaped character.
var datePattern = regexp.MustCompile(`%[YmdHMSjyFT]`)

// patterns refuses date patterns in a place that a sink writes to: they would become a
// folder of that name.
func (c checker) patterns(n *node, path string) {
	for i, k := range n.keys {
		item := n.items[i]
		if item.kind == kindMapping {
			c.patterns(item, join(path, k.text))
			continue
		}
		if k.text != "path" && k.text != "prefix" || item.kind != kindString || item.ref != "" {
			continue
		}
		if found := datePattern.FindString(percentEscape.ReplaceAllString(item.text, "")); found != "" {
			c.report.add(item, join(path, k.text), "%s is not expanded: leave it out; objects and files are named by the time as it is", found)
		}
	}
}

var percentEscape = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)
