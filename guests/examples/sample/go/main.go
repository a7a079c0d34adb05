//go:build wasip1

// Sample keeps one in ten updates, by the event's place in the journal, and everything else.
package main

import guest "auditrelay/guests/sdk/go"

var action = guest.Path("action")

func init() {
	guest.OnEvent(func() guest.Verdict {
		if action.Is("updated") && guest.Sequence()%10 != 0 {
			guest.Reason("not in the sample")
			return guest.Drop
		}
		return guest.Keep
	})
}

func main() {}
