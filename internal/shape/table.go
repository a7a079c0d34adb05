package shape

import (
	"bytes"

	"auditrelay/document"
	"auditrelay/internal/detect"
)

// Tables as JSON: arrays of arrays of which the first names the columns, and objects in which
// the names stand beside the rows: {"columns": [...], "rows": [[...]]}.

// maxBeside is how many members of an object are asked for what says more of another.
const maxBeside = 64

// rowsKey reports whether a member of this name may hold a table's rows.
func rowsKey(key []byte) bool {
	switch string(key) {
	case "rows", "Rows", "data", "Data", "values", "Values", "body", "records", "Records", "items", "results", "entries", "dataRows", "data_rows", "tuples", "lines", "cells":
		return true
	}
	return false
}

// columnsKey reports whether a member of this name may hold the names of a table's columns.
func columnsKey(key []byte) bool {
	switch string(key) {
	case "columns", "Columns", "fields", "Fields", "header", "headers", "Header", "Headers", "cols", "Cols", "columnNames", "column_names", "names", "keys", "heading", "headings", "head", "ColumnInfo", "columnMetadata":
		return true
	}
	return false
}

// IsRows reports whether what lies under the key may be a table's rows.
func (k *Key) IsRows() bool { return k.rows }

// Columns returns the array that names the columns of a table whose rows are a member of
// object; None where there is none.
func Columns(d *document.Document, object document.Node) document.Node {
	header, schema := columnsIn(d, object)
	if header == document.None && schema != document.None {
		header, _ = columnsIn(d, schema) // {"schema": {"fields": [...]}, "data": {"values": [...]}}
	}
	return header
}

// columnsIn returns the array that names columns among the members of an object, and the
// object that is the schema there.
func columnsIn(d *document.Document, object document.Node) (header, schema document.Node) {
	var room [32]byte
	seen := 0
	schema = document.None
	for c := d.Child(object, document.None); c != document.None && seen < maxBeside; c = d.Child(object, c) {
		seen++
		key := d.AppendKey(room[:0], c)
		if columnsKey(key) && isArray(d, c) {
			return c, schema
		}
		if string(key) == "schema" && d.Kind(c) == document.Object {
			schema = c
		}
	}
	return document.None, schema
}

// Order says how the values of a table lie in its array.
type Order int

// The orders: each element is a row; each is a column; there are as many of one as of the
// other; the lengths fit neither. What is Square or Ragged is to be judged by the names of both.
const (
	ByRow Order = iota
	ByColumn
	Square
	Ragged
)

// OrderOf returns the order of an array of arrays beside the names of columns. Senders write
// the lengths: no row that is empty, short or long may have the others read in one way only.
func OrderOf(d *document.Document, rows document.Node, columns int) Order {
	count, arrays, same, size := 0, 0, true, -1
	for c := d.Child(rows, document.None); c != document.None; c = d.Child(rows, c) {
		if count++; count > columns && columns < MaxColumns {
			return ByRow // there are not so many columns
		}
		own := -1
		if isArray(d, c) {
			own = length(d, c)
			arrays++
		}
		if count == 1 {
			size = own
		}
		same = same && own == size
	}
	switch {
	case arrays == 0 && count != columns:
		return ByRow // of other things
	case !same || size <= 0 || columns == MaxColumns:
		return Ragged
	case size == columns && count == columns:
		return Square
	case size == columns:
		return ByRow
	case count == columns:
		return ByColumn
	}
	return Ragged
}

// length returns how many elements an array has.
func length(d *document.Document, array document.Node) (n int) {
	for c := d.Child(array, document.None); c != document.None; c = d.Child(array, c) {
		n++
	}
	return n
}

// IsObject reports whether a value is an object, or a text that holds one.
func IsObject(d *document.Document, n document.Node) bool {
	return d.Kind(n) == document.Object || d.Kind(n) == document.String && d.Holds(n) == document.Object
}

func isArray(d *document.Document, n document.Node) bool {
	return d.Kind(n) == document.Array || d.Kind(n) == document.String && d.Holds(n) == document.Array
}

// MaxColumns is how many columns of a table are looked at.
const MaxColumns = 256

// Column appends the name that an element of Columns, or of a table's first row, gives its
// column; ok is false where it can be no name.
func Column(d *document.Document, element document.Node, dst []byte) (name []byte, ok bool) {
	text := element
	if d.Kind(element) == document.Object {
		if text = nameMember(d, element); text == document.None {
			return dst, false
		}
	}
	if d.Kind(text) != document.String || d.Len(text) > maxName {
		return dst, false
	}
	dst, _ = d.AppendString(dst, text)
	return dst, true
}

