package detect

import (
	"bytes"
	"fmt"
	"testing"
	"time"
)

// The time is linear for any text: sixteen times the text takes about sixteen times as long; it
// would take 256 times as long if it were quadratic. The limit is far from both, so a busy
// machine is no failure.
func TestWorkIsLinear(t *testing.T) {
	s, err := Shipped().Set(Shipped().Groups()...)
	if err != nil {
		t.Fatal(err)
	}
	for i := range s.anchors {
		if a := &s.anchors[i]; a.back+a.ahead > 4096 {
			t.Errorf("an anchor of %s is given %d bytes at every hit", a.detector, a.back+a.ahead)
		}
	}
	name := s.Name([]byte("password"))
	var found []Finding
	took := func(text []byte) time.Duration {
		least := time.Hour
		for range 5 {
			begin := time.Now()
			found = s.Append(found[:0], text, name)
			least = min(least, time.Since(begin))
		}
		return least
	}
	for _, unit := range append(hostileUnits, prefixes()...) {
		short, long := bytes.Repeat([]byte(unit), 4_000/len(unit)), bytes.Repeat([]byte(unit), 64_000/len(unit))
		// A busy machine stretches single measurements. Quadratic work fails all of them.
		var one, more time.Duration
		for range 20 {
			if one, more = took(short), took(long); more <= 96*one+time.Millisecond {
				break
			}
		}
		if more > 96*one+time.Millisecond {
			t.Errorf("%q: %v for sixteen times what took %v", unit, more, one)
		}
	}
}

// prefixes returns the beginnings of all examples.
func prefixes() (all []string) {
	for _, info := range Shipped().All() {
		if info.Rule == nil {
			continue
		}
		for _, e := range info.Rule.Examples {
			all = append(all, e[:min(len(e)-1, 12)], e[:len(e)-1])
		}
	}
	return all
}

// hostileUnits, when repeated, form texts that trigger detectors continuously.
var hostileUnits = []string{
	"sk-", "-sk-aaaaaaaaaaaaaaaaaaaa", "sk-a1B", "AKIA", "AIza", "ghp_", "xoxb-", "glpat-", "k.", "hooks.slack.com/services/", "8Q~",
	"eyJ", ".eyJ", "eyJhbGciOiJIUzI1NiJ9.", "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhdWRpdCJ9 ", "://", "a://a:a", "a://a:a@", "@", ":", "=", "token=", "token: ", "password=\"", "password:aaaaaaaa", "password=a1 ", "sig=",
	"-----BEGIN ", "-----BEGIN PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0", "-----END ", "bearer ", "basic YTpi", "hmac:", "\\u0020sk-", "%20eyJ",
	"a", "A", "1", "A1", "Zk9P", " ", "\x00", "\xff", "日本", "Zm9vYmFy0123+/==", "1.", "1.1.1.", "1:", "a@b.", "a@b.cd", "+1 ", "+1", "1-", "::", "2001:db8:", "DE89", " DE89", "4111-", " 411", "(212) ", "--", "--token ", "-u a:", " is ", "password is a1b2 ", ">", "<password>", "<a b=c>", "identified by '", "password          ", "password=          ", " = ", "a=a:a=", "a_", "a-aaaaaaaaaaaaaaaaaaaa", "password|", "\"password\", \"", "set_password(\"", "form-data; name=\"password\"", "a/b@//", "password \u2192 ", "密码是", "config: str = ", "<add key=\"a\" value=\"", "@tcp(", "a:bbbb@", "-----BEGIN PRIVATE KEY-----\n-----",
	"%41", "&#65;", `\u0041`, "&amp;", "user,password\n", "a,b\n", "password  a\n", "echo a1b2c3 | passwd\n", "echo ", "<<", "<<EOF | passwd\n", "vault login ", ":5432:a:b:", " changed from ", "c2st", "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXo=", "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXo= ", "7061737377", "password default('",
	"htpasswd ", "htpasswd -b a ", "htpasswd -b a b \"", "htpasswd \n", "htpasswd -nbC ", "WIFI:;p:", ";p:", "WIFI:;p:\\;", "\";s:", "password\";s:", "password\";s:1:\"", "password\";s:9999999:\"", "<td>", "password is hmac:a:0", "password is enc:a:00", "password hmac:", "use enc:a:0123456789abcdef as the password ", "<tr><th>a<td>", "<th><tr><td>", "_password by ", "passwords:\n  a: b\n", "\n  a: b", "token=String(\"", "password=string(1) \"", "--token \"echo ", "--password-command echo -n ",
	"authorization: a b=c1 ", "authorization:a b=\"c\" ", "values (", "(password)values('", "(password,password) values ('a1b2c3','a1b2c3')", " auf ", ", now ", "token rotated, new value is ", "new value a1B2c3d4 ", "password: <b>", "<b>a</b>: ", "replaced by a1B2c3d4 ", "password (a): ", "password for a@b: ", " in ('", " as ", "a1B2c3d4 as password ",
	"password=\\\\\\\\", "1|", "1|aB3", "admin:", "admin:a1B2c3d4 ", "--secret token ", "login('a', 'b1", "auth=('a', 'b1", "token is <b><b><b>", "d'", "?key=a1", " - a1B2c3d4", "token\n\n\n", "password:\n\n\n", "pw]:587 a:",
}

func BenchmarkHostile(b *testing.B) {
	for _, group := range []string{"secrets", "pii", "personal"} {
		s, err := Shipped().Set(group)
		if err != nil {
			b.Fatal(err)
		}
		for _, unit := range hostileUnits {
			text := bytes.Repeat([]byte(unit), 1<<20/len(unit))
			b.Run(fmt.Sprintf("%s/%q", group, unit), func(b *testing.B) {
				var found []Finding
				name := s.Name([]byte("password"))
				for b.Loop() {
					found = s.Append(found[:0], text, name)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(text)), "ns/byte")
			})
		}
	}
}

// An operator's expression is searched in a bounded part of the text, however many fruitless
// matches there are. After that, the rest of the text counts as found.
func TestAnOperatorsExpressionIsBounded(t *testing.T) {
	c, err := NewCatalogue(Options{Rules: []Rule{{ID: "far", Forms: []string{`token.*;|token`}, Keywords: []string{"token"}}}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.Set("far")
	if err != nil {
		t.Fatal(err)
	}
	hostile := bytes.Repeat([]byte("token "), 20_000)
	found := s.Append(nil, hostile, s.Name(nil))
	if len(found) == 0 || found[len(found)-1].End != len(hostile) {
		t.Errorf("%d findings: the text is neither searched whole nor found whole", len(found))
	}
	begin := time.Now()
	s.Append(found[:0], hostile, s.Name(nil))
	// Without the limit it takes over a minute; with it some hundred milliseconds.
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("120 KB take %v", took)
	}
	// A plain text costs no more than allowed, and its secret is found.
	plain := append(bytes.Repeat([]byte("nothing to see here "), 5_000), "token=abcdefgh1234;"...)
	if found := s.Append(nil, plain, s.Name(nil)); len(found) != 1 || found[0].Start < len(plain)-20 {
		t.Errorf("got %v", found)
	}
}
