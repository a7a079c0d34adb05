//go:build wasip1

// reference-go is the guest that benchmarks run: it masks changed_by_api_key,
// deletes updated_values.password and drops events whose action is "blocked".
package main

import guest "auditrelay/guests/sdk/go"

var (
	action   = guest.Path("action")
	apiKey   = guest.Path("changed_by_api_key")
	password = guest.Path("updated_values.password")
)

func init() {
	guest.OnEvent(func() guest.Verdict {
		if action.Is("blocked") {
			return guest.Drop
		}
		apiKey.MaskAll()
		password.DeleteAll()
		return guest.Keep
	})
}

func main() {}