// nameMember returns the member of a column's description that names it.
func nameMember(d *document.Document, object document.Node) document.Node {
	var room [32]byte
	for c := d.Child(object, document.None); c != document.None; c = d.Child(object, c) {
		switch string(d.AppendKey(room[:0], c)) {
		case "name", "Name", "field", "key", "id", "label", "title", "column_name", "columnName", "header", "accessor", "dataIndex":
			if d.Kind(c) == document.String {
				return c
			}
		}
	}
	return document.None
}

// Command lines as arrays: the program alone, or first among its arguments.

// argumentsKey reports whether a member of this name may hold a command line, or the
// arguments of the program that a member beside it names.
func argumentsKey(key []byte) bool {
	switch string(key) {
	case "args", "Args", "argv", "arguments", "Arguments", "command", "Command", "cmd", "Cmd", "Entrypoint", "entrypoint", "params", "parameters", "options", "commandLine", "command_line", "exec", "run", "script", "process_args":
		return true
	}
	return false
}

// programKey reports whether a member of this name may name the program of arguments
// beside it.
func programKey(key []byte) bool {
	switch string(key) {
	case "command", "Command", "cmd", "Cmd", "program", "Program", "executable", "exe", "Entrypoint", "entrypoint", "bin", "binary", "path", "Path", "file", "process", "name", "image", "tool":
		return true
	}
	return false
}

// beginsPEM reports whether a text begins as the first line of a PEM file.
func beginsPEM(text []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(text, " "), []byte("-----BEGIN "))
}

// IsLines reports whether an array, whose first element is first, is the lines of a PEM file.
func IsLines(d *document.Document, first document.Node) bool {
	if first == document.None || d.Kind(first) != document.String || d.Len(first) < 20 || d.Len(first) > maxName {
		return false
	}
	var room [maxName]byte
	text, _ := d.AppendString(room[:0], first)
	return beginsPEM(text)
}

// beside returns the first member of an object, None for None.
func beside(d *document.Document, object document.Node) document.Node {
	if object == document.None {
		return document.None
	}
	return d.Child(object, document.None)
}

// IsArguments reports whether what lies under the key may be a command line as an array.
func (k *Key) IsArguments() bool { return k.arguments }

// Argument is where an element of an array stands in the line that Line made.
type Argument struct {
	Node       document.Node
	Start, End int
}

const (
	maxLine      = 4096
	maxArguments = 128
)

// Line makes the command line of the array n, a member of object: the program that a member
// beside it names (object may be None), and its elements, with spaces between them. It appends to the line and to
// the arguments; ok is false where no program is known of which an argument may be a secret.
// What is beyond 4 KiB or 128 elements is left out.
func Line(d *document.Document, object, n document.Node, line []byte, arguments []Argument) ([]byte, []Argument, bool) {
	base, known := len(line), false
	var room [32]byte
	seen := 0
	for c := beside(d, object); c != document.None && seen < maxBeside; c = d.Child(object, c) {
		if seen++; c == n || !programKey(d.AppendKey(room[:0], c)) {
			continue
		}
		from := len(line)
		if isArray(d, c) {
			for e := d.Child(c, document.None); e != document.None && len(line)-base < maxLine; e = d.Child(c, e) {
				if d.Kind(e) == document.String && d.Len(e) <= maxName {
					line, _ = d.AppendString(line, e)
					line = append(line, ' ')
				}
			}
		} else if d.Kind(c) == document.String && d.Len(c) <= maxName {
			line, _ = d.AppendString(line, c)
			line = append(line, ' ')
		}
		if detect.TakesSecret(line[from:]) {
			known = true
			break
		}
		line = line[:from]
	}
	for e := d.Child(n, document.None); e != document.None; e = d.Child(n, e) {
		if d.Kind(e) != document.String || len(arguments) == maxArguments || len(line)-base+d.Len(e) > maxLine {
			break
		}
		from := len(line)
		line, _ = d.AppendString(line, e)
		arguments = append(arguments, Argument{e, from, len(line)})
		line = append(line, ' ')
		if !known && len(arguments) <= 4 {
			known = detect.TakesSecret(line[from:]) || len(arguments) == 1 && beginsPEM(line[from:])
		}
	}
	return line, arguments, known && len(arguments) > 0
}
