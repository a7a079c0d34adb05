package gate

import (
	"errors"
	"testing"

	"auditrelay/internal/test/corpus"
)

// TestPathsByNameAreAsPaths: for a path **.~name, which the walk recognises by the key, the
// result equals that of a search for the path.
func TestPathsByNameAreAsPaths(t *testing.T) {
	paths := []string{"**.~password", "**.~api_key", "**.~team_id", "**.~nothing_has_this_name"}
	events := [][]byte{
		[]byte(`{"password":"x"}`), []byte(`{"password":""}`), []byte(`{"password":null}`), []byte(`{"password":"***"}`), []byte(`{"password":3}`), []byte(`{"password":{}}`),
		[]byte(`{"a":[{"PassWord":["x"]}]}`), []byte(`{"a":"{\"b\":[{\"pass-word\":true}]}"}`), []byte(`{"a":"[[{\"apiKey\":\"k\"}]]"}`), []byte(`{"a":{"my_password":"x"}}`), []byte(`{"password":"***","b":{"password":"y"}}`),
		[]byte(`{"a":"{\"b\":\"{\\\"password\\\":\\\"x\\\"}\"}"}`),
	}
	g := corpus.New(3)
	g.Plant(2)
	for range 2000 {
		events = append(events, g.Next().Data)
	}
	refused := 0
	for _, name := range paths {
		gate, err := New(Options{Paths: []string{name}})
		if err != nil {
			t.Fatal(err)
		}
		if !gate.paths[0].byName {
			t.Fatalf("%s is searched for", name)
		}
		i := gate.Inspector()
		for _, event := range events {
			walked := i.Document(event)
			i.document.Reset(event)
			searched := i.forbidden(&i.document, true)
			if l, ok := errors.AsType[*Leak](walked); ok && l.Rule == "paths" {
				continue // a text that resembles JSON and cannot be parsed
			}
			if (walked == nil) != (searched == nil) {
				t.Errorf("%s in %.200s: by name %v, by path %v", name, event, walked, searched)
			}
			if walked != nil {
				refused++
			}
		}
	}
	if t.Logf("%d of %d refused", refused, len(paths)*len(events)); refused == 0 {
		t.Error("none is refused")
	}
}
