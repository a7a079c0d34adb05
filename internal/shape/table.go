package shape

import (
	"bytes"

	"auditrelay/document"
	"auditrelay/internal/detect"
)

// Tables in JSON: arrays of arrays of which the first contains the column names, and objects
// with the names next to the rows: {"columns": [...], "rows": [[...]]}.

// maxBeside limits how many members of an object are searched for information about another
// member.
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

// Columns returns the array with the column names of a table whose rows are a member of object,
// or None.
func Columns(d *document.Document, object document.Node) document.Node {
	header, schema := columnsIn(d, object)
	if header == document.None && schema != document.None {
		header, _ = columnsIn(d, schema) // {"schema": {"fields": [...]}, "data": {"values": [...]}}
	}
	return header
}

// columnsIn returns, among the members of an object, the array with column names and the object
// that is the schema.
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

// Order is the layout of a table's values in its array.
type Order int

// The orders: each element is a row; each is a column; the numbers of rows and columns are
// equal; the lengths fit neither. For Square and Ragged the caller must apply the names in both
// directions.
const (
	ByRow Order = iota
	ByColumn
	Square
	Ragged
)

// OrderOf returns the order of an array of arrays with column names next to it. Senders choose
// the lengths, so an empty, short or long row must not cause the other rows to be read in one
// direction only.
func OrderOf(d *document.Document, rows document.Node, columns int) Order {
	count, arrays, same, size := 0, 0, true, -1
	for c := d.Child(rows, document.None); c != document.None; c = d.Child(rows, c) {
		if count++; count > columns && columns < MaxColumns {
			return ByRow // there are fewer columns
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
		return ByRow // not an array of arrays
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

// length returns the number of elements of an array.
func length(d *document.Document, array document.Node) (n int) {
	for c := d.Child(array, document.None); c != document.None; c = d.Child(array, c) {
		n++
	}
	return n
}

// IsObject reports whether a value is an object or a text that contains one.
func IsObject(d *document.Document, n document.Node) bool {
	return d.Kind(n) == document.Object || d.Kind(n) == document.String && d.Holds(n) == document.Object
}

func isArray(d *document.Document, n document.Node) bool {
	return d.Kind(n) == document.Array || d.Kind(n) == document.String && d.Holds(n) == document.Array
}

// MaxColumns is how many columns of a table are examined.
const MaxColumns = 256

// Column appends the name that an element of Columns, or of a table's first row, gives to its
// column. ok is false if the element cannot be a name.
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

// nameMember returns the member of a column's description that contains the column's name.
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

// Command lines as arrays: the program is separate or the first element.

// argumentsKey reports whether a member of this name may contain a command line, or the
// arguments of the program that a neighbouring member names.
func argumentsKey(key []byte) bool {
	switch string(key) {
	case "args", "Args", "argv", "arguments", "Arguments", "command", "Command", "cmd", "Cmd", "Entrypoint", "entrypoint", "params", "parameters", "options", "commandLine", "command_line", "exec", "run", "script", "process_args":
		return true
	}
	return false
}

// programKey reports whether a member of this name may name the program for neighbouring
// arguments.
func programKey(key []byte) bool {
	switch string(key) {
	case "command", "Command", "cmd", "Cmd", "program", "Program", "executable", "exe", "Entrypoint", "entrypoint", "bin", "binary", "path", "Path", "file", "process", "name", "image", "tool":
		return true
	}
	return false
}

// beginsPEM reports whether a text begins like the first line of a PEM file.
func beginsPEM(text []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(text, " "), []byte("-----BEGIN "))
}

// IsLines reports whether an array with first element first consists of the lines of a PEM
// file.
func IsLines(d *document.Document, first document.Node) bool {
	if first == document.None || d.Kind(first) != document.String || d.Len(first) < 20 || d.Len(first) > maxName {
		return false
	}
	var room [maxName]byte
	text, _ := d.AppendString(room[:0], first)
	return beginsPEM(text)
}

// beside returns the first member of an object, or None for None.
func beside(d *document.Document, object document.Node) document.Node {
	if object == document.None {
		return document.None
	}
	return d.Child(object, document.None)
}

// IsArguments reports whether the value under the key may be a command line as an array.
func (k *Key) IsArguments() bool { return k.arguments }

// Argument is the position of an array element in the line that Line returned.
type Argument struct {
	Node       document.Node
	Start, End int
}

const (
	maxLine      = 4096
	maxArguments = 128
)

// Line returns the command line of the array n, a member of object: the program that a
// neighbouring member names (object may be None), and the elements, joined by spaces. It
// appends to line and to arguments. ok is false if the program is not one whose arguments may
// be secrets. Everything after 4 KiB or 128 elements is left out.
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
