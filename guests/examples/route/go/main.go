//go:build wasip1

// Route hands a copy of what was deleted or blocked to the callback that its configuration names.
package main

import guest "auditrelay/guests/sdk/go"

var (
	action = guest.Path("action")
	target = guest.Path("to")
	event  []byte
)

func init() {
	guest.OnEvent(func() guest.Verdict {
		if action.Is("deleted") || action.Is("blocked") {
			event = guest.AppendEvent(event[:0])
			guest.Emit(target.FindConfig().Text(), event)
		}
		return guest.Keep
	})
}

func main() {}
