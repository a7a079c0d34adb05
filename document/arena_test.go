package document

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// Edits larger than a piece of the arena each keep their own text, also in strings with JSON,
// and when a later edit replaces an earlier one.
func TestEditsOverManyPieces(t *testing.T) {
	const members = 12
	event, want := map[string]any{}, map[string]any{}
	for i := range members {
		inner := fmt.Sprintf(`{"x":"%d\n"}`, i)
		event[fmt.Sprintf("a%d", i)], event[fmt.Sprintf("s%d", i)] = i, inner
	}
	data, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	var d Document
	d.Limits.Bytes = 64 << 20
	find := func(path string) Node {
		p, err := ParsePath(path)
		if err != nil {
			t.Fatal(err)
		}
		return d.Find(p)
	}
	for range 2 {
		d.Reset(data)
		for i := range members {
			text := strings.Repeat(fmt.Sprintf("\x01%d", i), 40_000)
			for _, v := range []string{"for now", text} {
				if err := d.SetString(find(fmt.Sprintf("a%d", i)), []byte(v)); err != nil {
					t.Fatal(err)
				}
			}
			if err := d.SetJSON(find(fmt.Sprintf("s%d.x", i)), fmt.Appendf(nil, `[%q]`, strings.Repeat("y", 100_000+i))); err != nil {
				t.Fatal(err)
			}
			if err := d.Put(Root, fmt.Appendf(nil, "n%d", i), fmt.Appendf(nil, "%q", strings.Repeat("z", 50_000+i))); err != nil {
				t.Fatal(err)
			}
			want[fmt.Sprintf("a%d", i)], want[fmt.Sprintf("n%d", i)] = text, strings.Repeat("z", 50_000+i)
			want[fmt.Sprintf("s%d", i)] = fmt.Sprintf(`{"x":[%q]}`, strings.Repeat("y", 100_000+i))
		}
		if len(d.full) < 3 {
			t.Errorf("the arena has %d full pieces: this tests nothing", len(d.full))
		}
		var got map[string]any
		if err := json.Unmarshal(d.Append(nil), &got); err != nil {
			t.Fatal(err)
		}
		for name := range want {
			if got[name] != want[name] {
				t.Errorf("%s: got %.40q", name, got[name])
			}
		}
	}
	d.Reset([]byte(`{}`))
	if d.full != nil || !bytes.Equal(d.Append(nil), []byte(`{}`)) {
		t.Error("pieces are kept")
	}
}
