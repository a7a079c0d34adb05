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

// Dial returns the guarded connection function for a sink of another protocol than HTTP.
// networks are the entries of AllowNetworks.
func Dial(networks []string) (func(ctx context.Context, network, address string) (net.Conn, error), error) {
	g, err := newGuard(networks)
	if err != nil {
		return nil, err
	}
	return g.dialer(""), nil
}

// CheckStream returns an *auditrelay.OptionError for each invalid option of a connection. The
// options plaintext, tls and allow_networks are at the top level of a sink's options.
func CheckStream(plaintext bool, t TLS, networks []string) (errs []error) {
	if plaintext && t != (TLS{}) {
		errs = append(errs, &auditrelay.OptionError{Path: "plaintext", Err: errors.New("tls is set too, and would have no effect: give one of the two")})
	}
	for i, name := range networks {
		if _, err := network(name); err != nil {
			errs = append(errs, &auditrelay.OptionError{Path: fmt.Sprintf("allow_networks[%d]", i), Err: err})
		}
	}
	if t.CA != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(t.CA)) {
		errs = append(errs, &auditrelay.OptionError{Path: "tls.ca", Err: fmt.Errorf("it contains no PEM certificate; write file:/path for a file's content")})
	}
	if (t.CertFile == "") != (t.KeyFile == "") {
		errs = append(errs, &auditrelay.OptionError{Path: "tls.cert_file", Err: fmt.Errorf("cert_file and key_file go together")})
	}
	return errs
}

// Config returns the TLS configuration for these options, which must be checked.
func (t TLS) Config() *tls.Config { return Options{TLS: t}.tls() }

// Relative makes file names relative to the configuration file.
func (t *TLS) Relative(path func(string) string) {
	t.CertFile, t.KeyFile = path(t.CertFile), path(t.KeyFile)
}

// ErrHandshake is wrapped by the error of a TLS handshake that ran out of time.
var ErrHandshake = errors.New("the TLS handshake was not answered")

// Handshake performs the TLS handshake on a connection. On failure it closes the connection.
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
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("%w: %w", ErrHandshake, err)
		}
		return nil, err
	}
	return secured, nil
}
