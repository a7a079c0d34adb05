package format

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"auditrelay"
)

const page = "../../docs/reference/formats.md"

// shown returns the tables in the form of the page.
func shown() string {
	var b strings.Builder
	b.WriteString("| `table_name` | class | `entity.type` |\n|---|---|---|\n")
	for _, table := range slices.Sorted(maps.Keys(objects)) {
		of := objects[table]
		kind := of.kind
		if of.class == &accountChange {
			kind = "none: the object is `user`"
		}
		fmt.Fprintf(&b, "| `%s` | %s (%d) | %s |\n", table, of.class.name, of.class.uid, kind)
	}
	fmt.Fprintf(&b, "| any other | %s (%d) | the table's name |\n", entityManagement.name, entityManagement.uid)
	fmt.Fprintf(&b, "| none, or no `object_id` | %s (%d) | |\n\n", baseEvent.name, baseEvent.uid)
	b.WriteString("| `action` |")
	classes := []*class{&entityManagement, &accountChange, &baseEvent}
	for _, c := range classes {
		b.WriteString(" " + c.name + " |")
	}
	b.WriteString("\n|---|---|---|---|\n")
	for _, action := range auditrelay.Actions() {
		fmt.Fprintf(&b, "| `%s` |", action)
		for _, c := range classes {
			fmt.Fprintf(&b, " %s (%d) |", c.activities[string(action)].name, c.activities[string(action)].id)
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "| any other | the action itself (%[1]d) | the action itself (%[1]d) | the action itself (%[1]d) |\n", other.id)
	fmt.Fprintf(&b, "| none | %[1]s (%[2]d) | %[1]s (%[2]d) | %[1]s (%[2]d) |\n", unknown.name, unknown.id)
	return b.String()
}

// TestThePageShowsTheTables compares the page with the tables. With -update it writes them.
func TestThePageShowsTheTables(t *testing.T) {
	const begin, end = "<!-- tables: written by go test ./internal/format -update -->\n", "<!-- end of tables -->"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	old, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no place for the tables", page)
	}
	want := "\n" + shown() + "\n"
	if old == want {
		return
	}
	if flag.Lookup("update").Value.String() != "true" {
		t.Fatalf("%s shows other tables: run go test ./internal/format -update", page)
	}
	if err := os.WriteFile(page, []byte(before+begin+want+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
