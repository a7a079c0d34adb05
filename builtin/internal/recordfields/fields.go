// Package recordfields reads from a record what sinks tell of it beside its document.
package recordfields

import (
	"time"

	"github.com/tidwall/gjson"

	"auditrelay"
	"auditrelay/internal/schema"
)

// Fields are an event's, as the document has them after the filters; empty where it has
// none.
type Fields struct{ ID, Action, Actor, Object, ObjectType string }

// Of reads them: LiteLLM's members, or what the record's mapping finds. A tombstone, and a
// record whose document is in a format, have none.
func Of(r auditrelay.Record) Fields {
	if r.Tombstone {
		return Fields{}
	}
	if m := r.Mapping; m != nil {
		id, _ := schema.Value(m.ID, r.Data)
		c := schema.ColumnsOf(m, r.Data)
		return Fields{ID: id, Action: c.Action, Actor: c.ChangedBy, Object: c.ObjectID, ObjectType: c.TableName}
	}
	var f Fields
	for _, one := range []struct {
		path string
		into *string
	}{{"id", &f.ID}, {"action", &f.Action}, {"changed_by", &f.Actor}, {"object_id", &f.Object}, {"table_name", &f.ObjectType}} {
		if v := gjson.GetBytes(r.Data, one.path); v.Type == gjson.String {
			*one.into = v.Str
		}
	}
	return f
}

// Time is the record's own time, or that of its receipt where it has none, or one before
// 1970 or after the year last: a clock's fault.
func Time(r auditrelay.Record, last int) time.Time {
	if r.TimeFrom == auditrelay.TimeMissing || r.TimeFrom == auditrelay.TimeUnreadable || r.Time.Unix() < 0 || r.Time.Year() > last {
		return r.Received
	}
	return r.Time
}

// Mapped calls add for each field of a record whose document is in a schema other than
// LiteLLM's: its names there are not those that a destination may know.
func Mapped(r auditrelay.Record, add func(name, value string)) {
	if r.Mapping == nil {
		return
	}
	f := Of(r)
	for _, one := range []struct{ name, value string }{{"id", f.ID}, {"action", f.Action}, {"actor", f.Actor}, {"object", f.Object}, {"object_type", f.ObjectType}} {
		if one.value != "" {
			add(one.name, one.value)
		}
	}
}
