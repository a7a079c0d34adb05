//go:build wasip1

// Enrich adds a severity by the action, and a flag where nobody is named.
package main

import guest "auditrelay/guests/sdk/go"

var (
	action    = guest.Path("action")
	changedBy = guest.Path("changed_by")
)

func init() {
	guest.OnEvent(func() guest.Verdict {
		severity := `"low"`
		if action.Is("deleted") || action.Is("blocked") || action.Is("rotated") {
			severity = `"high"`
		}
		guest.Root.Put("severity", []byte(severity))
		if changedBy.Is("") {
			guest.Root.Put("anonymous", []byte("true"))
		}
		return guest.Keep
	})
}

func main() {}
