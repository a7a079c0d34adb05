package redact_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"auditrelay/internal/test/vectors"
)

// privateKeys are private keys in the forms that programs write. @ stands for a line of the
// key.
var privateKeys = map[string]string{
	"PKCS 8":              "-----BEGIN PRIVATE KEY-----\n@\n@\n@\n-----END PRIVATE KEY-----",
	"PKCS 8, encrypted":   "-----BEGIN ENCRYPTED PRIVATE KEY-----\n@\n@\n-----END ENCRYPTED PRIVATE KEY-----",
	"RSA with headers":    "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,0123456789ABCDEF0123456789ABCDEF\n\n@\n@\n-----END RSA PRIVATE KEY-----",
	"OpenSSH":             "-----BEGIN OPENSSH PRIVATE KEY-----\n@\n@\n-----END OPENSSH PRIVATE KEY-----",
	"SSH2":                "---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\nComment: \"rsa-key\"\n@\n@\n---- END SSH2 ENCRYPTED PRIVATE KEY ----",
	"PGP":                 "-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: GnuPG v2\nComment: Ann's\n\n@\n@\n=aBcD\n-----END PGP PRIVATE KEY BLOCK-----",
	"PPK 2":               "PuTTY-User-Key-File-2: ssh-rsa\nEncryption: none\nComment: rsa-key\nPublic-Lines: 1\nAAAAB3NzaC1yc2EAAAADAQABAAABAQC\nPrivate-Lines: 2\n@\n@\nPrivate-MAC: 0123456789abcdef0123456789abcdef01234567",
	"PPK 3":               "PuTTY-User-Key-File-3: ssh-ed25519\r\nEncryption: aes256-cbc\r\nComment: a key (of Ann's)\r\nPublic-Lines: 1\r\nAAAAC3NzaC1lZDI1NTE5AAAAI\r\nKey-Derivation: Argon2id\r\nArgon2-Memory: 8192\r\nPrivate-Lines: 1\r\n@\r\nPrivate-MAC: 00",
	"literal \\n":         `-----BEGIN RSA PRIVATE KEY-----\n@\n@\n-----END RSA PRIVATE KEY-----\n`,
	"literal \\r\\n":      `-----BEGIN EC PRIVATE KEY-----\r\n@\r\n@\r\n-----END EC PRIVATE KEY-----`,
	"one line":            "-----BEGIN PRIVATE KEY-----@@@-----END PRIVATE KEY-----",
	"one line, spaces":    "-----BEGIN PRIVATE KEY----- @ @ @ -----END PRIVATE KEY-----",
	"without END":         "-----BEGIN RSA PRIVATE KEY-----\n@\n@\n@",
	"of another END":      "-----BEGIN RSA PRIVATE KEY-----\n@\n@\n-----END CERTIFICATE-----",
	"quoted mail":         "> -----BEGIN PRIVATE KEY-----\n> @\n> @\n> -----END PRIVATE KEY-----",
	"YAML block":          "key: |\n  -----BEGIN PRIVATE KEY-----\n  @\n  @\n  -----END PRIVATE KEY-----",
	"Go source":           "`-----BEGIN PRIVATE KEY-----\n` +\n`@` +\n`@` +\n`-----END PRIVATE KEY-----`",
	"HTML":                "-----BEGIN PRIVATE KEY-----<br/>@<br/>@<br/>-----END PRIVATE KEY-----",
	"small letters":       "-----begin private key-----\n@\n@\n-----end private key-----",
	"spaces in the marks": "----- BEGIN PRIVATE KEY -----\n@\n@\n----- END PRIVATE KEY -----",
	"no spaces":           "-----BEGINPRIVATEKEY-----\n@\n@\n-----ENDPRIVATEKEY-----",
	"underscores":         "-----BEGIN_PRIVATE_KEY-----@-----END_PRIVATE_KEY-----",
	"more dashes":         "------BEGIN PRIVATE KEY------\n@\n@\n------END PRIVATE KEY------",
	"a long label":        "-----BEGIN OPENVPN STATIC KEY V1 PRIVATE KEY-----\n@\n-----END OPENVPN STATIC KEY V1 PRIVATE KEY-----",
	"OpenVPN":             "-----BEGIN OpenVPN Static key V1-----\n0123456789abcdef0123456789abcdef\n@\n-----END OpenVPN Static key V1-----",
	"escaped by %":        "-----BEGIN%20PRIVATE%20KEY-----%0A@%0A@%0A-----END%20PRIVATE%20KEY-----",
	"escaped by +":        "-----BEGIN+PRIVATE+KEY-----%0A@%0A@%0A-----END+PRIVATE+KEY-----",
	"an array's text":     `["-----BEGIN PRIVATE KEY-----","@","@","-----END PRIVATE KEY-----"]`,
	"commented":           "# -----BEGIN PRIVATE KEY-----\n# @\n# @\n# -----END PRIVATE KEY-----",
	"after a certificate": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n@\n@\n-----END PRIVATE KEY-----",
	"JWK":                 `{"kty":"RSA","n":"abc","e":"AQAB","d":"@","p":"@"}`,
}

// TestPrivateKeys: no line of a private key passes filter and gate, in any form.
func TestPrivateKeys(t *testing.T) {
	filter := open(t, policy(t, `{preset: secrets}`))
	inspector := secretsGate(t)
	random := rand.New(rand.NewPCG(5, 2026))
	for name, form := range privateKeys {
		for place, context := range map[string]string{"leaf": "@@", "sentence": "Ann put @@ there, yesterday."} {
			line := vectors.Grow(random, "MII[A-Za-z0-9+/]{61}")
			text := strings.ReplaceAll(context, "@@", strings.ReplaceAll(form, "@", line))
			event := `{"updated_values":{"x":` + jsonText(text) + `}}`
			out, _ := filter.apply(t, []byte(event))
			inspector.Forget()
			if strings.Contains(string(out), line[8:48]) && inspector.Document(out) == nil {
				t.Errorf("%s, %s: passes: %s", name, place, out)
			}
		}
	}
}
