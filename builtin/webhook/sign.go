package webhook

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"
)

// The prefixes of secrets in Standard Webhooks.
const (
	symmetric  = "whsec_"
	asymmetric = "whsk_"
)

var errSecret = errors.New("expected whsec_ and base64 of 24 to 64 bytes, or whsk_ and base64 of an Ed25519 private key")

// signer returns a signature.
type signer func(content []byte) string

// newSigner reads a secret. Its error contains no part of it.
func newSigner(secret string) (signer, error) {
	if text, ok := strings.CutPrefix(secret, symmetric); ok {
		key, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(key) < 24 || len(key) > 64 {
			return nil, errSecret
		}
		return func(content []byte) string {
			mac := hmac.New(sha256.New, key)
			mac.Write(content)
			return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
		}, nil
	}
	text, ok := strings.CutPrefix(secret, asymmetric)
	key, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil {
		return nil, errSecret
	}
	var private ed25519.PrivateKey
	switch len(key) {
	case ed25519.SeedSize:
		private = ed25519.NewKeyFromSeed(key)
	case ed25519.PrivateKeySize:
		private = ed25519.PrivateKey(key)
	default:
		return nil, errSecret
	}
	return func(content []byte) string {
		return "v1a," + base64.StdEncoding.EncodeToString(ed25519.Sign(private, content))
	}, nil
}

// signatures returns the value of the signature header of a request, with one signature by each
// secret.
func signatures(secrets []string, id string, at time.Time, body []byte) (string, error) {
	content := make([]byte, 0, len(id)+len(body)+24)
	content = append(content, id...)
	content = append(content, '.')
	content = strconv.AppendInt(content, at.Unix(), 10)
	content = append(content, '.')
	content = append(content, body...)
	all := make([]string, 0, len(secrets))
	for _, secret := range secrets {
		sign, err := newSigner(secret)
		if err != nil {
			return "", err
		}
		all = append(all, sign(content))
	}
	return strings.Join(all, " "), nil
}
