package redaction

import (
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/x509"
	"encoding/pem"
	"errors"

	"auditrelay"
	"auditrelay/internal/detect"
	"auditrelay/internal/keyform"
)

// A value that is encrypted to a public key is "enc:", the key's label, ":" and lower-case
// hexadecimal digits of:
//
//	encapsulated key  32 bytes, the same in all values of one document
//	the rest          as under a secret key; the checksum covers all that is before it
//
// The secret of a document is exported from HPKE (RFC 9180) in mode base: DHKEM(X25519,
// HKDF-SHA256), HKDF-SHA256, export only, info "auditrelay encrypt v1: " and the label, exporter
// context "values", 32 bytes. Keys are PEM as OpenSSL writes it: the public one PKIX (RFC 8410),
// the private one PKCS #8.
const (
	encapsulatedBytes = 32
	exportContext     = "values"
)

// sealer encrypts to a public key. Each document has its own secret, so equal values give equal
// texts only within one document.
type sealer struct {
	key          hpke.PublicKey
	encapsulated []byte
	cipher       *Cipher // of this document; nil until something is encrypted
}

var errPrivateForm = errors.New("no private key for X25519 in PEM (PKCS #8)")

// publicKey parses the public key in a Key and tries it.
func publicKey(key auditrelay.Key) (hpke.PublicKey, error) {
	parsed, err := keyform.Parse(key.Secret.Reveal())
	if err != nil {
		return nil, err
	}
	public, err := hpke.NewDHKEMPublicKey(parsed)
	if err != nil {
		return nil, keyform.ErrPublic
	}
	if _, _, err := hpke.NewSender(public, hpke.HKDFSHA256(), hpke.ExportOnly(), info("")); err != nil {
		return nil, keyform.ErrPublic
	}
	return public, nil
}

// Opener decrypts what was encrypted to a public key. It is not safe for concurrent use.
type Opener struct{ key hpke.PrivateKey }

// NewOpener returns the Opener for a private key in PEM.
func NewOpener(text []byte) (*Opener, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errPrivateForm
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errPrivateForm
	}
	private, ok := parsed.(*ecdh.PrivateKey)
	if !ok || private.Curve() != ecdh.X25519() {
		return nil, errPrivateForm
	}
	key, err := hpke.NewDHKEMPrivateKey(private)
	if err != nil {
		return nil, errPrivateForm
	}
	return &Opener{key: key}, nil
}

// Decrypt returns the value of a text that a Cipher made with the public key.
func (o *Opener) Decrypt(text []byte) ([]byte, error) {
	label, sealed, ok := splitEncrypted(text, encapsulatedBytes)
	if !ok {
		return nil, ErrNotDecrypted
	}
	recipient, err := hpke.NewRecipient(sealed[:encapsulatedBytes], o.key, hpke.HKDFSHA256(), hpke.ExportOnly(), info(label))
	if err != nil {
		return nil, ErrNotDecrypted
	}
	secret, err := recipient.Export(exportContext, 32)
	if err != nil {
		return nil, ErrNotDecrypted
	}
	return NewCipher("", auditrelay.Key{Secret: auditrelay.Secret(secret)}).open(label, sealed[encapsulatedBytes:])
}

func info[T string | []byte](label T) []byte {
	return append([]byte("auditrelay encrypt v1: "), label...)
}

// begin draws the secret of a document. The encapsulated key must not spell a text; see draw.
func (s *sealer) begin(label string) error {
	for range maxDraws {
		encapsulated, sender, err := hpke.NewSender(s.key, hpke.HKDFSHA256(), hpke.ExportOnly(), info(label))
		if err != nil {
			return err
		}
		if detect.Spells(encapsulated) {
			continue
		}
		secret, err := sender.Export(exportContext, 32)
		if err != nil {
			return err
		}
		s.encapsulated = encapsulated
		s.cipher = NewCipher("", auditrelay.Key{Secret: auditrelay.Secret(secret)})
		s.cipher.label = label
		return nil
	}
	return errors.New("encrypt to a public key: no encapsulated key that spells nothing")
}
