package daemon

import "context"

// tablePolicy is the table_name of the relay's own events about policies.
const tablePolicy = "auditrelay_policy"

// policyDigests are the policies in force by name, each with its digest.
type policyDigests map[string]string

// recordPolicies tells of every policy that was made, changed or taken away since
// the relay last told of it: who did it, and the digests before and after.
func (d *daemon) recordPolicies(ctx context.Context, by string) {
	type shown struct {
		Digest string `json:"digest"`
	}
	told[string]{
		file: d.data.file("policies.json"), table: tablePolicy,
		show: func(digest string) any { return shown{digest} },
	}.tell(ctx, d, by, d.build.policies)
}
