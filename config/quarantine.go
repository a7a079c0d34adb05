package config

import "cmp"

// The defaults of ingest.limits.body_bytes and ingest.quarantine.
const (
	defaultBodyBytes       = 16 << 20
	defaultQuarantineBytes = 256 << 20
	maxQuarantineItem      = 128 << 20
)

// quarantine sets the limit of an item, and compares it with the limit of all items.
func (c checker) quarantine() {
	q := &c.Ingest.Quarantine
	given := q.Item != 0
	q.Item = cmp.Or(q.Item, min(cmp.Or(c.Ingest.Limits.BodyBytes, defaultBodyBytes), maxQuarantineItem))
	if all := cmp.Or(q.Bytes, defaultQuarantineBytes); q.Item > all {
		if given {
			c.bad(at("ingest", "quarantine", "item"), "%v are more than ingest.quarantine.bytes, %v: one item would never find room", q.Item, all)
			return
		}
		c.bad(at("ingest", "quarantine", "bytes"), "%v are less than one request's body (ingest.limits.body_bytes, %v): raise it, or give ingest.quarantine.item", all, q.Item)
	}
}
