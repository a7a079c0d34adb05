package redact_test

import (
	"fmt"
	"strings"
	"testing"
)

// Keys that are secrets, and keys that equal their replacements, cause neither much work nor a
// leak.
func TestManySecretKeys(t *testing.T) {
	f := policy(t, `{rules: [{detect: [secrets], do: mask}]}`)
	keys := func(n int, form string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, form, i)
		}
		return b.String()
	}
	const secret = `"sk-proj-mJ3kq9ZsTb81LwXy%05d":1,`
	for name, event := range map[string]string{
		"in the event":            `{` + keys(20_000, secret) + `"id":"e"}`,
		"in an object":            `{"v":{` + keys(20_000, secret) + `"id":"e"}}`,
		"in many objects":         `{"v":[` + keys(2_000, `{`+strings.TrimSuffix(secret, ",")+`},`) + `1]}`,
		"beside masked ones":      `{` + keys(20_000, `"***%d":1,`) + keys(200, secret) + `"id":"e"}`,
		"in a string in a string": `{"v":` + quoted(t, `{"v":`+quoted(t, `{`+keys(300, secret)+`"id":"e"}`)+`}`) + `}`,
	} {
		got, _ := open(t, f).apply(t, []byte(event))
		if strings.Contains(string(got), "mJ3kq9") {
			t.Errorf("%s: a key left", name)
		}
	}
}
