//go:build wasip1

// Largeguest is a Go guest of some 3 MB, as one that leans on the standard library
// becomes: it decodes the event itself and asks a regular expression of
// its own about it. How long it takes to load is measured.
package main

import (
	"encoding/json"
	"regexp"

	guest "auditrelay/guests/sdk/go"
)

var token = regexp.MustCompile(`sk-[A-Za-z0-9]{20,}`)

func init() {
	guest.OnEvent(func() guest.Verdict {
		event := guest.AppendEvent(nil)
		var fields map[string]any
		if err := json.Unmarshal(event, &fields); err != nil {
			guest.Fail("the event cannot be decoded")
		}
		if token.Match(event) {
			return guest.Drop
		}
		if action, ok := fields["action"].(string); ok {
			guest.Reason(action)
		}
		return guest.Keep
	})
}

func main() {}
