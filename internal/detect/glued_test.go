package detect

import (
	"math/rand/v2"
	"testing"
)

// pieces are what the anchors of values match, and what they check beside it.
var pieces = []string{
	"", "htpasswd ", "-b", "-nb", "-C", "f ", "u ", "WIFI:", ";p:", ";", `";s:`, `password";s:`, `9:"`, `99999999999999999999:"`, `1:"`, "<td>", "<tr", "<th", ">", "<", "_password by ", "identified by ", "passwords:", "token", "password", "key", "value", "name",
	"=", ":", "|", "string(", `) "`, "String::from(", "str(", "--", "--token ", "--password-command ", "echo ", "printf ", "-n ", "-c", "-u ", " -p", "mysql", "-user ", " /p:", "freerdp", "sqlplus ", "oracle:thin:", "@//", "vault login ", "net user ", "net use ", ":5432:", "<<", "<<< ", "set_password", "(", ")", " (", " to ", " from ", "-> ", "\xe2\x86\x92 ", " is ", "form-data; name=",
	"enc:", "hmac:", "0000000000", "hunter2-Fall", "a", "-", "\\", `"`, "'", "`", " ", "\t", "\n", "\r", ",", "&", "{", "}", "\x00", "\xff",
}

// Adjacent anchors, in any order and at any end of a text, cause no panic, and findings are
// inside the text.
func TestGluedAnchors(t *testing.T) {
	s, err := Shipped().Set(Shipped().Groups()...)
	if err != nil {
		t.Fatal(err)
	}
	name := s.Name(nil)
	var found []Finding
	look := func(text []byte) {
		t.Helper()
		defer func() {
			if v := recover(); v != nil {
				t.Fatalf("%q: panic: %v", text, v)
			}
		}()
		found = s.Append(found[:0], text, name)
		at := 0
		for _, f := range found {
			if f.Start < at || f.End <= f.Start || f.End > len(text) {
				t.Fatalf("%q: found %+v", text, found)
			}
			at = f.End
		}
	}
	for _, a := range pieces {
		for _, b := range pieces {
			for _, c := range pieces[:12] {
				look([]byte(c + a + b))
			}
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	var text []byte
	for range 60_000 {
		text = text[:0]
		for range 2 + random.IntN(12) {
			text = append(text, pieces[random.IntN(len(pieces))]...)
		}
		look(text)
	}
}
