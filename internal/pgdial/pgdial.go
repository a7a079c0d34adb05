// Package pgdial has the common parts of all Postgres clients here: it parses connection
// strings and explains failures. Neither shows a password, or an unescaped piece of one.
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

// Parse reads a connection string as libpq takes it, a URL or keywords and values, or
// LiteLLM's DATABASE_URL. schema is that of the URL, which Prisma puts there, empty where
// it names none. The error quotes nothing of the string.
//
// It is stricter than libpq in one thing: after the @ that ends user and password no other
// unescaped @ or # may follow. A password that was not escaped would otherwise be read as
// a host or a database, and be shown as one.
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
	errUnescaped = errors.New("it is no connection string: expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with what is special in the password escaped (%40 for @, %2F for /, %23 for #, %25 for %)")
	errFile      = errors.New("a file that it names (sslrootcert, sslcert, sslkey, servicefile) cannot be read or used")
	errOption    = errors.New("one of its parameters has a value that cannot be used: see sslmode, target_session_attrs, connect_timeout, channel_binding, port")
)

// explainParse says what kind of thing is wrong. The parser's own text may quote a piece
// of the password.
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

// prismas are parameters that LiteLLM's own client takes in the URL and no server knows.
var prismas = []string{
	"schema", "connection_limit", "pool_timeout", "socket_timeout", "pgbouncer", "statement_cache_size",
	"sslaccept", "sslidentity", "sslpassword", "single_use_connections",
}

// hostForm is a name or an address. A colon is in IPv6 alone, which net.ParseIP knows.
var hostForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9.])?$`)

// unambiguous reports whether text, where it is a URL, can be read in one way only.
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

// Place names where c leads, without user and password.
func Place(c *pgx.ConnConfig) string { return fmt.Sprintf("%s:%d/%s", c.Host, c.Port, c.Database) }

// SamePlace is Place in a form that two URLs of one database share, as far as that can be told
// without asking: a host's case, and this machine's names.
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
