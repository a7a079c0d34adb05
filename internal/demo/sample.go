package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"

	"auditrelay/internal/corpus"
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
		diff(lines(d.before[id]), lines(after[id]))
	}
}

// lines lays an event out one member a line, JSON in strings opened up.
func lines(event []byte) []string {
	var members map[string]any
	decoder := json.NewDecoder(bytes.NewReader(event))
	decoder.UseNumber()
	if decoder.Decode(&members) != nil {
		return []string{string(event)}
	}
	for _, name := range []string{"before_value", "updated_values"} {
		var inner any
		if text, ok := members[name].(string); ok && json.Unmarshal([]byte(text), &inner) == nil {
			members[name] = inner
		}
	}
	out, err := json.MarshalIndent(members, "  ", "  ")
	if err != nil {
		return []string{string(event)}
	}
	var split []string
	for line := range bytes.Lines(out) {
		split = append(split, string(bytes.TrimRight(line, ",\n")))
	}
	return split
}

// diff prints the lines of a that b has not, and the other way round, between
// those that both have: both are in the same order, since keys are sorted.
func diff(a, b []string) {
	color := func(code, text string) string {
		if info, err := os.Stdout.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
			return text
		}
		return "\x1b[" + code + "m" + text + "\x1b[0m"
	}
	// The longest common subsequence; events are short.
	length := make([][]int, len(a)+1)
	for i := range length {
		length[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				length[i][j] = length[i+1][j+1] + 1
			} else {
				length[i][j] = max(length[i+1][j], length[i][j+1])
			}
		}
	}
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			fmt.Println("   ", a[i])
			i, j = i+1, j+1
		case i < len(a) && (j == len(b) || length[i+1][j] >= length[i][j+1]):
			fmt.Println(color("31", "  - "+a[i]))
			i++
		default:
			fmt.Println(color("32", "  + "+b[j]))
			j++
		}
	}
}
