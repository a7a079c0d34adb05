//go:build wasip1

// alert-go sends an alert to another callback when something was deleted or
// blocked. The event itself goes on unchanged. The callback's name comes from
// the configuration: {"to": "alerts", "actions": ["deleted", "blocked"]}.
package main

import (
	"errors"
	"strconv"

	guest "auditrelay/guests/sdk/go"
)

var (
	action = guest.Path("action")
	to     = guest.Path("to")
	listed = guest.Path("actions.*")
	shown  = []struct {
		key  string
		path guest.PathRef
	}{{"action", action}, {"table_name", guest.Path("table_name")}, {"object_id", guest.Path("object_id")}, {"changed_by", guest.Path("changed_by")}}

	callback string
	actions  = []string{"deleted", "blocked"}
)

func init() {
	guest.OnInit(func() error {
		if callback = to.FindConfig().Text(); callback == "" {
			return errors.New(`the configuration must name a callback: {"to": "alerts"}`)
		}
		if n := listed.FindConfig(); n != guest.NoNode {
			actions = nil
			for ; n != guest.NoNode; n = listed.Each(n) {
				actions = append(actions, n.Text())
			}
		}
		return nil
	})
	guest.OnEvent(func() guest.Verdict {
		for _, a := range actions {
			if action.Is(a) {
				alert()
				break
			}
		}
		return guest.Keep
	})
}

// alert emits one record. The values are taken over as JSON, as they stand.
func alert() {
	record := append(make([]byte, 0, 256), `{"alert":"audit","sequence":`...)
	record = strconv.AppendUint(record, guest.Sequence(), 10)
	for _, f := range shown {
		if n := f.path.Find(); n != guest.NoNode {
			record = append(append(append(record, `,"`...), f.key...), `":`...)
			record = n.AppendJSON(record)
		}
	}
	guest.Emit(callback, append(record, '}'))
}

func main() {}
