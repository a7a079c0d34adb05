package document_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"auditrelay/document"

	"github.com/google/go-cmp/cmp"
)

// pathTables reads the tables of docs/reference/paths.md. It returns the rows of each with
// unquoted cells.
func pathTables(tb testing.TB) (selects, refused [][]string) {
	tb.Helper()
	text, err := os.ReadFile("../docs/reference/paths.md")
	if err != nil {
		tb.Fatal(err)
	}
	_, tables, _ := strings.Cut(string(text), "\n## What a path selects\n")
	for line := range strings.Lines(tables) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch len(cells) {
		case 3:
			selects = append(selects, cells)
		case 2:
			if strings.HasSuffix(cells[1], " |") || strings.HasPrefix(cells[0], "`{") {
				selects = append(selects, append(cells, ""))
			} else {
				refused = append(refused, cells)
			}
		}
	}
	if len(selects) < 50 || len(refused) < 10 {
		tb.Fatalf("docs/reference/paths.md: read %d and %d rows; has the table changed its form?", len(selects), len(refused))
	}
	return selects, refused
}

func unquoted(cell string) string { return strings.Trim(cell, "`") }

func TestPathTable(t *testing.T) {
	selects, _ := pathTables(t)
	for _, row := range selects {
		data, path := unquoted(row[0]), unquoted(row[1])
		t.Run(path+" of "+data, func(t *testing.T) {
			if err := document.Check([]byte(data), document.Limits{}); err != nil {
				t.Fatal(err)
			}
			p := mustPath(t, path)
			var d document.Document
			d.Reset([]byte(data))
			got := ""
			for n := d.Find(p); n != document.None; n = d.Each(p, n) {
				got += " `" + string(d.AppendPath(nil, n)) + "`"
				if !p.Covers(&d, n) {
					t.Errorf("%s does not cover node %s, which it selects", path, d.AppendPath(nil, n))
				}
			}
			if diff := cmp.Diff(row[2], strings.TrimSpace(got)); diff != "" {
				t.Errorf("selects (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPathRefused(t *testing.T) {
	_, refused := pathTables(t)
	for _, row := range refused {
		_, err := document.ParsePath(unquoted(row[0]))
		if perr, ok := errors.AsType[*document.PathError](err); !ok || !strings.Contains(perr.Error(), row[1]) {
			t.Errorf("ParsePath(%q): got error %v, want one that says %q", unquoted(row[0]), err, row[1])
		}
	}
	for name, path := range map[string]string{
		"too long":       strings.Repeat("a", 4097),
		"too many steps": strings.Repeat("a.", 62) + "a",
		"not UTF-8":      "a\xff",
	} {
		if _, err := document.ParsePath(path); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := document.ParsePath(strings.Repeat("a.", 61) + "a"); err != nil {
		t.Errorf("62 steps: %v", err)
	}
}

func TestCovers(t *testing.T) {
	var d document.Document
	d.Reset([]byte(`{"a":{"b":{"c":1},"list":[{"x":1}]},"v":"{\"k\":{\"l\":1}}"}`))
	for _, row := range []struct {
		grant, node string
		want        bool
	}{
		{"a", "a", true},
		{"a", "a.b.c", true}, // everything inside a granted value is granted
		{"a.b", "a", false},
		{"a.*", "a.b.c", true},
		{"a.**", "a", false},
		{"a.**", "a.list.0.x", true},
		{"**.x", "a.list.0.x", true},
		{"**.x", "a.list.0", false},
		{"v.~K", "v.k.l", true},
		{"v.k", "v", false},
	} {
		if got := mustPath(t, row.grant).Covers(&d, d.Find(mustPath(t, row.node))); got != row.want {
			t.Errorf("%s covers %s: got %v", row.grant, row.node, got)
		}
	}
	if mustPath(t, "**").Covers(&d, document.Root) {
		t.Error("** covers the root")
	}
	for _, row := range []struct {
		grant, parent, key string
		want               bool
	}{
		{"a.**", "a", "new", true},
		{"a.new", "a", "new", true},
		{"a.new", "a", "other", false},
		{`a."`, "a", `"`, true},
		{"a", "a", "new", true},
		{"v.~newKey", "v", "new_key", true},
		{`a.x\.y`, "a", "x.y", true},
	} {
		if got := mustPath(t, row.grant).CoversKey(&d, d.Find(mustPath(t, row.parent)), []byte(row.key)); got != row.want {
			t.Errorf("%s covers key %s put into %s: got %v", row.grant, row.key, row.parent, got)
		}
	}
}

func FuzzPath(f *testing.F) {
	selects, refused := pathTables(f)
	for _, row := range append(selects, refused...) {
		f.Add(unquoted(row[len(row)-2]))
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := document.ParsePath(s)
		if err != nil {
			if _, ok := errors.AsType[*document.PathError](err); !ok || p != nil {
				t.Fatalf("error %T, path %v", err, p)
			}
			return
		}
		again, err := document.ParsePath(p.String())
		if err != nil || again.String() != p.String() {
			t.Fatalf("%q becomes %q, which becomes %v, %v", s, p, again, err)
		}
		var d document.Document
		d.Reset([]byte(objectEvent))
		for n := d.Find(p); n != document.None; n = d.Each(p, n) {
			own := mustPath(t, string(d.AppendPath(nil, n)))
			if d.Find(own) != n {
				t.Fatalf("%s does not select its own node", own)
			}
		}
	})
}
