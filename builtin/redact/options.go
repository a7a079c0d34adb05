// Package redact is the native filter. It redacts events by a policy in YAML, without
// programming. Guests use the same operations through host functions.
package redact

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"auditrelay"
	"auditrelay/internal/detect"
	"auditrelay/internal/redaction"
)

// Options are a policy. If several rules select one value, the strongest operation wins:
// remove, mask, encrypt, hmac, partial, truncate. So the order of rules never matters. The
// policy also applies inside strings that hold JSON.
type Options struct {
	// Preset is a built-in policy to start from: litellm, secrets, minimal or pii, or that of
	// another producer, by the name of its schema: kubernetes, cloudtrail, gitlab. Rules and
	// paths here add to it; keep_only and opaque here replace the preset's. auditrelay policy
	// show NAME prints it. Default: none.
	Preset string `yaml:"preset"`

	// Rules are the rules. Each selects values and an operation. Their order does not matter.
	Rules []Rule `yaml:"rules"`

	// KeepOnly lists the paths that stay, such as action or updated_values.models.**.
	// Everything else is removed. The rules still apply to what stays. An empty list
	// keeps nothing. Default: everything stays.
	KeepOnly []string `yaml:"keep_only"`

	// JSON lists the paths of strings that must hold JSON. A text there that is not JSON, or is
	// too large or too deep, is masked as a whole. NaN, Infinity and duplicate keys, which
	// Python writes, are accepted.
	JSON []string `yaml:"json"`

	// Opaque applies to any other string that begins with { or [ and is not JSON: mask masks it
	// as a whole; text lets detectors scan it as it is. Default: text.
	Opaque Opaque `yaml:"opaque"`

	// Digests lists the paths of digests, such as hashes of keys. While a value there
	// is exactly a SHA-256 in lower-case hexadecimal, rules by name and detectors skip
	// it. Rules by path still apply, also to a value that contains it.
	Digests []string `yaml:"digests"`

	// Identifiers lists the paths of values that identify a key or token but are not secret.
	// While a value there is exactly the id of an AWS access key, a SHA-256 in base64, or a
	// keyed digest of Vault (hmac-sha256: and 64 digits), rules by name and detectors skip it.
	// Rules by path still apply.
	Identifiers []string `yaml:"identifiers"`

	// KeyHashes makes rules by name and detectors skip key hashes in the rows of LiteLLM's
	// key tables: token in before_value and updated_values, next to a table_name such as
	// LiteLLM_VerificationToken. Default: false.
	KeyHashes bool `yaml:"key_hashes"`

	// ChangedFields adds changed_fields to an event that has before_value and updated_values:
	// the names of the members of updated_values that differ from before_value, compared before
	// masking. Default: false.
	ChangedFields bool `yaml:"changed_fields"`

	// Pseudonyms selects what the pseudonyms of hmac, and equal texts of encrypt, depend on in
	// addition to value and key. separate: they differ by callback and by field, that is, by
	// the name of the nearest key (user_id is userId), so that nobody can join them; rules with
	// shared are excepted. shared: they are the same everywhere. A change breaks joins with
	// earlier data, so rotate the key at the same time. A policy with hmac or encrypt that does
	// not set pseudonyms gets a warning, since older versions used shared. Default: separate.
	Pseudonyms Pseudonyms `yaml:"pseudonyms"`

	// Except lists paths that the rules by name skip. Detectors and rules by path still
	// apply.
	Except []string `yaml:"except"`

	// ExceptNames lists key names that the rules by name skip, such as *_per_token.
	ExceptNames []string `yaml:"except_names"`

	// below is the number of entries of each list that come from a preset, so that errors count
	// from the first entry of the policy's author.
	below map[string]int
}

// Rule selects values, in one or more of three ways, and their operation.
type Rule struct {
	// Paths selects values by path: "*.password" (in before_value and updated_values alike),
	// **.~client_secret.
	Paths []string `yaml:"paths"`

	// Names selects keys at any depth, as people mean them: api_key is also apiKey,
	// API-KEY and api-key. A * at the beginning or end stands for more words next to a
	// separator (*_secret), and for any characters otherwise (*secret*).
	Names []string `yaml:"names"`

	// Detect names detectors, or groups of them (secrets, pii), including your own. Their
	// findings in strings are redacted. Numbers and keys with a finding are masked as a whole.
	Detect []string `yaml:"detect"`

	// SecretNames selects keys whose name indicates a secret: password, api_key, DB_TOKEN_EU,
	// Passwort. The name may also be the name of a pair ({name: API_TOKEN, value: ...}) or a
	// flag (--token). Default: false.
	SecretNames bool `yaml:"secret_names"`

	// Texts leaves numbers and booleans unchanged that names and secret_names select, such as
	// require_token: true. Detectors still apply. Default: false.
	Texts bool `yaml:"texts"`

	// Do is the operation: remove; mask (the value becomes ***); encrypt (with a key;
	// auditrelay decrypt restores the value); hmac (a keyed pseudonym, equal for equal values);
	// partial (*** and the last characters); truncate (the first characters).
	Do redaction.Operation `yaml:"do"`

	// Key names an entry of keys, for hmac and encrypt.
	Key string `yaml:"key"`

	// Shared makes the pseudonyms of this rule the same on every callback and in every field,
	// for joins. It is not needed if pseudonyms is shared for all rules. Default: false.
	Shared bool `yaml:"shared"`

	// Keep is the number of characters that stay, for partial and truncate. partial never keeps
	// more than half of the value.
	Keep int `yaml:"keep"`
}

