// Package manifest reads and writes the manifest of a guest's module, which is JSON in its
// custom section "auditrelay".
package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/internal/meter"
)

// Section is the name of the custom section.
const Section = "auditrelay"

const (
	abiVersion = "1.0"
	maxBytes   = 64 << 10
	maxList    = 256

	maxName        = 128
	maxDescription = 1 << 10
	maxEntry       = 512 // of a list entry: a path or a name
)

// Manifest is what a module declares about itself, as JSON in its custom section "auditrelay".
// It is read without running any of the module's code. The manifest requests, the operator
// grants, and only what is in both is allowed.
type Manifest struct {
	Name        string   `json:"name"`
	Version     string   `json:"version,omitempty"`
	ABI         string   `json:"abi"` // "1.0"
	Description string   `json:"description,omitempty"`
	Reads       []string `json:"reads,omitempty"`    // paths, for information only; not enforced
	Writes      []string `json:"writes,omitempty"`   // paths that it edits
	Emits       bool     `json:"emits,omitempty"`    // it hands records to other callbacks
	Keys        []string `json:"keys,omitempty"`     // names of the keys that it uses
	Metrics     []string `json:"metrics,omitempty"`  // names of the metrics that it counts
	Optional    []string `json:"optional,omitempty"` // imports that it can work without
	Limits      Limits   `json:"limits,omitzero"`
}

// Limits are the minimum that a module needs.
type Limits struct {
	Memory auditrelay.ByteSize `json:"memory,omitempty"`
}

// Read returns a module's manifest, or nil if it has none. It fully validates the module and
// runs none of its code.
func Read(wasm []byte) (*Manifest, error) {
	facts, err := meter.Inspect(wasm, meter.Options{Limits: meter.Limits{ModuleBytes: len(wasm)}, Custom: Section})
	if err != nil {
		return nil, err
	}
	return Of(facts)
}

// Of returns the manifest from a module's facts, or nil if there is none. The facts must have
// been gathered with Section as meter.Options.Custom.
func Of(facts *meter.Facts) (*Manifest, error) {
	switch {
	case len(facts.Custom) == 0:
		return nil, nil
	case len(facts.Custom) > 1:
		return nil, fmt.Errorf("manifest: a second custom section %q", Section)
	case len(facts.Custom[0]) > maxBytes:
		return nil, fmt.Errorf("manifest: larger than %d bytes", maxBytes)
	}
	out, err := Parse(facts.Custom[0])
	if err != nil {
		err = fmt.Errorf("manifest: %w", err)
	}
	return out, err
}

// Parse reads a manifest's text. It is strict, so that a program and a person read the same:
// each key exactly as documented and only once, each text of limited length and printable. With
// an error, the manifest is nil or contains the valid parts.
func Parse(text []byte) (*Manifest, error) {
	if err := document.Check(text, document.Limits{Bytes: maxBytes}); err != nil {
		return nil, err
	}
	// encoding/json also accepts keys in another case, and a long s for an s.
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, err
	}
	var inner map[string]json.RawMessage
	if limits, ok := members["limits"]; ok {
		if err := json.Unmarshal(limits, &inner); err != nil {
			return nil, errors.New("limits: expected an object")
		}
	}
	if err := errors.Join(known("", members, topKeys), known("limits.", inner, limitKeys)); err != nil {
		return nil, err
	}
	out := new(Manifest)
	if err := json.Unmarshal(text, out); err != nil {
		return nil, err
	}
	return out, out.check()
}

var (
	topKeys   = []string{"name", "version", "abi", "description", "reads", "writes", "emits", "keys", "metrics", "optional", "limits"}
	limitKeys = []string{"memory"}
)

// known returns an error for each key that is not in keys.
func known(at string, members map[string]json.RawMessage, keys []string) error {
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(members)) {
		if !slices.Contains(keys, key) {
			errs = append(errs, fmt.Errorf("unknown key %s%.100q: expected one of %s", at, key, strings.Join(keys, ", ")))
		}
	}
	return errors.Join(errs...)
}

// check returns all errors in m, joined.
func (m *Manifest) check() error {
	var errs []error
	if m.ABI != abiVersion {
		errs = append(errs, fmt.Errorf("abi is %.100q, this host serves %q", m.ABI, abiVersion))
	}
	for _, t := range []struct {
		name, value string
		most        int
	}{{"name", m.Name, maxName}, {"version", m.Version, maxName}, {"description", m.Description, maxDescription}} {
		errs = append(errs, checkText(t.name, t.value, t.most))
	}
	for _, list := range []struct {
		name    string
		entries []string
		paths   bool
	}{{"reads", m.Reads, true}, {"writes", m.Writes, true}, {"keys", m.Keys, false}, {"metrics", m.Metrics, false}, {"optional", m.Optional, false}} {
		if len(list.entries) > maxList {
			errs = append(errs, fmt.Errorf("%s has more than %d entries", list.name, maxList))
			continue
		}
		for i, entry := range list.entries {
			errs = append(errs, checkText(fmt.Sprintf("%s[%d]", list.name, i), entry, maxEntry))
		}
		if list.paths {
			_, err := Paths(list.name, list.entries)
			errs = append(errs, err)
		}
	}
	if len(m.Metrics) > maxMetrics {
		errs = append(errs, fmt.Errorf("metrics has more than %d entries", maxMetrics))
	}
	for i, name := range m.Metrics {
		if !metricName.MatchString(name) {
			errs = append(errs, fmt.Errorf("metrics[%d]: expected a name of small letters, digits and _, of at most 64 characters, that begins with a letter", i))
		}
	}
	return errors.Join(errs...)
}

// checkText requires a text that people can read: of limited length and without characters that
// control a terminal or change the direction of writing.
func checkText(name, value string, most int) error {
	if len(value) > most {
		return fmt.Errorf("%s is longer than %d bytes", name, most)
	}
	if at := strings.IndexFunc(value, func(r rune) bool { return !unicode.IsPrint(r) }); at >= 0 {
		return fmt.Errorf("%s holds a character that does not print, at byte %d", name, at)
	}
	return nil
}

// A metric's name becomes the value of a label, and each value is its own series.
var metricName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)

const maxMetrics = 32

// Paths parses a list of paths. what names the list in errors, which also contain the index.
func Paths(what string, texts []string) ([]*document.Path, error) {
	paths, errs := make([]*document.Path, 0, len(texts)), []error{}
	for i, text := range texts {
		p, err := document.ParsePath(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s[%d]: %w", what, i, err))
			continue
		}
		paths = append(paths, p)
	}
	return paths, errors.Join(errs...)
}

// Pack returns wasm with m as its manifest and without an existing one.
func Pack(wasm []byte, m Manifest) ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	text, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	if len(text) > maxBytes {
		return nil, fmt.Errorf("manifest: larger than %d bytes", maxBytes)
	}
	return meter.SetCustom(wasm, Section, text)
}
