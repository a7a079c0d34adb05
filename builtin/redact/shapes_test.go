package redact_test

import (
	"strings"
	"testing"
	"time"
)

// Values in tables and among arguments are redacted as their column or program says, and
// what lies beside them stays.
func TestTablesAndArguments(t *testing.T) {
	r := open(t, policy(t, `{preset: litellm}`))
	for event, want := range map[string]string{
		`{"updated_values":{"columns":["user","password"],"rows":[["bob","sunshine"],["ann",null]]}}`:         `{"updated_values":{"columns":["user","password"],"rows":[["bob","***"],["ann",null]]}}`,
		`{"updated_values":{"fields":[{"name":"user"},{"name":"api_key"}],"data":[["bob","sunshine"]]}}`:      `{"updated_values":{"fields":[{"name":"user"},{"name":"api_key"}],"data":[["bob","***"]]}}`,
		`{"updated_values":{"rows":[["sunshine","bob"]],"columns":["password","user"]}}`:                      `{"updated_values":{"rows":[["***","bob"]],"columns":["password","user"]}}`,
		`{"updated_values":{"x":[["user","password"],["bob","hunter2-Fall"]]}}`:                               `{"updated_values":{"x":[["user","password"],["bob","***"]]}}`,
		`{"updated_values":{"x":[["user","password"],["name","email"]]}}`:                                     `{"updated_values":{"x":[["user","password"],["name","email"]]}}`,
		`{"updated_values":{"columns":["id","title"],"rows":[["1","hunter2-Fall"]]}}`:                         `{"updated_values":{"columns":["id","title"],"rows":[["1","hunter2-Fall"]]}}`,
		`{"updated_values":{"command":"mysql","args":["-u","root","-phunter2-Fall","app1234567"]}}`:           `{"updated_values":{"command":"mysql","args":["-u","root","-p***","app1234567"]}}`,
		`{"updated_values":{"args":["sshpass","-p","sunshine","ssh","-p","2222","host"]}}`:                    `{"updated_values":{"args":["sshpass","-p","***","ssh","-p","2222","host"]}}`,
		`{"updated_values":{"command":["docker","login"],"args":["-u","bob","-p","hunter2-Fall"]}}`:           `{"updated_values":{"command":["docker","login"],"args":["-u","bob","-p","***"]}}`,
		`{"updated_values":{"command":"nginx","args":["-p","/etc/nginx2","-c","hunter2-Fall"]}}`:              `{"updated_values":{"command":"nginx","args":["-p","/etc/nginx2","-c","hunter2-Fall"]}}`,
		`{"updated_values":{"command":"docker","args":["run","-p","8080:80","nginx:1.27"]}}`:                  `{"updated_values":{"command":"docker","args":["run","-p","8080:80","nginx:1.27"]}}`,
		`{"updated_values":{"argv":["curl","-u","bob:sunshine","https://x.example.com"],"note":"sunshine1"}}`: `{"updated_values":{"argv":["curl","-u","bob:***","https://x.example.com"],"note":"sunshine1"}}`,
	} {
		if out, _ := r.apply(t, []byte(event)); string(out) != want {
			t.Errorf("%s\nbecame %s\nand not %s", event, out, want)
		}
	}
}

// Nor do many tables and command lines take more than linear time.
func TestManyTablesAndArguments(t *testing.T) {
	r, inspector := open(t, policy(t, `{preset: litellm}`)), secretsGate(t)
	for name, unit := range map[string]string{
		"rows":                 `{"columns":["user","password"],"rows":[["bob","x"]]}`,
		"headers in rows":      `[["user","password"],["bob","x"]]`,
		"arguments":            `{"args":["mysql","-u","root"]}`,
		"arguments within":     `{"args":["mysql",["mysql",{"args":["mysql","-pab1cdefg"]}],"-pab1cdefg"]}`,
		"lines of keys":        `["-----BEGIN PRIVATE KEY-----","MIIEvQIBADANBgkqhkiG9w0BAQEFAASC"]`,
		"parts of private JWK": `"\"kty\" \"d\":\"abcdefgh\" \"d\":\"abcdefgh\""`,
	} {
		took := func(n int) time.Duration {
			event := []byte(`{"updated_values":[` + strings.Repeat(unit+",", n) + `1]}`)
			least := time.Hour
			for range 3 {
				begin := time.Now()
				out, _ := r.apply(t, event)
				inspector.Forget()
				_ = inspector.Document(out)
				least = min(least, time.Since(begin))
			}
			return least
		}
		var one, more time.Duration
		for range 5 {
			if one, more = took(100), took(1600); more <= 96*one+5*time.Millisecond {
				break
			}
		}
		if more > 96*one+5*time.Millisecond {
			t.Errorf("%s: %v for sixteen times what took %v", name, more, one)
		}
	}
}
