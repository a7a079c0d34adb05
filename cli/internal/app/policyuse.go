package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"auditrelay/builtin/redact"
	"auditrelay/cli/internal/api"
	"auditrelay/config"
	"auditrelay/runtime"
)

// selectedPolicies are the policies that replace those of the configuration, by filter. A file
// of the data directory has them. It is read before any event is processed, and backups contain
// it.
type selectedPolicies map[string]selectedPolicy

// selectedPolicy is the policy in force of one native filter. It applies while the
// configuration has the policy that it had at the selection.
type selectedPolicy struct {
	Configured string `json:"configured"`         // SHA-256 of the configuration's policy
	Policy     string `json:"policy,omitempty"`   // YAML; empty means the configuration's
	Previous   string `json:"previous,omitempty"` // the previous policy; empty means the configuration's
	// From is the first sequence that it processes, by callback.
	From map[string]uint64 `json:"from,omitempty"`
	At   time.Time         `json:"at"`
	By   string            `json:"by"`
	// For the own record, which the next start writes after a crash.
	Address    string `json:"address,omitempty"`
	Credential string `json:"credential,omitempty"`
	Reason     string `json:"reason,omitempty"`
}

const (
	policiesFile = "selected-policies.json"
	maxPolicy    = 256 << 10
)

func (d dataDir) selectedPolicies() (selectedPolicies, error) {
	text, err := os.ReadFile(d.file(policiesFile))
	if errors.Is(err, fs.ErrNotExist) {
		return selectedPolicies{}, nil
	}
	var all selectedPolicies
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil {
		return nil, fmt.Errorf("the policies that were selected instead of the configuration's: %w; restore the file, or remove it to apply the configuration's policies", err)
	}
	return all, nil
}

func (d dataDir) selectPolicies(all selectedPolicies) error {
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	return WriteFile(d.file(policiesFile), append(text, '\n'))
}

