package redaction

import (
	"fmt"
	"slices"
	"strings"
)

// Operation is what is done to a value that a rule names.
type Operation uint8

// The operations, from the weakest to the strongest: where several rules name one
// value the strongest is done, in whatever order they stand.
const (
	None      Operation = iota
	Truncate            // the first characters stay
	Partial             // the last characters stay: for what is no secret
	Pseudonym           // a keyed pseudonym stands in its place
	Encrypt             // the value stands in its place, encrypted under a key
	Masked              // the fixed Mask stands in its place
	Remove              // the member, or element, goes
)

var operationNames = []string{"", "truncate", "partial", "hmac", "encrypt", "mask", "remove"}

// String returns the operation's name in a policy.
func (o Operation) String() string {
	if int(o) < len(operationNames) {
		return operationNames[o]
	}
	return fmt.Sprintf("operation(%d)", uint8(o))
}

// UnmarshalText reads an operation's name.
func (o *Operation) UnmarshalText(text []byte) error {
	i := slices.Index(operationNames, string(text))
	if i <= 0 {
		return fmt.Errorf("no operation: expected %s", strings.Join(operationNames[1:], ", "))
	}
	*o = Operation(i)
	return nil
}

// inside reports whether, of an object or array, each value in it is changed rather
// than the whole: what stays of a value can be told for one value only.
func (o Operation) inside() bool { return o == Truncate || o == Partial || o.keyed() }

// keyed reports whether the operation needs a key.
func (o Operation) keyed() bool { return o == Pseudonym || o == Encrypt }
