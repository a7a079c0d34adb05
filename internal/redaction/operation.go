package redaction

import (
	"fmt"
	"slices"
	"strings"
)

// Operation is what a rule does to a value.
type Operation uint8

// The operations, from weakest to strongest. If several rules select one value, the strongest
// is applied, whatever the order of the rules.
const (
	None      Operation = iota
	Truncate            // keeps the first characters
	Partial             // keeps the last characters; not for secrets
	Pseudonym           // replaces the value by a keyed pseudonym
	Encrypt             // replaces the value by its encrypted form
	Masked              // replaces the value by Mask
	Remove              // removes the member or element
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

// inside reports whether the operation, applied to an object or array, changes each value in it
// instead of the whole. Operations that keep part of a value apply to single values only.
func (o Operation) inside() bool { return o == Truncate || o == Partial || o.keyed() }

// keyed reports whether the operation needs a key.
func (o Operation) keyed() bool { return o == Pseudonym || o == Encrypt }
