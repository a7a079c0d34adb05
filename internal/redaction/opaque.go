package redaction

import (
	"bytes"
	"encoding/json"

	"auditrelay/document"
	"auditrelay/internal/shape"
)

// opaque reports whether a string that was not parsed should have been: it was declared to
// contain JSON and does not, or it begins like JSON.
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

// plainScalar reports whether text is a JSON value that hides nothing: a number, true, false,
// null, or a string without escapes.
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
