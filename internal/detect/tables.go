package detect

import "bytes"

// Tables in texts with a meaningful heading: CSV, tab-separated, Markdown, and columns of
// spaces.

const (
	headingLines = 8    // a heading is searched in the first lines
	headingBytes = 1024 // and in the first bytes
	headingCells = 32
)

// heading contains the meaningful columns of a table, and the separator.
type heading struct {
	kinds  [headingCells]kind
	cells  int
	comma  byte // ' ' means two or more
	tells  bool
	assign bool // programs read such tables
}

// table appends the values of the columns that the heading of a table in text marks as secret.
func (n *named) table(found []Finding, text []byte) []Finding {
	if len(n.rules) == 0 {
		return found
	}
	var h heading
	at := 0
	for line := 0; line < headingLines && at < min(len(text), headingBytes); line++ {
		end := lineEnd(text, at)
		if end == len(text) {
			return found
		}
		if end-at <= headingBytes {
			if h = n.heading(text[at:end]); h.tells {
				at = end + 1
				break
			}
		}
		at = end + 1
	}
	if !h.tells {
		return found
	}
	for at < len(text) {
		end := lineEnd(text, at)
		row, from := text[at:end], 0
		for cell := 0; cell < h.cells && from <= len(row); cell++ {
			start, stop, next := h.cell(row, from)
			if k := h.kinds[cell]; k != 0 {
				how := written_
				if h.assign {
					how = assigned
				}
				if detector := n.judge(k, row[start:stop], how); detector != "" {
					found = append(found, Finding{Start: at + start, End: at + stop, Detector: detector})
				}
			}
			from = next
		}
		at = end + 1
	}
	return found
}

// lineEnd returns the end of the line at text[at].
func lineEnd(text []byte, at int) int {
	if i := bytes.IndexByte(text[at:], '\n'); i >= 0 {
		return at + i
	}
	return len(text)
}

// heading reads a line as a table heading.
func (n *named) heading(line []byte) heading {
	for _, comma := range []byte("\t;|, ") {
		h := heading{comma: comma, assign: comma != '|' && comma != ' '}
		for from := 0; from <= len(line) && h.cells < headingCells; h.cells++ {
			start, stop, next := h.cell(line, from)
			name := line[start:stop]
			if len(name) > 40 || len(name) > 0 && !cellName.all(name) {
				h.tells = false
				break
			}
			if k := n.names.tells(name); k&(digest|jar|headers|address) == 0 && k&(password|token|awsKey|azureKey) != 0 {
				h.kinds[h.cells], h.tells = k, true
			}
			from = next
		}
		if h.tells && h.cells > 1 {
			return h
		}
	}
	return heading{}
}

var cellName = func() *charset {
	set := *nameSet
	set[' '] = true
	return &set
}()

// cell returns the start and stop of the cell at line[from], without spaces and quotes around
// it, and the start of the next cell.
func (h *heading) cell(line []byte, from int) (start, stop, next int) {
	start = from
	for start < len(line) && (line[start] == ' ' || line[start] == '\r') {
		start++
	}
	if start < len(line) && line[start] == '"' {
		if size := bytes.IndexByte(line[start+1:], '"'); size >= 0 {
			stop = start + 1 + size
			return start + 1, stop, h.after(line, stop+1)
		}
	}
	next = h.after(line, start)
	stop = min(next-1, len(line))
	for stop > start && (white[line[stop-1]]) {
		stop--
	}
	return start, max(start, stop), next
}

// after returns the start of the cell after the next comma, or the position after the line if
// there is none.
func (h *heading) after(line []byte, at int) int {
	if h.comma != ' ' {
		if i := bytes.IndexByte(line[min(at, len(line)):], h.comma); i >= 0 {
			return at + i + 1
		}
		return len(line) + 1
	}
	if i := bytes.Index(line[min(at, len(line)):], []byte("  ")); i >= 0 {
		for at += i + 2; at < len(line) && line[at] == ' '; at++ {
		}
		return at
	}
	return len(line) + 1
}
