package detect_test

import (
	"auditrelay/document"
	"auditrelay/internal/detect"
	"auditrelay/internal/shape"
)

// leaf is a text of an event with its name and the name's meaning at that place.
type leaf struct {
	text, key []byte
	name      detect.Name
}

// leaves appends every key, string and number of an event, including those in strings with
// JSON. With whole it also appends these strings themselves. A truncated text, or one with NaN,
// is always appended itself.
func leaves(dst []leaf, event []byte, whole bool) []leaf {
	var d document.Document
	d.Reset(event)
	return below(dst, &d, document.Root, nil, whole)
}

func below(dst []leaf, d *document.Document, parent document.Node, name []byte, whole bool) []leaf {
	members := d.Kind(parent) == document.Object || d.Holds(parent) == document.Object
	for n := d.Child(parent, document.None); n != document.None; n = d.Child(parent, n) {
		key := name // an element has its array's name
		if members {
			key = d.AppendKey(nil, n)
			dst = append(dst, leaf{text: key})
		}
		text, isString := d.AppendString(nil, n)
		switch {
		case isString && (whole || d.Holds(n) == document.Absent):
			dst = append(dst, leaf{text, key, shape.Name(nil, d, n)})
		case d.Kind(n) == document.Number:
			dst = append(dst, leaf{d.AppendJSON(nil, n), key, shape.Name(nil, d, n)})
		}
		dst = below(dst, d, n, key, whole)
	}
	return dst
}