// Opaque selects how to handle a text that should be JSON and is not.
type Opaque string

// The values of Opaque; the empty one means OpaqueText.
const (
	OpaqueText Opaque = "text"
	OpaqueMask Opaque = "mask"
)

// Pseudonyms selects what pseudonyms depend on in addition to value and key.
type Pseudonyms string

// The values of Pseudonyms; the empty one means PseudonymsSeparate.
const (
	PseudonymsShared   Pseudonyms = "shared"
	PseudonymsSeparate Pseudonyms = "separate"
)

// Separate reports whether pseudonyms differ by callback and field, except for shared rules.
func (o Options) Separate() bool { return o.Pseudonyms != PseudonymsShared }

// keyed reports whether a rule uses a key.
func (o Options) keyed() bool {
	return slices.ContainsFunc(o.Rules, func(r Rule) bool { return r.Do == redaction.Pseudonym || r.Do == redaction.Encrypt })
}

// Over returns the options merged with a preset. Both sets of rules and paths apply. If o does
// not set KeepOnly or Opaque, they are the preset's.
func (o Options) Over(preset Options) Options {
	out := preset
	out.Preset = o.Preset
	out.Rules = slices.Concat(preset.Rules, o.Rules)
	out.JSON = slices.Concat(preset.JSON, o.JSON)
	out.Digests = slices.Concat(preset.Digests, o.Digests)
	out.Identifiers = slices.Concat(preset.Identifiers, o.Identifiers)
	out.KeyHashes = preset.KeyHashes || o.KeyHashes
	out.ChangedFields = preset.ChangedFields || o.ChangedFields
	out.Except = slices.Concat(preset.Except, o.Except)
	out.ExceptNames = slices.Concat(preset.ExceptNames, o.ExceptNames)
	out.below = map[string]int{
		"rules": len(preset.Rules), "json": len(preset.JSON), "digests": len(preset.Digests), "identifiers": len(preset.Identifiers),
		"except": len(preset.Except), "except_names": len(preset.ExceptNames),
	}
	if o.Opaque != "" {
		out.Opaque = o.Opaque
	}
	if o.Pseudonyms != "" {
		out.Pseudonyms = o.Pseudonyms
	}
	if o.KeepOnly != nil {
		out.KeepOnly = o.KeepOnly
	}
	return out
}

// policy compiles the options. Every fault is an *auditrelay.OptionError.
func (o Options) policy(keys map[string]auditrelay.Key, detectors *detect.Catalogue) (*redaction.Policy, error) {
	p := redaction.Options{KeyHashes: o.KeyHashes, ChangedFields: o.ChangedFields, Detectors: detectors, KeepOnly: o.KeepOnly, JSON: o.JSON, Digests: o.Digests, Identifiers: o.Identifiers, Except: o.Except, ExceptNames: o.ExceptNames, OpaqueAll: o.Opaque == OpaqueMask, Keys: keys,
		// The digest of a policy without keys must not depend on a default that does not apply
		// to it.
		Separate: o.Separate() && (o.Pseudonyms != "" || o.keyed())}
	for _, r := range o.Rules {
		p.Rules = append(p.Rules, redaction.Rule{
			Paths: r.Paths, Names: r.Names, SecretNames: r.SecretNames, Detect: r.Detect, Texts: r.Texts, Do: r.Do, Key: r.Key, Keep: r.Keep, Shared: r.Shared,
		})
	}
	policy, err := redaction.New(p)
	var faults []error
	if err != nil {
		faults = o.optionErrors(err)
	}
	if o.Opaque != "" && o.Opaque != OpaqueText && o.Opaque != OpaqueMask {
		faults = append(faults, &auditrelay.OptionError{Path: "opaque", Err: errors.New("expected mask or text")})
	}
	if o.Pseudonyms != "" && o.Pseudonyms != PseudonymsShared && o.Pseudonyms != PseudonymsSeparate {
		faults = append(faults, &auditrelay.OptionError{Path: "pseudonyms", Err: errors.New("expected separate or shared")})
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return policy, nil
}

// optionErrors converts each fault of a policy to an *auditrelay.OptionError, which has its
// place.
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

// written returns a path such as rules[9].key with the index that the author counts.
func (o Options) written(path string) string {
	list, rest, ok := strings.Cut(path, "[")
	number, rest, closed := strings.Cut(rest, "]")
	i, err := strconv.Atoi(number)
	if !ok || !closed || err != nil || i < o.below[list] {
		return path
	}
	return list + "[" + strconv.Itoa(i-o.below[list]) + "]" + rest
}
