// Package keyform distinguishes the kinds of keys: a secret, or a public key for X25519.
package keyform

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"strings"

	"auditrelay"
)

// Errors for keys. None quotes the key.
var (
	ErrPublic = errors.New("it is no public key for X25519 in PEM: make the pair by openssl genpkey -algorithm x25519, and the public key by openssl pkey -pubout")
	ErrSecret = errors.New("it has the form of a public key, a certificate or another text that is no secret: give a random text, as openssl rand -hex 32 prints it, or a public key for X25519 in PEM alone")
)

// Parse returns the X25519 public key in text. It refuses a key for which every shared secret
// would be equal, such as all zeros.
func Parse(text string) (*ecdh.PublicKey, error) {
	if !public(text) {
		return nil, ErrPublic
	}
	block, _ := pem.Decode([]byte(text))
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, ErrPublic
	}
	key, ok := parsed.(*ecdh.PublicKey)
	if !ok || key.Curve() != ecdh.X25519() {
		return nil, ErrPublic
	}
	trial, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	if _, err := trial.ECDH(key); err != nil {
		return nil, ErrPublic
	}
	return key, nil
}

func public(text string) bool { return auditrelay.Key{Secret: auditrelay.Secret(text)}.Public() }

// Check refuses a text that is neither an X25519 public key nor suitable as a secret because
// its form is one that others may see: everybody who has it could decrypt and create
// pseudonyms.
func Check(text string) error {
	if public(text) {
		_, err := Parse(text)
		return err
	}
	if strings.Contains(text, "---- BEGIN ") || strings.Contains(text, "-----BEGIN ") {
		return ErrSecret // also for PEM that no reader accepts: after a byte order mark, or truncated
	}
	for line := range strings.Lines(text) {
		line = strings.TrimLeft(line, " \t\r\ufeff")
		for _, form := range []string{"ssh-", "sk-ssh-", "ecdsa-", "sk-ecdsa-", "age1"} {
			if strings.HasPrefix(line, form) {
				return ErrSecret
			}
		}
	}
	if der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), "")); err == nil {
		if _, err := x509.ParsePKIXPublicKey(der); err == nil {
			return ErrSecret // PEM without its first and last line
		}
	}
	return nil
}
