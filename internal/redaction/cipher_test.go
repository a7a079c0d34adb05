package redaction_test

import (
	"bytes"
	"strings"
	"testing"

	"auditrelay"
	"auditrelay/internal/detect"
	"auditrelay/internal/redaction"
)

// Only the same secret decrypts the output of a Cipher. Equal values give equal output. Nothing
// else shows but the length in blocks, and no detector finds the output.
func TestCipher(t *testing.T) {
	key := auditrelay.Key{Version: 2, Secret: "0123456789abcdef"}
	c, same := redaction.NewCipher("team", key), redaction.NewCipher("team", key)
	other := redaction.NewCipher("team", auditrelay.Key{Version: 2, Secret: "fedcba9876543210"})
	secrets, err := detect.Shipped().Set("secrets")
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{"x", "hunter2", strings.Repeat("a", 15), strings.Repeat("a", 16), "\x80\x00", "пароль", strings.Repeat("long ", 1000)} {
		text := c.Append(nil, []byte(value))
		if !bytes.HasPrefix(text, []byte("enc:team.2:")) || !bytes.Equal(text, same.Append(nil, []byte(value))) {
			t.Errorf("%.20q became %s", value, text)
		}
		opener := redaction.NewCipher("", auditrelay.Key{Secret: key.Secret})
		if got, err := opener.Decrypt(text); err != nil || string(got) != value {
			t.Errorf("%.20q came back as %q: %v", value, got, err)
		}
		if _, err := other.Decrypt(text); err == nil {
			t.Error("another key decrypts it")
		}
		for _, at := range []int{5, len(text) / 2, len(text) - 1} {
			changed := bytes.Clone(text)
			changed[at] ^= 1
			if _, err := opener.Decrypt(changed); err == nil {
				t.Errorf("%.20q is decrypted with byte %d changed", value, at)
			}
		}
		for _, name := range []string{"password", "note"} {
			if f := secrets.Append(nil, text, secrets.Name([]byte(name))); len(f) > 0 {
				t.Errorf("under %s: %+v", name, f)
			}
		}
		if f := secrets.Append(nil, []byte("password="+string(text)), detect.Name{}); len(f) > 0 {
			t.Errorf("in a text: %+v", f)
		}
	}
	// One secret under two names gives different nonces and ciphertexts, since two tags with one
	// nonce would allow forgery.
	if elsewhere := redaction.NewCipher("other", key).Append(nil, []byte("hunter2")); bytes.Equal(bytes.TrimPrefix(elsewhere, []byte("enc:other.2:"))[:24], bytes.TrimPrefix(c.Append(nil, []byte("hunter2")), []byte("enc:team.2:"))[:24]) {
		t.Error("two labels have one nonce")
	}
	if len(c.Append(nil, []byte("a"))) != len(c.Append(nil, []byte("hunter2"))) {
		t.Error("the length shows")
	}
	// Text of this form without a valid checksum does not count as encrypted.
	fake := append([]byte("enc:team:"), bytes.Repeat([]byte("a1"), 48)...)
	if f := secrets.Append(nil, fake, secrets.Name([]byte("password"))); len(f) == 0 {
		t.Error("what looks encrypted is spared")
	}
	if got := c.Append(nil, nil); len(got) != 0 {
		t.Errorf("nothing became %q", got)
	}
}

func FuzzDecrypt(f *testing.F) {
	c := redaction.NewCipher("k", auditrelay.Key{Secret: "0123456789abcdef"})
	f.Add(c.Append(nil, []byte("value")))
	f.Add([]byte("enc::"))
	f.Add([]byte("enc:k:00"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if plain, err := c.Decrypt(text); err == nil && !bytes.Equal(c.Append(nil, plain), text) && len(plain) > 0 {
			t.Errorf("%q is decrypted to %q, which is encrypted otherwise", text, plain)
		}
	})
}
