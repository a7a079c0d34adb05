package shape_test

import (
	"testing"

	"auditrelay/document"
	"auditrelay/internal/keyname"
	"auditrelay/internal/shape"
)

// A path of one name at any depth is recognised by its key, without a search of the document. Four
// such searches made preset secrets a third slower. The result equals that of a search.
func TestAnyDepth(t *testing.T) {
	for _, c := range []struct {
		path          string
		match, differ string
	}{
		{"**.~accessKeyId", "access-key-id", "access"},
		{"**.hashed_token", "hashed_token", "hashedToken"},
		{"**.accessor", "accessor", "Accessor"},
	} {
		p, err := document.ParsePath(c.path)
		if err != nil {
			t.Fatal(err)
		}
		a, ok := shape.AnyDepth(p)
		if !ok {
			t.Fatalf("%s is searched for", c.path)
		}
		for key, want := range map[string]bool{c.match: true, c.differ: false} {
			snake := keyname.AppendSnake(nil, []byte(key))
			joined := keyname.Join([]byte(string(snake)))
			var d document.Document
			d.Reset([]byte(`{"a":{"` + key + `":1}}`))
			if found := d.Each(p, document.None) != document.None; found != want || a.Matches([]byte(key), snake, joined) != want {
				t.Errorf("%s, %s: the search says %v, the name %v", c.path, key, found, !found)
			}
		}
	}
	for _, text := range []string{"**.0", "**.12", "**.a.b", "**", "**.*", "a", "**.~", `**.a\.b`} {
		if p, err := document.ParsePath(text); err == nil {
			if _, ok := shape.AnyDepth(p); ok {
				t.Errorf("%s is no name", text)
			}
		}
	}
}