// copyPolicies copies the selected policies, if there are any, from one directory to another:
// into a backup, or out of one.
func copyPolicies(from, to string) error {
	text, err := os.ReadFile(filepath.Join(from, policiesFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return WriteFile(filepath.Join(to, policiesFile), text)
}

// withSelected returns cfg with the selected policies. lapsed are the filters whose policy in
// the configuration has changed since; there the configuration's policy applies.
func withSelected(cfg *config.Config, all selectedPolicies) (_ *config.Config, lapsed []string, err error) {
	for name, s := range all {
		if !s.holds(cfg, name) {
			lapsed = append(lapsed, name)
			continue
		}
		if s.Policy == "" {
			continue
		}
		section, f, err := readPolicy(cfg, s.Policy)
		if err != nil {
			return nil, nil, fmt.Errorf("the policy that was selected for filter %s: %w", name, err)
		}
		cfg = cfg.WithPolicy(name, section, f.KeyNames())
	}
	slices.Sort(lapsed)
	return cfg, lapsed, nil
}

func readPolicy(cfg *config.Config, text string) (config.Section, *redact.Filter, error) {
	section, err := config.ReadSection("policy", []byte(text))
	if err != nil {
		return section, nil, err
	}
	f, err := makeRedact(section, cfg.CurrentKeys(), cfg.Catalogue())
	return section, f, section.Explain(err)
}

// readSelected parses a selected policy of filter f. An empty one means the configuration's.
func readSelected(cfg *config.Config, f config.Filter, policy string) (*redact.Filter, error) {
	if policy != "" {
		_, filter, err := readPolicy(cfg, policy)
		return filter, err
	}
	filter, err := makeRedact(*f.Redact, cfg.CurrentKeys(), cfg.Catalogue())
	return filter, f.Redact.Explain(err)
}

// holds reports whether the selection of a filter applies under a configuration.
func (s selectedPolicy) holds(cfg *config.Config, filter string) bool {
	i := slices.IndexFunc(cfg.Filters, func(f config.Filter) bool { return f.Name == filter && f.Native() })
	return i >= 0 && !s.At.IsZero() && s.Configured == digestOfText(cfg.Filters[i].Redact.Text())
}

// UsePolicy puts another policy of a native filter in force. The callbacks that list the filter
// change between two chunks. Nothing else of the configuration changes, even if its file has
// changed.
func (d *daemon) UsePolicy(ctx context.Context, name string, want api.UsePolicy, by runtime.By) (api.PolicyUsed, error) {
	if err := d.rolling(name); err != nil {
		return api.PolicyUsed{}, err
	}
	return d.usePolicy(ctx, name, want, by)
}

func (d *daemon) usePolicy(ctx context.Context, name string, want api.UsePolicy, by runtime.By) (api.PolicyUsed, error) {
	ctx, done, err := d.change(ctx)
	if err != nil {
		return api.PolicyUsed{}, err
	}
	defer done()
	if btoi(want.Policy != "")+btoi(want.Previous)+btoi(want.Configured) != 1 {
		return api.PolicyUsed{}, badField("", "expected one of policy, previous and configured")
	}
	if len(want.Policy) > maxPolicy {
		return api.PolicyUsed{}, badField("policy", "%d bytes, at most %d", len(want.Policy), maxPolicy)
	}
	plain := d.configured // changing is held, so it may be read
	i := slices.IndexFunc(plain.Filters, func(f config.Filter) bool { return f.Name == name && f.Native() })
	if i < 0 {
		return api.PolicyUsed{}, refusal(http.StatusNotFound, api.ReasonNotFound, "auditrelay policy list --running shows those that there are", "no native filter %.64q", name)
	}
	all, err := d.data.selectedPolicies()
	if err != nil {
		return api.PolicyUsed{}, err
	}
	before, configured := all[name], digestOfText(plain.Filters[i].Redact.Text())
	had := before.holds(plain, name)
	if !had {
		before = selectedPolicy{}
	}
	next := selectedPolicy{Configured: configured, Policy: want.Policy, Previous: before.Policy, At: time.Now().UTC(),
		By: by.Principal, Address: by.Address, Credential: by.Credential, Reason: by.Reason}
	if want.Previous {
		if !had {
			return api.PolicyUsed{}, refusal(http.StatusConflict, api.ReasonConflict, "", "filter %s has had no other policy", name)
		}
		next.Policy = before.Previous
	}
	filter, err := readSelected(plain, plain.Filters[i], next.Policy)
	if err != nil {
		return api.PolicyUsed{}, &api.Error{Status: http.StatusUnprocessableEntity, Reason: api.ReasonConfig, Field: "policy", Message: err.Error()}
	}
	used := api.PolicyUsed{Filter: name, Before: d.policyDigest(name), Digest: filter.Digest()}
	if err := by.Check(used.Before); err != nil {
		return used, fmt.Errorf("policy of filter %s: %w", name, err)
	}
	changed := maps.Clone(all)
	if used.Before != used.Digest { // otherwise the previous policy stays, and the request is on record
		changed[name] = next
	}
	if err := d.applyPolicies(ctx, plain, all, changed, by); err != nil || used.Before == used.Digest {
		return used, err
	}
	used.Changed, used.From = true, d.rt.Begins(d.users(name))
	next.From = used.From
	changed[name] = next
	if err := d.data.selectPolicies(changed); err != nil { // it applies nevertheless
		d.log.Error("the sequence from which a policy holds was not kept", "filter", name, "error", err)
	}
	d.log.Info("a filter has another policy", "filter", name, "before", used.Before, "after", used.Digest, "from", used.From, "by", by.Principal)
	return used, nil
}

// applyPolicies puts the configuration with other selected policies in force, all or none.
func (d *daemon) applyPolicies(ctx context.Context, plain *config.Config, before, after selectedPolicies, by runtime.By) error {
	cfg, _, err := withSelected(plain, after)
	if err != nil {
		return err
	}
	made, err := d.prepare(ctx, plain, cfg)
	if err != nil {
		return err
	}
	// Durable before it is in force: after a crash in between, the new one applies.
	if err := d.selectPolicies(after); err != nil {
		d.discard(made)
		return fmt.Errorf("select a policy: %w", err)
	}
	if _, err := d.enforce(ctx, made, "use", by); err != nil {
		return errors.Join(err, d.selectPolicies(before))
	}
	return nil
}

// attribute sets the user who selected a policy in the own records of a start, if the relay was
// killed between the selection and its record.
func (d *daemon) attribute(changes []runtime.Change) {
	all, err := d.data.selectedPolicies()
	if err != nil {
		return // the start reports the error
	}
	for i := range changes {
		c := &changes[i]
		if s := all[c.Object]; c.Table == tablePolicy && s.holds(d.configured, c.Object) {
			c.Act, c.By = "use", runtime.By{Principal: s.By, Address: s.Address, Credential: s.Credential, Reason: s.Reason}
		}
	}
}

// policyDigest returns the digest of a filter's policy in force, or "" if there is none.
func (d *daemon) policyDigest(name string) string {
	all, err := d.ListPolicies()
	if err != nil {
		return ""
	}
	for _, p := range all {
		if p.Kind == textPolicy && p.Name == name {
			return p.Digest
		}
	}
	return ""
}

func digestOfText(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// forgetPolicies deletes selections that no longer apply, so that they do not apply again if
// the configuration changes back.
func (d *daemon) forgetPolicies(lapsed []string) {
	if len(lapsed) == 0 {
		return
	}
	all, err := d.data.selectedPolicies()
	if err == nil {
		for _, name := range lapsed {
			d.log.Warn("the configuration's policy for this filter changed after another one was selected: the configuration's applies", "filter", name)
			delete(all, name)
		}
		err = d.selectPolicies(all)
	}
	if err != nil {
		d.log.Error("selections of policies that no longer hold could not be forgotten", "error", err)
	}
}
