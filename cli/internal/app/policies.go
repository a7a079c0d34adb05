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

// The table_names of own records about policies, and about the detectors.
const (
	tablePolicy    = "auditrelay_policy"
	tableDetectors = "auditrelay_detectors"
)

// policyDigests has the digest of each policy in force, by name.
type policyDigests map[string]string

// policyChanges returns own records of every policy that was created, changed or removed since
// the relay last recorded it, with the user and both digests. It does the same for the
// detectors, which change with the program or with the configuration.
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

// The kinds of stored texts.
const (
	textPolicy    = "policy"
	textGate      = "must_not_leave"
	textDetectors = "detectors"
	textConfig    = "config" // a callback with its filters, or the whole configuration
	textModule    = "module" // the properties of a guest's module, as JSON
)

// configTexts returns the configuration by its digest in own records, and the part of each
// callback by its digest in receipts. Secrets are hidden. It also returns the properties of
// each filter's module.
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
			continue // native, or uploaded and stored separately
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

// moduleText returns the properties of a module.
func moduleText(name string, code []byte) (runtime.Text, error) {
	seen := inspect.Module(name, code)
	text, err := json.Marshal(seen)
	return runtime.Text{Digest: seen.SHA256, Kind: textModule, Name: name, Text: string(text)}, err
}

// keptModule returns the stored properties of a module that is not, or no longer, uploaded.
func (d *daemon) keptModule(prefix string) (seen api.Inspection, err error) {
	t, err := d.keptText(prefix, "auditrelay module list; of others it is kept as long as receipts name them", textModule)
	if err == nil {
		err = json.Unmarshal([]byte(t.Text), &seen)
	}
	return seen, err
}

// ConfigText returns the text of a configuration, or of a callback's part, in force now or
// before, by its digest.
func (d *daemon) ConfigText(prefix string) (api.KeptText, error) {
	return d.keptText(prefix, "receipts name the digest of the callback's configuration; a text goes with the last receipt from its time", textConfig)
}

// objectDetectors is the object_id of events about a change of the detectors, whether of the
// program's rules or of the configuration's.
const objectDetectors = "detectors"

// policiesOf returns the texts of everything that decides about redaction and the gate: the
// policies of native filters by filter name, must_not_leave by callback, and the detectors,
// whose digest is part of both.
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

// gateName returns the name of a callback's must_not_leave among the texts.
func gateName(callback string) string { return "callbacks/" + callback + "/must_not_leave" }

// gateText returns everything that determines a gate, as YAML in a canonical form.
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

// jsonList returns a list that is valid in YAML and JSON.
func jsonList(items []string) []byte {
	text, _ := json.Marshal(items) // cannot fail: strings only
	return text
}

// inForce tells the runtime which texts are in force from now on.
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
