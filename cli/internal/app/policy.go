package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"

	"auditrelay"
	"auditrelay/builtin/redact"
	"auditrelay/config"
	"auditrelay/document"
	"auditrelay/filter"
	"auditrelay/internal/detect"
	"auditrelay/internal/exposure"
)

// Policy is a policy of the native filter outside a running relay, to be shown or to be tried
// on events.
type Policy struct {
	// Name is the name by which it was opened.
	Name string
	// Text is its original YAML. Preset is the name of the preset that it extends.
	Text   []byte
	Preset string

	filter   *redact.Filter
	instance filter.Instance
	document document.Document
}

// OpenPolicy opens the policy with a name: a preset, a file with only a policy, or FILE:FILTER,
// a filter of a configuration. A policy without a configuration has no keys, so it makes
// pseudonyms with random ones.
func OpenPolicy(ctx context.Context, name string, sinks map[string]SinkMaker) (*Policy, error) {
	section, keys, detectors, err := findPolicy(name, sinks)
	if err != nil {
		return nil, err
	}
	p, err := newPolicy(ctx, name, section, keys, detectors)
	if err == nil && slices.Contains(redact.Presets(), name) {
		p.Text, err = redact.Preset(name) // including its comments
	}
	return p, err
}

// newPolicy opens the policy of a section. Without keys it uses random ones.
func newPolicy(ctx context.Context, name string, section config.Section, keys map[string]auditrelay.Key, detectors *detect.Catalogue) (*Policy, error) {
	p := &Policy{Name: name, Text: section.Text()}
	o, err := redactOptions(section)
	if err != nil {
		return nil, section.Explain(err)
	}
	p.Preset = o.Preset
	if keys == nil {
		keys = map[string]auditrelay.Key{}
		for _, r := range o.Rules {
			if r.Key != "" {
				keys[r.Key] = auditrelay.Key{Secret: auditrelay.Secret(rand.Text())}
			}
		}
	}
	if p.filter, err = makeRedact(section, keys, detectors); err != nil {
		return nil, section.Explain(err)
	}
	p.instance, err = p.filter.Open(ctx)
	return p, err
}

// Presets returns the names of the built-in policies.
func Presets() []string { return redact.Presets() }

func findPolicy(name string, sinks map[string]SinkMaker) (config.Section, map[string]auditrelay.Key, *detect.Catalogue, error) {
	if slices.Contains(redact.Presets(), name) {
		text, err := redact.Preset(name)
		if err != nil {
			return config.Section{}, nil, nil, err
		}
		section, err := config.ReadSection("preset "+name, text)
		return section, nil, nil, err
	}
	if file, filterName, ok := cutLast(name, ':'); ok {
		return configuredPolicy(file, filterName, sinks)
	}
	text, err := config.Read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return config.Section{}, nil, nil, fmt.Errorf("%s is neither a preset (%s) nor a file; FILE:FILTER names a filter of a configuration", name, strings.Join(redact.Presets(), ", "))
	}
	if err != nil {
		return config.Section{}, nil, nil, err
	}
	section, err := config.ReadSection(name, text)
	return section, nil, nil, err
}

func configuredPolicy(file, name string, sinks map[string]SinkMaker) (config.Section, map[string]auditrelay.Key, *detect.Catalogue, error) {
	makers, err := sinkMakers(sinks)
	if err != nil {
		return config.Section{}, nil, nil, err
	}
	cfg, err := (&assembler{file: file, makers: makers, log: slog.New(slog.DiscardHandler)}).loadConfig(file)
	if err == nil {
		cfg, err = withPoliciesOf(cfg)
	}
	if err != nil {
		return config.Section{}, nil, nil, err
	}
	for i := range cfg.Filters {
		f := &cfg.Filters[i]
		switch {
		case f.Name != name:
		case !f.Native():
			return config.Section{}, nil, nil, fmt.Errorf("filter %s of %s is a guest, and has no policy", name, file)
		default:
			return *f.Redact, cfg.CurrentKeys(), cfg.Catalogue(), nil
		}
	}
	return config.Section{}, nil, nil, fmt.Errorf("%s has no filter %s", file, name)
}

func cutLast(s string, sep byte) (before, after string, ok bool) {
	if i := strings.LastIndexByte(s, sep); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

// Digest identifies the policy's effect.
func (p *Policy) Digest() string { return p.filter.Digest() }

// Redacted is the result of a policy for one event.
type Redacted struct {
	Data    []byte
	Touched []filter.Touch
	Leaves  map[string]string // the exposed values, as JSON, by path, including paths inside strings
}

// Redact applies the policy to an event.
func (p *Policy) Redact(ctx context.Context, event []byte) (Redacted, error) {
	p.document.Reset(event)
	call := filter.Call{Event: &auditrelay.Event{Data: event}, Document: &p.document}
	if _, err := p.instance.Apply(ctx, &call); err != nil {
		return Redacted{}, fmt.Errorf("policy %s: %w", p.Name, err)
	}
	return Redacted{Data: p.document.Append(nil), Touched: slices.Clone(call.Touched), Leaves: exposure.Leaves(&p.document)}, nil
}
