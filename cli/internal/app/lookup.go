package app

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"time"

	"auditrelay"
	"auditrelay/cli/internal/api"
	"auditrelay/config"
	"auditrelay/internal/redaction"
	"auditrelay/runtime"
)

// tableLookUp is the table_name of own records about look-ups.
const tableLookUp = "auditrelay_lookup"

// LookUp returns the pseudonyms of a value under all versions of the keys in use. It first
// records the look-up durably; if that fails, it returns nothing.
func (d *daemon) LookUp(ctx context.Context, want api.LookUp, by runtime.By) (api.LookedUp, error) {
	d.mu.Lock()
	cfg, digestKey := d.cfg, d.build.digestKey
	d.mu.Unlock()
	uses, err := keyUses(cfg, want)
	if err != nil {
		return api.LookedUp{}, err
	}
	err = d.rt.Record(ctx, runtime.Change{
		By: by, Act: "look up", Action: auditrelay.ActionCreated, Table: tableLookUp,
		Object: keyedDigest(digestKey, "look-up", want.Value), After: lookedUpWith(cfg, uses),
	})
	if err != nil {
		d.log.Error("a look-up was refused, since it could not be recorded", "by", by.Principal, "error", err)
		return api.LookedUp{}, &api.Error{
			Status: http.StatusServiceUnavailable, Reason: api.ReasonUnavailable,
			Message: "the look-up was refused, since it cannot be recorded", RetryAfter: time.Second,
		}
	}
	answer := api.LookedUp{Pseudonyms: []api.Pseudonym{}}
	for _, use := range uses {
		key := cfg.Keys[use.key]
		for _, number := range key.Numbers() {
			p := api.Pseudonym{Callback: use.callback, Filter: use.filter, Key: use.key, Version: number, Current: number == key.Current}
			made := redaction.NewPseudonymiser(use.key, key.At(number))
			p.Destroyed = key.Versions[number].Destroyed
			if p.Separate = use.separate; p.Separate {
				p.Field = want.Field
			}
			switch {
			case p.Destroyed:
			case !p.Separate:
				p.Pseudonym = string(made.Append(nil, []byte(want.Value)))
			case p.Field != "":
				p.Pseudonym = string(made.AppendAt(nil, []byte(want.Value), redaction.Place{Callback: use.callback, Field: []byte(want.Field)}))
			}
			answer.Pseudonyms = append(answer.Pseudonyms, p)
		}
	}
	return answer, nil
}

// keyUse is a key with which a filter makes pseudonyms for a callback. callback is empty for
// filters before the journal, which affect all callbacks. separate: the pseudonyms are only for
// fields of that callback.
type keyUse struct {
	callback, filter, key string
	separate              bool
}

// keyUses returns the uses that a look-up covers, in the configuration's order.
func keyUses(cfg *config.Config, want api.LookUp) ([]keyUse, error) {
	if _, known := cfg.Keys[want.Key]; !known && want.Key != "" {
		return nil, refusal(http.StatusNotFound, api.ReasonNotFound, "keys in the configuration lists what there is", "there is no key of this name")
	}
	byName := map[string]*config.Filter{}
	for i := range cfg.Filters {
		byName[cfg.Filters[i].Name] = &cfg.Filters[i]
	}
	var uses []keyUse
	add := func(callback string, filters []string) {
		for _, name := range filters {
			for _, key := range byName[name].KeyNames() {
				if want.Key != "" && want.Key != key {
					continue
				}
				made, separate := usedAs(byName[name], key)
				if made { // data from before the policy was separate has it too
					uses = append(uses, keyUse{callback, name, key, false})
				}
				if separate {
					uses = append(uses, keyUse{callback, name, key, true})
				}
			}
		}
	}
	add("", cfg.Ingest.Filters)
	found := want.Callback == ""
	for i := range cfg.Callbacks {
		if c := &cfg.Callbacks[i]; want.Callback == "" || want.Callback == c.Name {
			found = true
			add(c.Name, c.Filters)
		}
	}
	if !found {
		return nil, refusal(http.StatusNotFound, api.ReasonNotFound, "auditrelay callbacks lists what there is", "there is no callback of this name")
	}
	return uses, nil
}

// usedAs reports whether a filter makes pseudonyms with a key, and whether some are separate by
// callback and field.
func usedAs(f *config.Filter, key string) (made, separate bool) {
	if !f.Native() {
		return true, false
	}
	o, err := redactOptions(*f.Redact)
	if err != nil {
		return true, false // already checked
	}
	for i := range o.Rules {
		if r := &o.Rules[i]; r.Key == key && r.Do == redaction.Pseudonym {
			made, separate = true, separate || o.Separate() && !r.Shared
		}
	}
	return made, separate
}

// lookUpRecord describes a look-up in an own record, without the value and its pseudonyms.
type lookUpRecord struct {
	Callbacks []string `json:"callbacks"`
	Keys      []string `json:"keys"` // with versions, as in pseudonyms
}

func lookedUpWith(cfg *config.Config, uses []keyUse) lookUpRecord {
	callbacks, keys := map[string]bool{}, map[string]bool{}
	for _, use := range uses {
		if use.callback != "" {
			callbacks[use.callback] = true
		}
		key := cfg.Keys[use.key]
		for _, number := range key.Numbers() {
			if !key.Versions[number].Destroyed {
				keys[key.At(number).Label(use.key)] = true
			}
		}
	}
	return lookUpRecord{Callbacks: sorted(callbacks), Keys: sorted(keys)}
}

// sorted returns the names in a set, never nil.
func sorted(set map[string]bool) []string {
	names := slices.AppendSeq([]string{}, maps.Keys(set))
	slices.Sort(names)
	return names
}
