package document

import (
	"errors"
	"fmt"
)

// Errors of edits. They are wrapped with the operation's name.
var (
	// ErrNoNode: the node is None, or the document never returned it.
	ErrNoNode = errors.New("no such node")
	// ErrDeleted: the node, or one that contains it, was deleted or replaced.
	ErrDeleted = errors.New("the node was deleted or replaced by an earlier edit")
	// ErrRoot: the document itself cannot be deleted and must stay an object.
	ErrRoot = errors.New("the document must stay an object")
	// ErrNotObject: Put needs an object, or a string that contains one.
	ErrNotObject = errors.New("the parent is no object")
	// ErrKeyExists: Put only adds keys. Use SetJSON to change one.
	ErrKeyExists = errors.New("the key is present already")
	// ErrGrowth: all edits together would write more than Limits.Bytes.
	ErrGrowth = errors.New("the edits are too large altogether")
)

// Reason says why Check rejected the input.
type Reason uint8

const (
	// Syntax: the bytes are not JSON, or end too early.
	Syntax Reason = iota + 1
	// UTF8: a string contains bytes that are not UTF-8.
	UTF8
	// NotObject: the text is JSON, or begins like JSON, but is not an object.
	NotObject
	// TooDeep: objects and arrays are nested deeper than Limits.Depth.
	TooDeep
	// TooLarge: the text is longer than Limits.Bytes.
	TooLarge
	// DuplicateKey: an object has the same key, decoded, twice.
	DuplicateKey
	// LoneSurrogate: an escape is half of a surrogate pair.
	LoneSurrogate
	// Trailing: more text follows the object.
	Trailing
)

// String returns the name used in the quarantine and in metrics.
func (r Reason) String() string {
	switch r {
	case Syntax:
		return "syntax"
	case UTF8:
		return "utf8"
	case NotObject:
		return "not_object"
	case TooDeep:
		return "too_deep"
	case TooLarge:
		return "too_large"
	case DuplicateKey:
		return "duplicate_key"
	case LoneSurrogate:
		return "lone_surrogate"
	case Trailing:
		return "trailing"
	}
	return fmt.Sprintf("reason(%d)", uint8(r))
}

// Error says why Check, or an edit, rejected a value. It contains positions and key
// names, never values.
type Error struct {
	Reason Reason
	// Offset is the byte position, from 0.
	Offset int
	// Path is the path of the innermost value with the fault, in the path grammar. It is empty for the
	// whole text. Long names and long paths are cut.
	Path string
	// Limit is the exceeded limit for TooDeep and TooLarge.
	Limit int
}

func (e *Error) Error() string {
	at := fmt.Sprintf("at byte %d", e.Offset)
	if e.Path != "" {
		at += fmt.Sprintf(", at path %q", e.Path)
	}
	switch e.Reason {
	case Syntax:
		return "not valid JSON " + at
	case UTF8:
		return "not valid UTF-8 " + at
	case NotObject:
		return "not a JSON object " + at
	case TooDeep:
		return fmt.Sprintf("nested deeper than %d levels %s", e.Limit, at)
	case TooLarge:
		return fmt.Sprintf("larger than %d bytes", e.Limit)
	case DuplicateKey:
		return "duplicate key " + at
	case LoneSurrogate:
		return "half of a surrogate pair " + at
	case Trailing:
		return "more data after the JSON value " + at
	}
	return e.Reason.String() + " " + at
}

func editError(op string, err error) error {
	return fmt.Errorf("document: %s: %w", op, err)
}
