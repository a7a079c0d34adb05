package app

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"auditrelay"
	"auditrelay/cli/internal/api"
	"auditrelay/cli/internal/inspect"
	"auditrelay/config"
	"auditrelay/runtime"
)

// The table_name of the relay's own events about policies, and about the detectors.
const (
	tablePolicy    = "auditrelay_policy"
	tableDetectors = "auditrelay_detectors"
)

// policyDigests are the policies in force by name, each with its digest.
type policyDigests map[string]string

// policyChanges tell of every policy that was made, changed or taken away since the
// relay last told of it: who did it, and the digests before and after. They do the same
// for the detectors, which change with the program or with the configuration.
func (d *daemon) policyChanges(by runtime.By, texts []runtime.Text) (all []runtime.Change, recorded func()) {
	policies, detectors := policyDigests{}, policyDigests{}
	for _, t := range texts {
		switch t.Kind {
		case textDetectors:
			detectors[t.Name] = t.Digest
		case textPolicy, textGate:
			policies[t.Name] = t.Digest
		}
	}
	type shown struct {
		Digest string `json:"digest"`
	}
	show := func(digest string) any { return shown{digest} }
	ofPolicies, done := told[string]{file: d.data.file("policies.json"), table: tablePolicy, show: show}.changes(d, by, policies)
	ofDetectors, doneToo := told[string]{file: d.data.file("detectors.json"), table: tableDetectors, show: show, quiet: true}.changes(d, by, detectors)
	return append(ofPolicies, ofDetectors...), func() {
		done()
		doneToo()
	}
}

// What a kept text is of.
const (
	textPolicy    = "policy"
	textGate      = "must_not_leave"
	textDetectors = "detectors"
	textConfig    = "config" // of a callback with its filters, or the whole
	textModule    = "module" // what can be told of a guest's module, as JSON
)

// configTexts are the configuration, by the digest that the relay's own records name, and
// that of each callback, by the digest that receipts name. Secrets are hidden in them.
// Beside them stands what can be told of each filter's module.
func (a *assembler) configTexts(cfg *config.Config) ([]runtime.Text, error) {
	whole, err := cfg.Text()
	if err != nil {
		return nil, err
	}
	all := []runtime.Text{{Digest: cfg.Digest(a.digestKey), Kind: textConfig, Name: "config", Text: string(whole)}}
	for i := range cfg.Callbacks {
		c := &cfg.Callbacks[i]
		text, err := cfg.CallbackText(c.Name)
		if err != nil {
			return nil, err
		}
		all = append(all, runtime.Text{Digest: cfg.CallbackDigest(a.digestKey, c), Kind: textConfig, Name: c.Name, Text: string(text)})
	}
	for i := range cfg.Filters {
		f := &cfg.Filters[i]
		if f.Wasm == "" {
			continue // native, or uploaded: those are kept themselves
		}
		code, err := readBounded(f.Wasm, runtime.MaxModuleBytes)
		if err != nil {
			return nil, err
		}
		text, err := moduleText(f.Name, code)
		if err != nil {
			return nil, err
		}
		all = append(all, text)
	}
	return all, nil
}

// moduleText is what can be told of a module.
func moduleText(name string, code []byte) (runtime.Text, error) {
	seen := inspect.Module(name, code)
	text, err := json.Marshal(seen)
	return runtime.Text{Digest: seen.SHA256, Kind: textModule, Name: name, Text: string(text)}, err
}

// keptModule is what is kept of a module that is not uploaded, or no more.
func (d *daemon) keptModule(prefix string) (seen api.Inspection, err error) {
	t, err := d.keptText(prefix, "auditrelay module list; of others it is kept as long as receipts name them", textModule)
	if err == nil {
		err = json.Unmarshal([]byte(t.Text), &seen)
	}
	return seen, err
}

// ConfigText returns the text of a configuration, or of a callback's, in force now or
// before, by its digest.
func (d *daemon) ConfigText(prefix string) (api.KeptText, error) {
	return d.keptText(prefix, "receipts name the digest of the callback's configuration; a text goes with the last receipt from its time", textConfig)
}

