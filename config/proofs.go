package config

import (
	"cmp"
	"errors"
	"time"

	"auditrelay"
	"auditrelay/internal/kms"
	"auditrelay/internal/proof"
)

// Proofs signs the logs of accepted and delivered events; see docs/compliance/auditors.md.
type Proofs struct {
	// Key is the signing key, as auditrelay proof keygen writes it. Default: a key that the
	// relay makes in the data directory. Everyone who can read that directory can then sign:
	// keep the key elsewhere, such as file:/etc/auditrelay/proof.key.
	Key auditrelay.Secret `yaml:"key"`
	// PreviousKey is the former signing key, for the first start with a new one. The
	// relay records the change, signed by both keys.
	PreviousKey auditrelay.Secret `yaml:"previous_key"`
	// KMS signs with a key in a key management service, instead of key.
	KMS KMS `yaml:"kms"`
	// Every is the time between two signed checkpoints of a log. Default: 60s.
	Every time.Duration `yaml:"every" range:"1s..24h"`
	// Unsigned turns signing off: nothing is signed, and sinks get no proofs. The relay still
	// keeps the logs. Default: false.
	Unsigned bool `yaml:"unsigned"`
}

// KMS names a signing key of the transit engine of HashiCorp Vault or OpenBao, of type
// ed25519. The relay can request signatures, but cannot read the key.
type KMS struct {
	// URL is the address of the key's sign operation, such as
	// https://vault.example:8200/v1/transit/sign/audit. Required.
	URL string `yaml:"url"`
	// Token is the service's token, which should only allow signing. Required.
	Token auditrelay.Secret `yaml:"token"`
	// Name is the name in signatures, such as the relay's host. Default: auditrelay.
	Name string `yaml:"name"`
	// PublicKey is the public key in base64, as the service prints it. Required. The key
	// that auditors verify with is in the log at the start.
	PublicKey string `yaml:"public_key"`
}

// Signer returns the signer, or nil if no KMS is configured.
func (k *KMS) Signer() (*kms.Transit, error) {
	if k.URL == "" {
		return nil, nil
	}
	return kms.New(kms.Options{URL: k.URL, Token: k.Token, Name: cmp.Or(k.Name, "auditrelay"), PublicKey: k.PublicKey})
}

// kms checks proofs.kms.
func (c checker) kms() {
	section := c.in("proofs", "kms")
	if c.in("proofs").get("kms") == nil || section.kind != kindMapping {
		return
	}
	if !section.get("url").given() {
		c.bad(at("proofs", "kms", "url"), "it is required: the URL of a key's sign call")
		return
	}
	if url, token := section.get("url"), section.get("token"); url.unset || token != nil && token.unset {
		return // a reference without a value on this machine
	}
	_, err := c.Proofs.KMS.Signer()
	if wrong, ok := errors.AsType[*auditrelay.OptionError](err); ok {
		c.bad(at("proofs", "kms", wrong.Path), "%v", wrong.Err)
	}
	if c.Proofs.Key != "" {
		c.bad(at("proofs", "kms"), "both kms and key are given: name the former key as previous_key")
	}
	if c.Proofs.Unsigned {
		c.bad(at("proofs", "kms"), "kms is given, and unsigned")
	}
}

func (c checker) proofs() {
	section := c.in("proofs")
	if c.root.get("proofs") == nil || section.kind != kindMapping {
		return
	}
	for _, s := range []struct {
		key    string
		secret auditrelay.Secret
	}{{"key", c.Proofs.Key}, {"previous_key", c.Proofs.PreviousKey}} {
		n := section.get(s.key)
		if !n.given() || n.kind != kindString || n.unset {
			continue
		}
		if _, err := proof.PublicKey(string(s.secret)); err != nil {
			c.bad(at("proofs", s.key), "%v", err)
		}
	}
	c.kms()
	if c.Proofs.PreviousKey != "" && c.Proofs.Key == "" && c.Proofs.KMS.URL == "" {
		c.bad(at("proofs", "previous_key"), "a previous key is given, and no key")
	}
	if c.Proofs.Key != "" && c.Proofs.Key == c.Proofs.PreviousKey {
		c.bad(at("proofs", "previous_key"), "the same as key: previous_key is the former signing key")
	}
}
