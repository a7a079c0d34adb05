package app

import (
	"errors"
	"testing"

	"auditrelay/config"
	"auditrelay/runtime"
)

// TestARolloutThatCannotBeOpened: if a rollout's version does not load any more, the result is
// no filter, not a typed nil: the runtime would close it and crash.
func TestARolloutThatCannotBeOpened(t *testing.T) {
	a := newAssembler(t, nil)
	cfg, err := config.Parse("relay.yaml", []byte(`
filters:
  rules: {module: rules}
  mask: {redact: {rules: [{paths: [changed_by], do: mask}]}}
callbacks: [{name: one, filters: [rules, mask], sink: {stdout: {}}}]
`), a.loadOptions("relay.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{cfg: cfg, build: assembler{log: a.log}}
	code := func(string) ([]byte, error) { return []byte("no module"), nil }
	for _, o := range []runtime.Rollout{
		{Filter: "rules", Kind: kindModule, Digest: "00"},
		{Filter: "mask", Kind: kindPolicy, Policy: "rules: [{paths: [a], do: nonsense}]"},
		{Filter: "mask", Kind: kindPolicy, Policy: "rules: ["},
		{Filter: "nobody", Kind: kindModule},
	} {
		if f, err := d.openRollout(t.Context(), code, o); f != nil || err == nil {
			t.Errorf("%s: %T, %v", o.Filter, f, err)
		}
	}
}

// TestARolloutThatWasTakenBack: the next start knows a rollback that the journal could not
// record, for that rollout only.
func TestARolloutThatWasTakenBack(t *testing.T) {
	a := newAssembler(t, nil)
	cfg, err := config.Parse("relay.yaml", []byte(`
filters: {mask: {redact: {rules: [{paths: [changed_by], do: mask}]}}}
callbacks: [{name: one, filters: [mask], sink: {stdout: {}}}]
`), a.loadOptions("relay.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{cfg: cfg, build: assembler{log: a.log}, data: dataDir(t.TempDir())}
	o := runtime.Rollout{ID: "1a", Filter: "mask", Kind: kindPolicy, Policy: "rules: [{paths: [object_id], do: mask}]"}
	open := func() error {
		f, err := d.openRollout(t.Context(), nil, o)
		if f != nil {
			_ = f.Close()
		}
		return err
	}
	if err := open(); err != nil {
		t.Fatal(err)
	}
	if err := d.data.setTakenBack(&runtime.TakenBackError{ID: "1a", By: "ann"}); err != nil {
		t.Fatal(err)
	}
	if taken, ok := errors.AsType[*runtime.TakenBackError](open()); !ok || taken.By != "ann" || taken.ID != "1a" {
		t.Errorf("got %+v", taken)
	}
	o.ID = "2b"
	if err := open(); err != nil {
		t.Errorf("another one: %v", err)
	}
}
