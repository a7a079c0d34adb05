//go:build wasip1

// Alert masks what looks like a key wherever it stands, and alerts about it.
package main

import guest "auditrelay/guests/sdk/go"

var (
	all = guest.Path("**")
	key = guest.Regex(`sk-[A-Za-z0-9]{8,}`)
)

func init() {
	guest.OnEvent(func() guest.Verdict {
		found := false
		for n := all.Each(guest.NoNode); n != guest.NoNode; n = all.Each(n) {
			// Text that holds JSON is gone through; only the leaf in it is masked.
			if n.Kind() == guest.String && n.Child(guest.NoNode) == guest.NoNode && n.Matches(key) {
				n.Mask()
				found = true
			}
		}
		if found {
			guest.Emit("alerts", []byte(`{"alert":"a key was found"}`))
		}
		return guest.Keep
	})
}

func main() {}
