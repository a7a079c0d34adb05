package main

import (
	"fmt"
	"os"
	"slices"

	"auditrelay/internal/diff"
	"auditrelay/internal/test/corpus"
)

const shown = 2

// samples prints two events before and after, as a diff.
func (d *demo) samples(after map[string][]byte) {
	var ids []string
	for id, data := range d.before {
		if after[id] != nil && len(data) < 1200 && len(corpus.Search(data, &d.planted)) > 0 {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	for i, id := range ids[:min(shown, len(ids))] {
		fmt.Printf("\nSample %d, before (-) and after (+):\n", i+1)
		_ = diff.Write(os.Stdout, diff.Lines(d.before[id]), diff.Lines(after[id]), colored())
	}
}

func colored() bool {
	info, err := os.Stdout.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("NO_COLOR") == ""
}
