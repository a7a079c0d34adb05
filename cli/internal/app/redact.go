package app

import (
	"errors"

	"auditrelay"
	"auditrelay/builtin/redact"
	"auditrelay/config"
	"auditrelay/internal/detect"
	"auditrelay/runtime"
)

// nativeFilter is a filter that is not a guest.
type nativeFilter struct {
	filter *redact.Filter
	config *config.Filter
}

func (f *nativeFilter) step() runtime.Step {
	return runtime.Step{Name: f.config.Name, Filter: f.filter, OnError: f.config.OnError}
}

// native creates the native filters of a configuration.
func (a *assembler) native(cfg *config.Config) (map[string]*nativeFilter, error) {
	made := map[string]*nativeFilter{}
	var errs []error
	for i := range cfg.Filters {
		f := &cfg.Filters[i]
		if !f.Native() {
			continue
		}
		one, err := makeRedact(*f.Redact, cfg.CurrentKeys(), cfg.Catalogue())
		if err != nil {
			errs = append(errs, f.Redact.Explain(err))
			continue
		}
		made[f.Name] = &nativeFilter{filter: one, config: f}
	}
	return made, errors.Join(errs...)
}

// makeRedact creates the filter of a policy.
func makeRedact(section config.Section, keys map[string]auditrelay.Key, detectors *detect.Catalogue) (*redact.Filter, error) {
	o, decoded := redactOptions(section)
	f, err := redact.NewWith(o, keys, detectors)
	if err := errors.Join(decoded, err); err != nil {
		return nil, err
	}
	return f, nil
}

// redactOptions decodes a policy and merges it with its preset. With an error it returns what
// could be decoded.
func redactOptions(section config.Section) (redact.Options, error) {
	var o redact.Options
	err := section.Decode(&o)
	if section.Has("keep_only") && o.KeepOnly == nil {
		err = errors.Join(err, &auditrelay.OptionError{Path: "keep_only", Err: errors.New("nothing is listed: write [] to keep nothing, or leave the key out to keep everything")})
	}
	if o.Preset == "" {
		return o, err
	}
	preset, unknown := presetOptions(o.Preset)
	if unknown != nil {
		return o, errors.Join(err, &auditrelay.OptionError{Path: "preset", Err: unknown})
	}
	return o.Over(preset), err
}

func presetOptions(name string) (redact.Options, error) {
	var o redact.Options
	text, err := redact.Preset(name)
	if err != nil {
		return o, err
	}
	section, err := config.ReadSection("preset "+name, text)
	if err != nil {
		return o, err
	}
	return o, section.Decode(&o)
}
