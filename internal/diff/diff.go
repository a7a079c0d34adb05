// Package diff shows two JSON documents to people: one member per line, strings that contain
// JSON expanded, and only the lines that differ.
package diff

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
)

// maxLines limits the comparison line by line. For larger documents all lines are shown as
// removed and added.
const maxLines = 2000

// Lines returns a document with one member per line and sorted keys.
func Lines(document []byte) []string {
	var v any
	d := json.NewDecoder(bytes.NewReader(document))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return []string{string(document)}
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(opened(v, 0)); err != nil {
		return []string{string(document)}
	}
	var lines []string
	for line := range bytes.Lines(out.Bytes()) {
		lines = append(lines, string(bytes.TrimRight(line, ",\n")))
	}
	return lines
}

// opened replaces strings that contain JSON by their parsed contents.
func opened(v any, depth int) any {
	if depth > 64 {
		return v
	}
	switch x := v.(type) {
	case map[string]any:
		for k, inner := range x {
			x[k] = opened(inner, depth+1)
		}
	case []any:
		for i, inner := range x {
			x[i] = opened(inner, depth+1)
		}
	case string:
		if len(x) > 1 && (x[0] == '{' || x[0] == '[') {
			var held any
			d := json.NewDecoder(bytes.NewReader([]byte(x)))
			d.UseNumber()
			if d.Decode(&held) == nil && !d.More() {
				return map[string]any{"(text holding JSON)": opened(held, depth+1)}
			}
		}
	}
	return v
}

// Write writes the lines that only a or only b contains, in place among the common lines.
func Write(w io.Writer, a, b []string, color bool) error {
	paint := func(code, text string) string {
		if !color {
			return text
		}
		return "\x1b[" + code + "m" + text + "\x1b[0m"
	}
	var err error
	show := func(text string) {
		if err == nil {
			_, err = fmt.Fprintln(w, text)
		}
	}
	if len(a) > maxLines || len(b) > maxLines {
		for _, line := range a {
			show(paint("31", "  - "+line))
		}
		for _, line := range b {
			show(paint("32", "  + "+line))
		}
		return err
	}
	// Longest common subsequence.
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
			show("    " + a[i])
			i, j = i+1, j+1
		case i < len(a) && (j == len(b) || length[i+1][j] >= length[i][j+1]):
			show(paint("31", "  - "+a[i]))
			i++
		default:
			show(paint("32", "  + "+b[j]))
			j++
		}
	}
	return err
}
