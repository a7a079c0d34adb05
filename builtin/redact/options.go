// Package redact is the native filter: it redacts events by a policy that is
// written in YAML, for people who do not program. Guests reach the same operations
// through host functions.
package redact

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"auditrelay"
	"auditrelay/internal/redaction"
)

// Options are a policy. Where several rules name one value the strongest operation
// is done (remove, mask, hmac, partial, truncate, in this order), so that the order
// of rules opens no hole. Strings that hold JSON are looked into, at every depth.
type Options struct {
	// Preset is a policy that comes with the relay and that the rules and paths here
	// add to; keep_only and opaque, where they are given here, stand in the place of
	// the preset's:
	// litellm, secrets, minimal or pii; auditrelay policy show NAME writes it. Default:
	// none.
	Preset string `yaml:"preset"`

	// Rules say what is done to which values.
	Rules []Rule `yaml:"rules"`

	// KeepOnly are the paths of all that stays, such as action or
	// updated_values.models.**; what they do not name is removed, and what stays is
	// subject to the rules. An empty list keeps nothing. Default: everything stays.
	KeepOnly []string `yaml:"keep_only"`

	// JSON are the paths of strings that are declared to hold JSON. A text there that
	// holds none, or more than is looked through, is masked whole. NaN, Infinity and
	// duplicate keys, which Python writes, are read.
	JSON []string `yaml:"json"`

	// Opaque says what becomes of any other string that begins with { or [ and cannot
	// be read as JSON: mask (the whole of it) or text (detectors look at it as it
	// stands). Default: text.
	Opaque Opaque `yaml:"opaque"`

	// Digests are the paths of strings that, as long as they have the exact shape of a
	// SHA-256 in lower-case hexadecimal, such as the hashes of keys, are left alone by
	// rules by name and by detectors. Rules by path, and for what they lie in, hold.
	Digests []string `yaml:"digests"`

	// Except are paths whose values the rules by name leave alone; detectors and
	// rules by path do not.
	Except []string `yaml:"except"`

	// ExceptNames are names of keys whose values the rules by name leave alone, as in
	// rules: *_per_token.
	ExceptNames []string `yaml:"except_names"`

	// below says how many entries of each list come from a preset, so that errors count
	// from the first that the policy's author wrote.
	below map[string]int
}

// Rule names values, by one of three ways or several, and says what is done to
// them.
type Rule struct {
	// Paths select values: updated_values.password, **.~client_secret.
	Paths []string `yaml:"paths"`

	// Names are keys at any depth as people mean them: api_key is apiKey, API-KEY and
	// api-key too. A * at the beginning or end stands for further words beside a
	// separator (*_secret), and for any characters beside none (*secret*).
	Names []string `yaml:"names"`

	// Detect names detectors, or groups of them (secrets, pii): what they find in strings
	// is redacted, and numbers and keys in which they find something are masked
	// whole.
	Detect []string `yaml:"detect"`

	// Do is what is done: remove; mask (*** in its place, whatever it was); hmac (a
	// keyed pseudonym, the same for the same value); partial (*** and the last
	// characters); truncate (the first characters).
	Do redaction.Operation `yaml:"do"`

	// Key is the name of an entry of keys, for hmac.
	Key string `yaml:"key"`

	// Keep is how many characters stay, for partial and truncate; never more than
	// half of the value with partial.
	Keep int `yaml:"keep"`
}

// Opaque says what becomes of a text that should be JSON and is not.
type Opaque string

// The values of Opaque; the empty one means OpaqueText.
const (
	OpaqueText Opaque = "text"
	OpaqueMask Opaque = "mask"
)

// Over returns the options as they stand on top of a preset's: both sets of rules
// and paths hold; KeepOnly and Opaque are the preset's where o has none of its own.
func (o Options) Over(preset Options) Options {
	out := preset
	out.Preset = o.Preset
	out.Rules = slices.Concat(preset.Rules, o.Rules)
	out.JSON = slices.Concat(preset.JSON, o.JSON)
	out.Digests = slices.Concat(preset.Digests, o.Digests)
	out.Except = slices.Concat(preset.Except, o.Except)
	out.ExceptNames = slices.Concat(preset.ExceptNames, o.ExceptNames)
	out.below = map[string]int{
		"rules": len(preset.Rules), "json": len(preset.JSON), "digests": len(preset.Digests),
		"except": len(preset.Except), "except_names": len(preset.ExceptNames),
	}
	if o.Opaque != "" {
		out.Opaque = o.Opaque
	}
	if o.KeepOnly != nil {
		out.KeepOnly = o.KeepOnly
	}
	return out
}

// policy compiles the options. Every fault is an *auditrelay.OptionError.
func (o Options) policy(keys map[string]auditrelay.Key) (*redaction.Policy, error) {
	p := redaction.Options{KeepOnly: o.KeepOnly, JSON: o.JSON, Digests: o.Digests, Except: o.Except, ExceptNames: o.ExceptNames, OpaqueAll: o.Opaque == OpaqueMask, Keys: keys}
	for _, r := range o.Rules {
		p.Rules = append(p.Rules, redaction.Rule(r))
	}
	policy, err := redaction.New(p)
	var faults []error
	if err != nil {
		faults = o.optionErrors(err)
	}
	if o.Opaque != "" && o.Opaque != OpaqueText && o.Opaque != OpaqueMask {
		faults = append(faults, &auditrelay.OptionError{Path: "opaque", Err: errors.New("expected mask or text")})
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return policy, nil
}

// optionErrors gives each fault of a policy the type that tells where it is.
func (o Options) optionErrors(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error }) //nolint:errorlint // it walks the tree of errors itself
	if !ok {
		if e, ok := errors.AsType[*redaction.OptionError](err); ok {
			return []error{&auditrelay.OptionError{Path: o.written(e.Path), Err: e.Err}}
		}
		return []error{err}
	}
	var out []error
	for _, one := range joined.Unwrap() {
		out = append(out, o.optionErrors(one)...)
	}
	return out
}

// written is a path such as rules[9].key with the index that its author counts.
func (o Options) written(path string) string {
	list, rest, ok := strings.Cut(path, "[")
	number, rest, closed := strings.Cut(rest, "]")
	i, err := strconv.Atoi(number)
	if !ok || !closed || err != nil || i < o.below[list] {
		return path
	}
	return list + "[" + strconv.Itoa(i-o.below[list]) + "]" + rest
}
