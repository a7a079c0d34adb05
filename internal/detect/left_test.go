package detect_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"auditrelay"
	"auditrelay/internal/redaction"
)

// Places in which only the surroundings identify a value as a secret.
var tellingPlaces = []string{
	"%s", "The key %s is false.", "password is %s", "password is %s.", "password: %s", "password=%s", "the password %s was set", "use %s as the password", "%s is the new password",
	"token (%s)", "%s (pw)", "run --token %s now", "Bearer %s", "password changed from %[1]s to %[1]s", "export API_TOKEN=%s", "mysql -p%s", "mysql -u root -p %s",
	"curl -u bob:%s x", "https://u:%s@h/", "creds: bob / %s", "<password>%s</password>", "password,user\n%s,b\n", "set_password('%s')", "echo %s | docker login --password-stdin",
	"vault login %s", "password -> %s", "old password: a -> %s", "IDENTIFIED BY '%s'", "WIFI:T:WPA;S:o;P:%s;;", "htpasswd -b f u %s", `a:1:{s:8:"password";s:12:"%s";}`,
	`api_key: \"%s\"`, "das Passwort lautet %s", "password|%s", "Server=x;Password=%s;", "host=h password=%s user=x", "x-api-key: %s\nA: b\n", "token=String(\"%s\")",
}

// A cookie header with only masked values is no secret. With one more value it is.
func TestMaskedCookies(t *testing.T) {
	s := newSet(t, "secrets")
	cipher := redaction.NewCipher("k", auditrelay.Key{Secret: "0123456789abcdef0123456789abcdef"})
	for _, value := range []string{"***", "hmac:k:3920d54ec70f500ee54e1da041d2364a", string(cipher.Append(nil, []byte("Fall-26!")))} {
		for place, want := range map[string]bool{
			"Cookie: session=%s": false, "Cookie: session=%s\r\nAccept: a": false, "Cookie: a=%[1]s; b=%[1]s": false, "Set-Cookie: session=%s; Path=/; Max-Age=3600; HttpOnly": false,
			"Cookie: session=%s; b=hunter2-Fall": true, "Cookie: b=hunter2-Fall; session=%s": true, "Cookie: session=%sx": true, "Cookie: session=%s; Path": false,
			"Cookie: path=hunter2-Fall; session=%s": true, "Cookie: path=/hunter2-Fall; session=%s": true, "Cookie: session=%s; domain=hunter2-Fall": true, "Cookie: session=%s; samesite=hunter2-Fall": true,
			"Set-Cookie: session=%s; max-age=hunter2-Fall": true, "Set-Cookie: session=%s; Expires=Wed, 21 Oct 2026 07:28:00 GMT; Domain=example.com; SameSite=Lax": false, "Set-Cookie: session=%s; expires=hunter2-Fall": true,
		} {
			text := fmt.Appendf(nil, place, value)
			if found := s.Append(nil, text, s.Name(nil)); len(found) > 0 != want {
				t.Errorf("%s: found %+v", text, found)
			}
		}
		if whole := []byte("session=" + value); len(s.Append(nil, whole, s.Name([]byte("cookie")))) > 0 {
			t.Errorf("%s under cookie: found", whole)
		}
		if more := []byte("session=" + value + "\nb=hunter2-Fall"); len(s.Append(nil, more, s.Name([]byte("cookie")))) == 0 {
			t.Errorf("%s under cookie: passes", more)
		}
	}
}

// A policy's replacement of a value is no secret, of any length and in any place. Otherwise a
// gate would refuse what its own callback's policy made safe. Text attached to it, or text that
// only resembles it, is a secret.
func TestWhatAPolicyLeavesIsNoSecret(t *testing.T) {
	s := newSet(t, "secrets")
	key := auditrelay.Key{Secret: "0123456789abcdef0123456789abcdef"}
	var all []string
	for _, name := range []string{"k", "api_key", strings.Repeat("k", 57) + "_secret"} {
		cipher := redaction.NewCipher(name, key)
		for _, size := range []int{8, 60, 500, 5000} {
			all = append(all, string(cipher.Append(nil, bytes.Repeat([]byte("Fall-26!"), size/8))))
		}
		all = append(all, string(redaction.NewPseudonymiser(name, key).Append(nil, []byte("hunter2"))))
	}
	for _, place := range tellingPlaces {
		for _, value := range all {
			text := fmt.Sprintf(place, value)
			if found := s.Append(nil, []byte(text), s.Name(nil)); len(found) > 0 {
				t.Errorf("%.60s of %d bytes in %q: found %+v", value, len(value), place, found)
			}
		}
	}
	for _, place := range []string{"password is %s", "password=%s", "use %s as the password", "the password %s was set", "mysql -p%s x"} {
		for _, value := range all {
			for _, changed := range []string{value + "Hunter2-Fall", value + "#Hunter2-Fall", "hunter2-Fall-" + value, value[:len(value)-1] + "~"} {
				text := fmt.Sprintf(place, changed)
				if found := s.Append(nil, []byte(text), s.Name(nil)); len(found) == 0 {
					t.Errorf("%.60s ... %s of %d bytes in %q passes", changed, changed[len(changed)-12:], len(changed), place)
				}
			}
		}
	}
}
