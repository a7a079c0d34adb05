package redact_test

import (
	"strings"
	"testing"

	"auditrelay/internal/gate"
)

// A table with rows of different lengths keeps its secrets. No row that is empty, short, long
// or no array makes the filter, or the gate alone, read the others as columns.
func TestRaggedTablesKeepTheirSecrets(t *testing.T) {
	g, err := gate.New(gate.Options{Detectors: []string{"secrets"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{`{rules: [{detect: [secrets], do: mask}]}`, `{preset: litellm}`} {
		r := open(t, policy(t, text))
		for _, table := range []string{
			`{"columns":["user","password"],"rows":[["bob","hunter2-Fall","x"],["",""]]}`,
			`{"columns":["user","password"],"rows":[["bob","hunter2-Fall","x"],["ann","hunter2-Fall","x"]]}`,
			`{"columns":["password","user"],"rows":[[],["hunter2-Fall","bob"]]}`,
			`{"columns":["password","user"],"rows":[["x"],["hunter2-Fall","bob"]]}`,
			`{"columns":["password","user"],"rows":[["hunter2-Fall","bob"],["x"]]}`,
			`{"columns":["password","user"],"rows":[null,["hunter2-Fall","bob"]]}`,
			`{"columns":["password","user"],"rows":["***",["hunter2-Fall","bob"]]}`,
			`{"columns":["password","user"],"rows":[["hunter2-Fall"],{"user":"bob"}]}`,
			`{"columns":["password","user"],"rows":[[],["hunter2-Fall","bob"],[]]}`,
			`{"columns":["password","user","id"],"rows":[["x9"],["hunter2-Fall","bob","2"],["hunter2-Fall","cid","3"]]}`,
			`{"columns":["a","user","password"],"rows":[["1","bob","hunter2-Fall","x"],["2","cid","hunter2-Fall"],[]]}`,
			`{"columns":["user","password"],"values":[["svc-user01"],["hunter2-Fall","a"]]}`,
			`{"columns":["user","password"],"values":[["svc-user01","b"],["hunter2-Fall","a"]]}`,
			`{"columns":["user","password"],"values":[["svc-user01","b","c"],["hunter2-Fall","a"]]}`,
			`{"columns":["token","password"],"values":[["x","y","z"],["hunter2x","y"]]}`,
			`{"columns":["user","password"],"values":[["svc-user01","b","c"],["hunter2-Fall","a","x"]]}`,
			`{"columns":["user","password"],"values":[[],["hunter2-Fall","a","x"]]}`,
			`{"columns":["user","password"],"values":["***",["hunter2-Fall","a","x"]]}`,
		} {
			event := []byte(`{"updated_values":` + table + `}`)
			if g.Inspector().Document(event) == nil {
				t.Errorf("the gate lets pass %s", event)
			}
			out, _ := r.apply(t, event)
			if strings.Contains(string(out), "hunter2") {
				t.Errorf("%s: %s became %s", text, event, out)
			}
			if err := g.Inspector().Document(out); err != nil {
				t.Errorf("%s: %s became %s: the gate: %v", text, event, out, err)
			}
		}
	}
}
