package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"auditrelay/config"
)

// tablePolicy is the table_name of the relay's own events about policies.
const tablePolicy = "auditrelay_policy"

// policyDigests are the policies in force by name, each with its digest.
type policyDigests map[string]string

// recordPolicies tells of every policy that was made, changed or taken away since
// the relay last told of it: who did it, and the digests before and after.
func (d *daemon) recordPolicies(ctx context.Context, by string, policies policyDigests) {
	type shown struct {
		Digest string `json:"digest"`
	}
	told[string]{
		file: d.data.file("policies.json"), table: tablePolicy,
		show: func(digest string) any { return shown{digest} },
	}.tell(ctx, d, by, policies)
}

// policiesOf are the policies of a configuration: those of native filters, by the
// filter's name, and what must not leave a callback. The detectors that
// either goes by are part of its digest, so that a change of the shipped rules, with the
// program, is told too.
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
		decides := fmt.Appendf(nil, "%q\n%q", c.MustNotLeave.Detectors, c.MustNotLeave.Paths)
		if len(c.MustNotLeave.Detectors) > 0 {
			decides = fmt.Appendf(decides, "\ndetectors %s", cfg.Catalogue().Digest())
		}
		sum := sha256.Sum256(decides)
		all["callbacks/"+c.Name+"/must_not_leave"] = hex.EncodeToString(sum[:])
	}
	return all
}
