package config

import (
	"io/fs"
	"net"
	"strconv"
	"strings"
)

// LineSocket is a local socket for one producer that writes JSON objects, one a line, and reads
// no response.
type LineSocket struct {
	// Name is the socket's key. It is recorded with every event as the principal, with socket:
	// before it.
	Name string `yaml:"-"`
	// Listen is the address: unix:PATH, relative to the configuration file, of at most 80
	// bytes; or HOST:PORT on loopback, where every process of this machine can send. Other
	// addresses are rejected, since there is neither TLS nor a secret. Required.
	Listen string `yaml:"listen"`
	// Mode sets who may connect to a unix socket, in octal digits and quotes. Default: "0600",
	// the relay's own user.
	Mode string `yaml:"mode"`
	// Group is the name or number of the group that a unix socket belongs to, for mode "0660".
	// Default: the relay's own.
	Group string `yaml:"group"`
	// Schema is the events' schema: kubernetes, cloudtrail, gitlab, github, okta, vault,
	// keycloak, teleport, or one of ingest.schemas. Default: the one of the socket's name.
	Schema string `yaml:"schema"`
	// Namespace is the scope of the events' ids. Default: the schema's.
	Namespace string `yaml:"namespace"`
	// Rate limits what the producer may send. Above the limit the relay reads more slowly, so
	// that the producer waits. Default: none.
	Rate LineRate `yaml:"rate"`
	// Connections is the maximum number of open connections. Further ones are closed at once.
	// Default: 16.
	Connections int `yaml:"connections" range:"1..1024"`
}

// LineRate limits what the producer at a socket may send per second.
type LineRate struct {
	// Events is the maximum number of events per second. Default: no limit.
	Events int `yaml:"events" range:"1..100000000"`
}

// lineSocketScheme is the prefix of Listen for a unix socket.
const lineSocketScheme = "unix:"

// Path returns the path of the unix socket, or "" if Listen is an address.
func (s *LineSocket) Path() string {
	path, ok := strings.CutPrefix(s.Listen, lineSocketScheme)
	if !ok {
		return ""
	}
	return path
}

// Principal returns the sender's name in events and metrics.
func (s *LineSocket) Principal() string { return "socket:" + s.Name }

// FileMode returns Mode for the file system.
func (s *LineSocket) FileMode() fs.FileMode { return Socket{Mode: s.Mode}.FileMode() }

// lineSockets checks ingest.sockets, except their schemas.
func (c checker) lineSockets() {
	taken := map[string]string{}
	if !strings.HasSuffix(c.Listen, ":0") {
		taken[c.Listen] = "listen"
	}
	if c.Socket.Path != "" {
		taken[lineSocketScheme+c.Socket.Path] = "socket.path"
	}
	for i := range c.Ingest.Sockets {
		s := &c.Ingest.Sockets[i]
		steps := func(key string) []any { return at("ingest", "sockets", s.Name, key) }
		if !nameForm.MatchString(s.Name) {
			c.bad(at("ingest", "sockets", s.Name), "not a name: %s", expectedName)
		}
		if err := CheckNamespace(s.Namespace); err != nil {
			c.bad(steps("namespace"), "%v", err)
		}
		if s.Connections == 0 {
			s.Connections = 16
		}
		switch {
		case c.in(steps("listen")...).unset: // already reported
		case s.Listen == "":
			c.bad(steps("listen"), "it is required: unix:PATH, or 127.0.0.1:PORT")
		case s.Path() != "":
			s.Listen = lineSocketScheme + relative(c.options.Dir, s.Path())
			c.unixLines(s, steps)
		default:
			c.tcpLines(s, steps)
		}
		if other := taken[s.Listen]; other != "" {
			c.bad(steps("listen"), "%s has it already", other)
		}
		if s.Listen != "" {
			taken[s.Listen] = pathOf(steps("listen")...)
		}
	}
}

func (c checker) unixLines(s *LineSocket, steps func(string) []any) {
	if len(s.Path()) > maxSocketPath {
		c.bad(steps("listen"), "%d bytes with its directory, at most %d: a unix socket's name is short", len(s.Path()), maxSocketPath)
	}
	switch mode := s.FileMode(); {
	case s.Mode != "" && !socketMode.MatchString(s.Mode):
		c.bad(steps("mode"), `not a mode: expected three octal digits in quotes, as in "0660"`)
	case mode&0o600 != 0o600:
		c.bad(steps("mode"), "the relay's own user may not connect: the first digit must be 6 or 7")
	case mode&0o002 != 0:
		c.report.warn(c.in(steps("mode")...), "ingest.sockets.%s.mode: every user of this machine may send events", s.Name)
	}
}

func (c checker) tcpLines(s *LineSocket, steps func(string) []any) {
	for _, key := range []string{"mode", "group"} {
		if c.in("ingest", "sockets", s.Name).get(key).given() {
			c.bad(steps(key), "it is for a unix socket: listen is an address")
		}
	}
	host, port, err := net.SplitHostPort(s.Listen)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	switch {
	case err != nil:
		c.bad(steps("listen"), "not an address: expected unix:PATH, as in unix:/run/auditrelay/vault.sock, or 127.0.0.1:PORT")
	case !Loopback(host):
		c.bad(steps("listen"), "beyond loopback anybody could send events, and read them on their way: such a producer knows neither TLS nor a secret. Use unix:PATH or 127.0.0.1:PORT on the producer's machine")
	default:
		c.report.warn(c.in(steps("listen")...), "ingest.sockets.%s.listen: every process of this machine may send events; a unix socket has a mode", s.Name)
	}
}
