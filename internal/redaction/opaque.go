package redaction

import (
	"bytes"
	"encoding/json"

	"auditrelay/document"
	"auditrelay/internal/shape"
)

// opaque reports whether a string's text, which is not looked into, should have
// been: it was declared to hold JSON and holds none, or begins as if it did.
func (a *Applier) opaque(text []byte, s standing) bool {
	if shape.LooksLikeJSON(text) {
		return a.policy.opaque || s.marks&declaredJSON != 0
	}
	if s.marks&declaredJSON == 0 {
		return false
	}
	text = bytes.TrimSpace(text)
	return len(text) > 0 && !plainScalar(text)
}

// plainScalar reports whether text is a JSON value that holds nothing but what it
// shows: a number, true, false, null, or a string without escapes.
func plainScalar(text []byte) bool {
	return bytes.IndexByte(text, '\\') < 0 && json.Valid(text)
}

func (a *Applier) maskOpaque(n document.Node, s standing) error {
	if s.marks&declaredJSON != 0 {
		a.count(int(s.touch))
	} else {
		a.count(a.opaqueTouch())
	}
	return a.mask(n)
}