// objectDetectors is the object_id of events about a change of the detectors: of the
// shipped rules, with the program, or of the configuration's own.
const objectDetectors = "detectors"

// policiesOf are the texts of all that decides what is redacted and what may leave: the
// policies of native filters, by the filter's name, what must not leave a callback, and
// the detectors, whose digest is part of both.
func policiesOf(cfg *config.Config, native map[string]*nativeFilter) []runtime.Text {
	detectors := cfg.Catalogue()
	all := []runtime.Text{{Digest: detectors.Digest(), Kind: textDetectors, Name: objectDetectors, Text: string(detectors.Text())}}
	for name, f := range native {
		all = append(all, runtime.Text{Digest: f.filter.Digest(), Kind: textPolicy, Name: name, Text: string(f.filter.Text())})
	}
	for i := range cfg.Callbacks {
		c := &cfg.Callbacks[i]
		if len(c.MustNotLeave.Detectors)+len(c.MustNotLeave.Paths) == 0 {
			continue
		}
		text := gateText(&c.MustNotLeave, detectors.Digest())
		sum := sha256.Sum256(text)
		all = append(all, runtime.Text{Digest: hex.EncodeToString(sum[:]), Kind: textGate, Name: gateName(c.Name), Text: string(text)})
	}
	return all
}

// gateName is the name of a callback's must_not_leave among the texts.
func gateName(callback string) string { return "callbacks/" + callback + "/must_not_leave" }

// gateText is all that a gate goes by, as YAML in one fixed form.
func gateText(m *auditrelay.MustNotLeave, detectors string) []byte {
	var b bytes.Buffer
	if len(m.Detectors) > 0 {
		fmt.Fprintf(&b, "detectors: %s\n", detectors)
	}
	b.WriteString("must_not_leave:\n")
	if len(m.Detectors) > 0 {
		fmt.Fprintf(&b, "  detectors: %s\n", jsonList(m.Detectors))
	}
	if len(m.Paths) > 0 {
		fmt.Fprintf(&b, "  paths: %s\n", jsonList(m.Paths))
	}
	return b.Bytes()
}

// jsonList is a list that YAML and JSON read alike.
func jsonList(items []string) []byte {
	text, _ := json.Marshal(items) // strings: it cannot fail
	return text
}

// inForce tells the runtime which texts decide from now on.
func (d *daemon) inForce(texts []runtime.Text) {
	var digests []string
	for _, t := range texts {
		digests = append(digests, t.Digest)
	}
	if err := d.rt.Texts().InForce(digests...); err != nil {
		d.log.Error("cannot mark which policies are no longer in force", "error", err)
	}
}

// PolicyText returns the text of a policy, of a callback's must_not_leave, or of the
// detectors, in force now or before, by its digest.
func (d *daemon) PolicyText(prefix string) (api.KeptText, error) {
	return d.keptText(prefix, "receipts name the policy's digest; a text goes with the last receipt from its time", textPolicy, textGate, textDetectors)
}

// keptText returns a text of one of the kinds.
func (d *daemon) keptText(prefix, hint string, kinds ...string) (api.KeptText, error) {
	prefix = strings.ToLower(prefix)
	if !digestPrefix.MatchString(prefix) {
		return api.KeptText{}, refusal(http.StatusBadRequest, api.ReasonBadRequest, "", "digest: expected 8 to 64 hexadecimal digits")
	}
	t, err := d.rt.Texts().Get(prefix)
	switch {
	case errors.Is(err, runtime.ErrTextPrefix):
		return api.KeptText{}, refusal(http.StatusConflict, api.ReasonConflict, "give more of it", "several digests begin with %s", prefix)
	case errors.Is(err, runtime.ErrNoText), err == nil && !slices.Contains(kinds, t.Kind):
		return api.KeptText{}, refusal(http.StatusNotFound, api.ReasonNotFound, hint, "no kept text has the digest %s (looked for: %s)", prefix, strings.Join(kinds, ", "))
	case err != nil:
		return api.KeptText{}, err
	}
	return api.KeptText(t), nil
}
