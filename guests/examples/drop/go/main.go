//go:build wasip1

// Drop drops events about the tables that its configuration lists.
package main

import guest "auditrelay/guests/sdk/go"

var (
	table  = guest.Path("table_name")
	tables = guest.Path("tables.*")
)

func init() {
	guest.OnEvent(func() guest.Verdict {
		for n := tables.FindConfig(); n != guest.NoNode; n = tables.Each(n) {
			if table.Is(n.Text()) {
				guest.Reason("its table is configured to be dropped")
				return guest.Drop
			}
		}
		return guest.Keep
	})
}

func main() {}
