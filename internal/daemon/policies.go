package daemon

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"

	"auditrelay"
	"auditrelay/config"
	"auditrelay/runtime"
)

// tablePolicy is the table_name of the relay's own events about policies.
const tablePolicy = "auditrelay_policy"

// policyDigests are the policies in force by name, each with its digest.
type policyDigests map[string]string

// policiesOf are the policies of a configuration: those of native filters, by the
// filter's name, and what must not leave a callback.
func policiesOf(cfg *config.Config, native map[string]*nativeFilter) policyDigests {
	all := policyDigests{}
	for name, f := range native {
		all[name] = f.filter.Digest()
	}
	for i := range cfg.Callbacks {
		c := &cfg.Callbacks[i]
		if len(c.MustNotLeave.Detectors)+len(c.MustNotLeave.Paths) == 0 {
			continue
		}
		sum := sha256.Sum256(fmt.Appendf(nil, "%q\n%q", c.MustNotLeave.Detectors, c.MustNotLeave.Paths))
		all["callbacks/"+c.Name+"/must_not_leave"] = hex.EncodeToString(sum[:])
	}
	return all
}

func (d dataDir) lastPolicies() (policyDigests, error) {
	text, err := os.ReadFile(d.file("policies.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var last policyDigests
	if err := json.Unmarshal(text, &last); err != nil {
		return nil, fmt.Errorf("%s: %w", d.file("policies.json"), err)
	}
	return last, nil
}

func (d dataDir) setLastPolicies(p policyDigests) error {
	text, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(d.file("policies.json"), append(text, '\n'))
}

// recordPolicies tells of every policy that was made, changed or taken away since
// the relay last told of it: who did it, and the digests before and after. A crash
// after that has it told once more at the next start.
func (d *daemon) recordPolicies(ctx context.Context, by string) {
	now := d.build.policies
	last, err := d.data.lastPolicies()
	if err != nil {
		d.log.Error("which policies were in force is not known: all are told of anew", "error", err)
	}
	if maps.Equal(last, now) {
		return
	}
	err = nil
	names := slices.Sorted(maps.Keys(now))
	for name := range last {
		if _, ok := now[name]; !ok {
			names = append(names, name)
		}
	}
	type digest struct {
		Digest string `json:"digest"`
	}
	for _, name := range names {
		before, had := last[name]
		after, has := now[name]
		if before == after {
			continue
		}
		c := runtime.Change{Actor: by, Action: auditrelay.ActionUpdated, Table: tablePolicy, Object: name}
		if had {
			c.Before = digest{before}
		} else {
			c.Action = auditrelay.ActionCreated
		}
		if has {
			c.After = digest{after}
		} else {
			c.Action = auditrelay.ActionDeleted
		}
		err = errors.Join(err, d.rt.Record(ctx, c))
	}
	if err == nil {
		err = d.data.setLastPolicies(now)
	}
	if err != nil {
		d.log.Error("a change of policies could not be recorded", "error", err)
	}
}
