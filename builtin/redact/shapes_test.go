package redact_test

import (
	"testing"
)

// Values in tables and among arguments are redacted according to their column or program, and
// neighbouring values stay.
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

// If a command line identifies a part of an argument, this does not limit what the previous
// argument says about the whole, or the rules for JSON in an argument.
func TestArgumentsThatAreMoreThanTheLineTells(t *testing.T) {
	r := open(t, policy(t, `{rules: [{names: [email], do: mask}, {detect: [secrets], do: mask}]}`))
	for event, want := range map[string]string{
		`{"updated_values":{"args":["mysql","--password","hunter2-Fall&q7Zk2mXv9TbL4"]}}`:                           `{"updated_values":{"args":["mysql","--password","***"]}}`,
		`{"updated_values":{"args":["docker","login","--password","q7Zk2mT'Xv9TbL4wRy","-u","bob"]}}`:               `{"updated_values":{"args":["docker","login","--password","***","-u","bob"]}}`,
		`{"updated_values":{"args":["curl","-d","{\"email\":\"ann@example.com\",\"password\":\"hunter2-Fall\"}"]}}`: `{"updated_values":{"args":["curl","-d","{\"email\":\"***\",\"password\":\"***\"}"]}}`,
	} {
		if out, _ := r.apply(t, []byte(event)); string(out) != want {
			t.Errorf("%s\nbecame %s\nand not %s", event, out, want)
		}
	}
}
