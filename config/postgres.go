package config

import (
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
)

// maxSchema leaves room for the names of sessions, which the server cuts at 63 bytes.
const maxSchema = 40

func (c checker) journalOnPostgres() {
	p := &c.Journal.Postgres
	section := c.in("journal", "postgres")
	if c.in("journal").get("postgres") == nil || section.kind != kindMapping {
		return
	}
	switch url := section.get("url"); {
	case !url.given():
		c.bad(at("journal", "postgres", "url"), "it is required: the connection string of the server, from a file or the environment")
	case url.kind == kindString && !url.unset && c.options.JournalURL != nil:
		if err := c.options.JournalURL(p.URL); err != nil {
			c.bad(at("journal", "postgres", "url"), "%v", err)
		}
	}
	if len(p.Schema) > maxSchema {
		c.bad(at("journal", "postgres", "schema"), "found a name of %d bytes, expected at most %d", len(p.Schema), maxSchema)
	}
	if c.Proofs.Key == "" && c.Proofs.KMS.URL == "" && c.root.get("proofs").get("key") == nil {
		c.report.warn(section, "journal.postgres without proofs.key: the key that signs proofs is made in data_dir, so that another machine signs with another one; set proofs.key")
	}
	if c.in("journal").get("reserve") != nil {
		c.bad(at("journal", "reserve"), "the journal is on Postgres, whose disk the relay does not see; remove it, and bound the journal with journal.quota")
	}
}

// localSinks store their data on the relay's machine.
var localSinks = []string{"file", "sqlite"}

// checkCertificates returns an error if a file holds no certificate in PEM.
func checkCertificates(name string) error {
	if err := checkFile(name); err != nil {
		return err
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return pathless(err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(text) {
		return errors.New("found a file without a certificate in PEM")
	}
	return nil
}

// fleet rejects options that do not work in a fleet, since everything must be the same on
// whichever relay leads.
func (c checker) fleet() {
	if c.in("journal", "postgres").get("fleet") == nil {
		return
	}
	f := &c.Journal.Postgres.Fleet
	where := at("journal", "postgres", "fleet")
	u, err := url.Parse(f.Address)
	switch {
	case f.Address == "":
		c.bad(at("journal", "postgres", "fleet", "address"), "it is required: the URL at which the other relays reach this one")
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		c.bad(at("journal", "postgres", "fleet", "address"), "expected http://HOST:PORT or https://HOST:PORT")
	case net.ParseIP(u.Hostname()).IsUnspecified():
		c.bad(at("journal", "postgres", "fleet", "address"), "found %s, at which each machine reaches only itself; give the address at which the other relays reach this one", u.Hostname())
	case u.Scheme == "http" && !f.Plaintext && !Loopback(u.Hostname()):
		c.bad(at("journal", "postgres", "fleet", "address"), "found http beyond loopback: the fleet's secret, tokens and events would pass in clear text; set tls and use https, or, where the network itself encrypts, set plaintext: true")
	case (u.Scheme == "https") != (c.TLS.Cert != ""):
		c.bad(at("journal", "postgres", "fleet", "address"), "expected https with tls, and http without: it is the address of this relay's listener")
	}
	if f.CA != "" {
		f.CA = relative(c.options.Dir, f.CA)
		if err := checkCertificates(f.CA); err != nil {
			c.bad(at("journal", "postgres", "fleet", "ca"), "%w", err)
		}
	}
	if c.Listen == NoAddress {
		c.bad(at("listen"), "a fleet needs an address: the other relays send requests on to it")
	}
	if c.Open() {
		c.bad(where, "a fleet needs tokens: the relays send requests on to each other, so that none is local")
	}
	if c.TLS.ClientCA != "" {
		c.bad(at("tls", "client_ca"), "with journal.postgres.fleet client certificates cannot be sent on; use tokens")
	}
	if !c.Proofs.Unsigned && c.Proofs.Key == "" {
		c.bad(where, "a fleet needs proofs.key: otherwise each machine signs proofs with a key of its own")
	}
	for i := range c.Callbacks {
		if s := c.Callbacks[i].Sink.Type; slices.Contains(localSinks, s) {
			c.bad(at("callbacks", i, "sink"), "found %s, which keeps data on one machine; in a fleet another relay leads tomorrow: use a destination that all relays reach", s)
		}
	}
}
