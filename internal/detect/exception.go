package detect

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"auditrelay/document"
)

// Exception exempts findings: of a detector, at a path, or of one value. It requires at least a
// path or a value. If another detector also finds an exempted value, it remains a finding of
// that detector.
type Exception struct {
	// Detector is the name of a detector or group. Empty means all.
	Detector string
	// Path selects the values to which it applies. Empty means all.
	Path string
	// SHA256 is the digest of the finding in hexadecimal. Empty means any finding.
	SHA256 string
	// Reason explains it to readers of the list.
	Reason string
}

// maxExceptions is the maximum number: a value's place has a bit for each.
const maxExceptions = 64

// ExceptionError is a fault of one exception.
type ExceptionError struct {
	Index int
	Field string
	Err   error
}

func (e *ExceptionError) Error() string {
	return fmt.Sprintf("exceptions[%d].%s: %v", e.Index, e.Field, e.Err)
}
func (e *ExceptionError) Unwrap() error { return e.Err }

// exceptions are the exceptions of a catalogue.
type exceptions struct {
	all   []exception
	paths []*document.Path // by index; nil if it has no path
}

type exception struct {
	Exception

	names []string // names of the detectors; nil: all
	sum   [sha256.Size]byte
	used  atomic.Uint64
}

func newExceptions(c *Catalogue, list []Exception) (*exceptions, error) {
	if len(list) == 0 {
		return nil, nil
	}
	if len(list) > maxExceptions {
		return nil, fmt.Errorf("%d exceptions, at most %d", len(list), maxExceptions)
	}
	e := &exceptions{all: make([]exception, len(list)), paths: make([]*document.Path, len(list))}
	var errs []error
	bad := func(i int, field string, err error) { errs = append(errs, &ExceptionError{i, field, err}) }
	for i, x := range list {
		one := &e.all[i]
		one.Exception = x
		if x.SHA256 == "" && (x.Path == "" || x.Detector == "" && everywhere(x.Path)) {
			bad(i, "path", errors.New("it excepts everything: give a path, a value's sha256, or both"))
			continue
		}
		var err error
		if x.Path != "" {
			if e.paths[i], err = document.ParsePath(x.Path); err != nil {
				bad(i, "path", err)
			}
		}
		if x.SHA256 != "" {
			sum, err := hex.DecodeString(x.SHA256)
			if err != nil || len(sum) != sha256.Size {
				bad(i, "sha256", errors.New("expected 64 hexadecimal digits, as auditrelay detectors test prints them"))
				continue
			}
			one.sum = [sha256.Size]byte(sum)
		}
		if x.Detector != "" {
			if c.count(x.Detector) == 0 {
				bad(i, "detector", c.unknown([]string{x.Detector}))
			}
			for _, d := range c.detectors {
				if d.Name == x.Detector || slices.Contains(d.Groups, x.Detector) {
					one.names = append(one.names, d.Name)
				}
			}
		}
	}
	return e, errors.Join(errs...)
}

// everywhere reports whether a path selects every value.
func everywhere(path string) bool {
	for step := range strings.SplitSeq(path, ".") {
		if strings.Trim(step, "*") != "" {
			return false
		}
	}
	return strings.Contains(path, "**")
}

// spares reports whether an exception applies to a finding, and counts its use.
func (e *exceptions) spares(f Finding, detector string, text []byte, at uint64) bool {
	var sum [sha256.Size]byte
	summed := false
	for i := range e.all {
		x := &e.all[i]
		if x.names != nil && !slices.Contains(x.names, detector) || e.paths[i] != nil && at>>i&1 == 0 {
			continue
		}
		if x.SHA256 != "" {
			if !summed {
				sum, summed = sha256.Sum256(text[f.Start:f.End]), true
			}
			if sum != x.sum {
				continue
			}
		}
		x.used.Add(1)
		return true
	}
	return false
}

// UsedException is an exception with the number of its uses since the start.
type UsedException struct {
	Exception
	Used uint64
}

// Exceptions returns the operator's exceptions, each with its count.
func (c *Catalogue) Exceptions() []UsedException {
	e := c.orShipped().exceptions
	if e == nil {
		return nil
	}
	var all []UsedException
	for i := range e.all {
		all = append(all, UsedException{e.all[i].Exception, e.all[i].used.Load()})
	}
	return all
}

// Paths returns the paths of the exceptions by index; nil if an exception has none. A caller
// that walks a document marks the selected values and passes the marks to Name.At.
func (c *Catalogue) Paths() []*document.Path {
	e := c.orShipped().exceptions
	if e == nil {
		return nil
	}
	return e.paths
}
