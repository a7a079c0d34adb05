package http

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"auditrelay/config"
)

// certificates provide the listener's TLS from files that may be replaced while it runs.
type certificates struct{ current atomic.Pointer[tls.Config] }

// newCertificates returns nil if cfg has no TLS.
func newCertificates(cfg config.TLS) (*certificates, error) {
	if cfg == (config.TLS{}) {
		return nil, nil
	}
	c := &certificates{}
	loaded, err := loadTLS(cfg)
	if err != nil {
		return nil, err
	}
	c.current.Store(loaded)
	return c, nil
}

// listenerConfig returns the listener's fixed configuration. Each connection then uses the
// current certificates.
func (c *certificates) listenerConfig() *tls.Config {
	if c == nil {
		return nil
	}
	outer := c.current.Load().Clone()
	outer.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.current.Load(), nil }
	return outer
}

func loadTLS(cfg config.TLS) (*tls.Config, error) {
	if cfg.Cert == "" || cfg.Key == "" {
		return nil, errors.New("tls: a certificate and its key are needed, both")
	}
	pair, err := tls.LoadX509KeyPair(cfg.Cert, cfg.Key)
	if err != nil {
		return nil, fmt.Errorf("tls: certificate %s with key %s: %w", cfg.Cert, cfg.Key, err)
	}
	out := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	if cfg.ClientCA == "" {
		return out, nil
	}
	pem, err := os.ReadFile(cfg.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("tls: the clients' CA: %w", err)
	}
	out.ClientCAs = x509.NewCertPool()
	if !out.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("tls: the clients' CA %s holds no certificate in PEM", cfg.ClientCA)
	}
	out.ClientAuth = tls.RequireAndVerifyClientCert
	return out, nil
}
