package gate

import (
	"auditrelay/document"
	"auditrelay/internal/detect"
	"auditrelay/internal/shape"
)

// columnsOf is readColumns for the array next to a table's rows, with the last result cached.
func (i *Inspector) columnsOf(d *document.Document, header document.Node) columns {
	if header == document.None {
		return columns{}
	}
	if header != i.header {
		i.header, i.headed = header, i.readColumns(d, header)
	}
	return i.headed
}

// readColumns stores the meanings of column names, if any has one.
func (i *Inspector) readColumns(d *document.Document, header document.Node) columns {
	c, base, tells := columns{from: len(i.columns)}, len(i.keys), false
	for e := d.Child(header, document.None); e != document.None && len(i.columns)-c.from < shape.MaxColumns; e = d.Child(header, e) {
		name, ok := shape.Column(d, e, i.keys)
		if i.keys = name[:base]; !ok {
			tells = false
			break
		}
		told := i.gate.catalogue.NameOf(name[base:], &i.untold)
		tells = tells || told.Tells()
		i.columns = append(i.columns, told)
	}
	if !tells {
		i.columns = i.columns[:c.from]
		return columns{}
	}
	c.to = len(i.columns)
	return c
}

// arguments checks a command line. n, a member of parent, is the array of its arguments.
func (i *Inspector) arguments(d *document.Document, parent, n document.Node, in place) error {
	if i.gate.finder == nil || d.Kind(n) != document.Array && (d.Kind(n) != document.String || d.Holds(n) != document.Array) {
		return nil
	}
	line, words, known := shape.Line(d, parent, n, i.value[:0], i.words[:0])
	i.value, i.words = line, words
	if !known {
		return nil
	}
	i.findings = i.gate.finder.Append(i.findings[:0], line, detect.Name{}.At(in.spared))
	for _, f := range i.findings {
		for _, w := range words {
			switch {
			case f.Start >= w.End || w.Start >= f.End:
			case in.learns:
				i.known.Add(line[max(f.Start, w.Start):min(f.End, w.End)])
			default:
				return leakOf("detector "+f.Detector, "a list of arguments")
			}
		}
	}
	return nil
}
