// Package detect finds secrets and personal data in text by their own form, or by
// their form beside a telling name. docs/reference/detectors.md, which is made from All,
// lists what is found and what is not.
//
// The rules are our own. The well-kept list that could be imported, gitleaks'
// (v8.30.1, MIT), was tried and is written for files in a repository, not for a
// stream: it makes a program of 13 MB out of 62 modules; its 222 regular
// expressions take 1.2 ms for an event of 0.9 KB, some five hundred times what
// there is; in a clean event it takes the digest in changed_by_api_key for a key;
// and it knows neither LiteLLM's keys nor a password in a URL. The prefixes and
// lengths that its rules agree on with the issuers' documentation are those here.
package detect

import (
	"fmt"
	"slices"
	"strings"
)

// Finding is one piece of a text that a detector took for what it looks for.
type Finding struct {
	Start, End int // of the text, in bytes
	Detector   string
}

// Set is a selection of detectors. It is immutable and safe for concurrent use.
type Set struct {
	pairs   [256]uint64 // see scan.go
	anchors []anchor
	named   named
}

// New returns the detectors of those names; a name may be a group: secrets, pii.
// The error names every name that nothing answers to, and what there is.
func New(names ...string) (*Set, error) {
	all := detectors()
	known := groups()
	for _, d := range all {
		known = append(known, d.Name)
	}
	var unknown []string
	for _, n := range names {
		if !slices.Contains(known, n) {
			unknown = append(unknown, n)
		}
	}
	if len(unknown) > 0 {
		return nil, fmt.Errorf("no detector is called %s: there are %s", strings.Join(unknown, ", "), strings.Join(known, ", "))
	}
	s := new(Set)
	for _, d := range all {
		if slices.Contains(names, d.Name) || slices.Contains(names, d.Group) {
			s.anchors = append(s.anchors, d.anchors...)
			s.named = append(s.named, d.named...)
		}
	}
	if len(s.named) > 0 {
		s.anchors = append(s.anchors, s.named.anchor())
	}
	s.index()
	return s, nil
}

// Append appends what the detectors find in text, in order and without overlaps.
// text is decoded: a string's characters, a number as written, or a key. key is the
// decoded name that it stands under, nil where there is none: some things are known
// by their neighbourhood alone. The time is linear in len(text) whatever it holds.
// It allocates nothing beside dst.
func (s *Set) Append(dst []Finding, text, key []byte) []Finding {
	if len(text) < shortest {
		return dst
	}
	whole, ok := s.named.under(key, text)
	before := len(dst)
	for from := 0; ; {
		f, found := s.next(text, from)
		if !found {
			break
		}
		dst = append(dst, f)
		from = f.End
	}
	// The whole text is the secret, unless its own form says so more precisely.
	if ok && (len(dst) != before+1 || dst[before].Start > whole.Start || dst[before].End < whole.End) {
		dst = append(dst[:before], whole)
	}
	return dst
}

// Detects reports whether Append would find anything.
func (s *Set) Detects(text, key []byte) bool {
	if len(text) < shortest {
		return false
	}
	if _, ok := s.named.under(key, text); ok {
		return true
	}
	_, ok := s.next(text, 0)
	return ok
}
