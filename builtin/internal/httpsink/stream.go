package httpsink

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"

	"auditrelay"
)

// Dial is how a sink of another protocol than HTTP connects: guarded as the others are.
// networks are those of AllowNetworks.
func Dial(networks []string) (func(ctx context.Context, network, address string) (net.Conn, error), error) {
	g, err := newGuard(networks)
	if err != nil {
		return nil, err
	}
	return g.dialer(""), nil
}

// CheckStream returns an *auditrelay.OptionError for each bad option of a connection whose
// options plaintext, tls and allow_networks stand at the top of a sink's.
func CheckStream(plaintext bool, t TLS, networks []string) (errs []error) {
	if plaintext && t != (TLS{}) {
		errs = append(errs, &auditrelay.OptionError{Path: "plaintext", Err: errors.New("tls is set too, and would not be used: give one of the two")})
	}
	for i, name := range networks {
		if _, err := network(name); err != nil {
			errs = append(errs, &auditrelay.OptionError{Path: fmt.Sprintf("allow_networks[%d]", i), Err: err})
		}
	}
	if t.CA != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(t.CA)) {
		errs = append(errs, &auditrelay.OptionError{Path: "tls.ca", Err: fmt.Errorf("it holds no certificate in PEM; write file:/path for a file's content")})
	}
	if (t.CertFile == "") != (t.KeyFile == "") {
		errs = append(errs, &auditrelay.OptionError{Path: "tls.cert_file", Err: fmt.Errorf("cert_file and key_file go together")})
	}
	return errs
}

// Config is the configuration of connections with these options, which are checked.
func (t TLS) Config() *tls.Config { return Options{TLS: t}.tls() }

// Relative makes the names of files relative to the configuration's file.
func (t *TLS) Relative(path func(string) string) {
	t.CertFile, t.KeyFile = path(t.CertFile), path(t.KeyFile)
}

// Handshake makes a connection one of TLS. On failure it is closed.
func Handshake(ctx context.Context, conn net.Conn, t TLS, address string) (net.Conn, error) {
	c := t.Config()
	if c.ServerName == "" {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			host = address
		}
		c.ServerName = host
	}
	secured := tls.Client(conn, c)
	if err := secured.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return secured, nil
}
