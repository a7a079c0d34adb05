package redact

import (
	"context"

	"auditrelay"
	"auditrelay/filter"
	"auditrelay/internal/detect"
	"auditrelay/internal/redaction"
)

// Filter redacts events by one policy. It is safe for concurrent use.
type Filter struct {
	policy *redaction.Policy
}

var (
	_ filter.Filter    = (*Filter)(nil)
	_ filter.Described = (*Filter)(nil)
	_ filter.Pure      = (*Filter)(nil)
	_ filter.Masker    = (*Filter)(nil)
	_ filter.Grouped   = (*Filter)(nil)
)

// New returns the filter of a policy, with the keys that its rules name. Resolve a preset with
// Over first. The error joins an *auditrelay.OptionError for each fault.
func New(o Options, keys map[string]auditrelay.Key) (*Filter, error) { return NewWith(o, keys, nil) }

// NewWith is New with an operator's detectors; nil means the built-in detectors.
func NewWith(o Options, keys map[string]auditrelay.Key, detectors *detect.Catalogue) (*Filter, error) {
	p, err := o.policy(keys, detectors)
	if err != nil {
		return nil, err
	}
	return &Filter{policy: p}, nil
}

// Digest identifies the policy; see filter.Description.
func (f *Filter) Digest() string { return f.policy.Digest() }

// Text returns YAML with everything that determines the policy's effect. Digest is its SHA-256.
// The caller must not change it.
func (f *Filter) Text() []byte { return f.policy.Text() }

// KeyNames returns the names of the keys for the policy's pseudonyms, sorted.
func (f *Filter) KeyNames() []string { return f.policy.KeyNames() }

// Describe implements filter.Described.
func (f *Filter) Describe() filter.Description {
	return filter.Description{Kind: "redact", Digest: f.policy.Digest()}
}

// Identity implements filter.Pure. A policy that separates pseudonyms by callback, or encrypts
// to a public key, has an identity that equals no other.
func (f *Filter) Identity() any {
	if !f.policy.Repeats() {
		return new(byte)
	}
	return f.policy.Identity()
}

// Open implements filter.Filter. Its pseudonyms are those of filters before the journal.
func (f *Filter) Open(ctx context.Context) (filter.Instance, error) { return f.OpenFor(ctx, "") }

// OpenFor implements filter.Grouped, since a policy may separate pseudonyms by callback.
func (f *Filter) OpenFor(_ context.Context, callback string) (filter.Instance, error) {
	return &instance{applier: f.policy.NewApplier(callback)}, nil
}

// Masks implements filter.Masker.
func (*Filter) Masks() {}

// Close implements filter.Filter.
func (*Filter) Close() error { return nil }

// instance belongs to one worker.
type instance struct {
	applier *redaction.Applier
	touched []filter.Touch
}

// Apply implements filter.Instance. It keeps every event.
func (i *instance) Apply(_ context.Context, call *filter.Call) (auditrelay.Verdict, error) {
	if err := i.applier.Apply(call.Document); err != nil {
		return auditrelay.NoVerdict, &filter.Error{Cause: auditrelay.CauseFail, Err: err}
	}
	i.touched = i.touched[:0]
	i.applier.Touched(i.touch)
	call.Touched = i.touched
	if call.Learn != nil {
		i.applier.Learned(call.Learn)
	}
	return auditrelay.Keep, nil
}

func (i *instance) touch(path, operation string, count int) {
	i.touched = append(i.touched, filter.Touch{Path: path, Operation: operation, Count: count})
}

// Close implements filter.Instance.
func (*instance) Close() error { return nil }
