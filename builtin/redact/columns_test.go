package redact_test

import (
	"testing"

	"auditrelay/internal/gate"
)

// A masked column keeps its array and its length, so that the gate reads the table like the
// filter, and harmless columns stay.
func TestColumnsBesideTheirNames(t *testing.T) {
	g, err := gate.New(gate.Options{Detectors: []string{"secrets"}})
	if err != nil {
		t.Fatal(err)
	}
	r := open(t, policy(t, `{preset: litellm}`))
	for table, want := range map[string]string{
		`{"columns":["password","user"],"values":[["hunter2-Fall","a","b"],["svc-user01","svc-user02","svc-user03"]]}`:      `{"columns":["password","user"],"values":[["***","***","***"],["svc-user01","svc-user02","svc-user03"]]}`,
		`{"columns":["user","password"],"values":[["svc-user01","svc-user02","svc-user03"],["hunter2-Fall","a",null]]}`:     `{"columns":["user","password"],"values":[["svc-user01","svc-user02","svc-user03"],["***","***",null]]}`,
		`{"columns":["api_key","key_alias","user"],"values":[["sk-abcdefgh1234567890ABCD"],["prod-Key-2026a"],["svc-u1"]]}`: `{"columns":["api_key","key_alias","user"],"values":[["***"],["prod-Key-2026a"],["svc-u1"]]}`,
		`{"columns":["user","password"],"values":["[\"svc-user01\",\"b\",\"c\"]","[\"hunter2-Fall\",\"a\",\"x\"]"]}`:        `{"columns":["user","password"],"values":["[\"svc-user01\",\"b\",\"c\"]","[\"***\",\"***\",\"***\"]"]}`,
		`{"columns":["user","password"],"values":[["svc-user01","svc-user02","svc-user03"],["sunshine","moonlight"]]}`:      `{"columns":["user","password"],"values":[["svc-user01","***","svc-user03"],["***","***"]]}`,
		`{"columns":["user","password"],"values":["svc-user01","sunshine"]}`:                                                `{"columns":["user","password"],"values":["svc-user01","***"]}`,
		`{"columns":["password","user"],"data":[{"password":"sunshine","user":"svc-user01"},{"user":"svc-user02"}]}`:        `{"columns":["password","user"],"data":[{"password":"***","user":"svc-user01"},{"user":"svc-user02"}]}`,
	} {
		event := `{"updated_values":` + table + `}`
		out, _ := r.apply(t, []byte(event))
		if want = `{"updated_values":` + want + `}`; string(out) != want {
			t.Errorf("%s\nbecame %s\nand not %s", event, out, want)
		}
		if err := g.Inspector().Document(out); err != nil {
			t.Errorf("%s: the gate: %v", out, err)
		}
	}
}

// A rule by name applies to rows and to columns if the lengths fit neither.
func TestRulesOfRaggedTables(t *testing.T) {
	r := open(t, policy(t, `{rules: [{names: [email], do: mask}]}`))
	for table, want := range map[string]string{
		`{"columns":["user","email"],"values":[["bob","ann","cid"],["b@x"]]}`:        `{"columns":["user","email"],"values":[["bob","***","cid"],["***"]]}`,
		`{"columns":["email","user","x"],"rows":[["b@x"],["a@x","ann"],[null,"u"]]}`: `{"columns":["email","user","x"],"rows":[["***"],["***","ann"],[null,"u"]]}`,
		`{"columns":["user","email"],"rows":[["bob","b@x"],["ann","a@x"]]}`:          `{"columns":["user","email"],"rows":[["bob","***"],["ann","***"]]}`,
	} {
		event := `{"updated_values":` + table + `}`
		out, _ := r.apply(t, []byte(event))
		if want = `{"updated_values":` + want + `}`; string(out) != want {
			t.Errorf("%s\nbecame %s\nand not %s", event, out, want)
		}
	}
}
