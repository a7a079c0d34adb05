package config

import (
	"io/fs"
	"regexp"
	"strconv"
)

// NoAddress is Config.Listen of a relay that listens only on its socket.
const NoAddress = "none"

// Socket is a unix socket on which the relay listens.
type Socket struct {
	// Path is the socket's path, relative to the configuration file. Its directory must exist.
	// At most 80 bytes. The relay replaces a socket that an earlier run left. Default: there is
	// no socket.
	Path string `yaml:"path"`
	// Mode sets who may connect, in octal digits and quotes. Default: "0600", the relay's own
	// user.
	Mode string `yaml:"mode"`
	// Group is the name or number of the group that the socket belongs to, for mode "0660".
	// Default: the relay's own.
	Group string `yaml:"group"`
	// Roles are the roles of a connection without a token. Default: nothing if there are
	// tokens, everything if there are none.
	Roles []Role `yaml:"roles"`
}

var socketMode = regexp.MustCompile(`^0?[0-7]{3}$`)

// maxSocketPath leaves room for the temporary name of the socket.
const maxSocketPath = 80

// FileMode returns Mode for the file system.
func (s Socket) FileMode() fs.FileMode {
	mode, err := strconv.ParseUint(s.Mode, 8, 9)
	if err != nil {
		return 0o600
	}
	return fs.FileMode(mode)
}

func (c checker) socket() {
	s := &c.Socket
	if s.Path == "" {
		for _, key := range []string{"mode", "group", "roles"} {
			if c.root.get("socket").get(key).given() {
				c.bad(at("socket", key), "it needs socket.path as well")
			}
		}
		return
	}
	s.Path = relative(c.options.Dir, s.Path)
	switch mode := s.FileMode(); {
	case s.Mode != "" && !socketMode.MatchString(s.Mode):
		c.bad(at("socket", "mode"), `not a mode: expected three octal digits in quotes, as in "0660"`)
	case mode&0o600 != 0o600:
		c.bad(at("socket", "mode"), "the relay's own user may not connect: the first digit must be 6 or 7")
	case mode&0o006 != 0 && (len(s.Roles) > 0 || c.Open()):
		c.report.warn(c.in("socket", "mode"), "socket.mode: every user of this machine may connect, and needs no token")
	}
	if len(s.Path) > maxSocketPath {
		c.bad(at("socket", "path"), "%d bytes with its directory, at most %d: a unix socket's name is short", len(s.Path), maxSocketPath)
	}
	if len(s.Roles) > 0 && c.Open() {
		c.bad(at("socket", "roles"), "without tokens every local process may do everything: configure tokens, or leave roles out")
	}
}
