// Package pgdial has what all Postgres clients here share: it parses connection strings and
// explains failures. Neither shows a password or an unescaped part of one.
package pgdial

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"

	"auditrelay"

	"github.com/jackc/pgx/v5"
)

// Parse parses a connection string in libpq's forms, a URL or keywords and values, or LiteLLM's
// DATABASE_URL. schema is the URL's parameter that Prisma uses, or empty. The error quotes
// nothing of the string.
//
// It is stricter than libpq in one respect: after the @ that ends user and password there may
// be no other unescaped @ or #. Otherwise an unescaped password could be parsed as a host or a
// database name and be shown.
func Parse(url auditrelay.Secret) (c *pgx.ConnConfig, schema string, err error) {
	if url == "" {
		return nil, "", errors.New("it is required")
	}
	text := url.Reveal()
	if !unambiguous(text) {
		return nil, "", errUnescaped
	}
	c, err = pgx.ParseConfig(text)
	if err != nil {
		return nil, "", explainParse(err)
	}
	hosts := []string{c.Host}
	for _, f := range c.Fallbacks {
		hosts = append(hosts, f.Host)
	}
	for _, host := range hosts {
		if !hostForm.MatchString(host) && net.ParseIP(host) == nil && !strings.HasPrefix(host, "/") {
			return nil, "", errUnescaped
		}
	}
	schema = c.RuntimeParams["schema"]
	for _, name := range prismas {
		delete(c.RuntimeParams, name)
	}
	return c, schema, nil
}

var (
	errUnescaped = errors.New("it is not a connection string: expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with special characters of the password escaped (%40 for @, %2F for /, %23 for #, %25 for %)")
	errFile      = errors.New("a file that it names (sslrootcert, sslcert, sslkey, servicefile) cannot be read or used")
	errOption    = errors.New("one of its parameters has a value that cannot be used: see sslmode, target_session_attrs, connect_timeout, channel_binding, port")
)

// explainParse describes the kind of error. The parser's text may quote part of the password.
func explainParse(err error) error {
	text := err.Error()
	for _, part := range []string{"sslkey", "sslcert", "CA file", "CA to cert pool", "certificate pool", "load cert", "read cert", "decrypt key", "service"} {
		if strings.Contains(text, part) {
			return errFile
		}
	}
	if strings.Contains(text, "failed to parse as") {
		return errUnescaped
	}
	return errOption
}

// prismas are URL parameters of LiteLLM's own client that no server knows.
var prismas = []string{
	"schema", "connection_limit", "pool_timeout", "socket_timeout", "pgbouncer", "statement_cache_size",
	"sslaccept", "sslidentity", "sslpassword", "single_use_connections",
}

// hostForm matches a name or an address. Only IPv6 addresses contain colons, and net.ParseIP
// recognises those.
var hostForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9.])?$`)

// unambiguous reports whether text, if it is a URL, can be parsed in only one way.
func unambiguous(text string) bool {
	rest, ok := strings.CutPrefix(text, "postgresql://")
	if !ok {
		if rest, ok = strings.CutPrefix(text, "postgres://"); !ok {
			return !strings.Contains(text, "://")
		}
	}
	if i := strings.IndexAny(rest, "@/"); i >= 0 && rest[i] == '@' {
		rest = rest[i+1:]
	}
	return !strings.ContainsAny(rest, "@# \t\r\n")
}

// Place names the target of c without user and password.
func Place(c *pgx.ConnConfig) string { return fmt.Sprintf("%s:%d/%s", c.Host, c.Port, c.Database) }

// SamePlace is Place in a form that is equal for URLs of the same database, as far as this is
// known without a connection: the case of a host name, and this machine's names.
func SamePlace(c *pgx.ConnConfig) string {
	host := c.Host
	if !strings.HasPrefix(host, "/") {
		host = strings.ToLower(host)
	}
	if host == "127.0.0.1" || host == "::1" {
		host = "localhost"
	}
	return fmt.Sprintf("%s:%d/%s", host, c.Port, c.Database)
}
