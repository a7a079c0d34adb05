//go:build wasip1

// Largeguest is a Go guest of some 3 MB, the usual size with many packages of the standard
// library. It decodes the event itself and applies its own regular expression. Its load time is
// measured.
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
