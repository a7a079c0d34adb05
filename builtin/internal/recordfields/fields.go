// Package recordfields reads the fields of a record that sinks send outside its document.
package recordfields

import (
	"time"

	"github.com/tidwall/gjson"

	"auditrelay"
	"auditrelay/internal/schema"
)

// Fields are an event's fields in the filtered document; empty if the document lacks them.
type Fields struct{ ID, Action, Actor, Object, ObjectType string }

// Of returns the fields: LiteLLM's members, or the values that the record's mapping finds. A
// tombstone, and a record in a callback's format, have none.
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

// Time returns the record's own time. It returns the time of receipt if the record has no time,
// or one before 1970 or after the year last, since the clock must then be wrong.
func Time(r auditrelay.Record, last int) time.Time {
	if r.TimeFrom == auditrelay.TimeMissing || r.TimeFrom == auditrelay.TimeUnreadable || r.Time.Unix() < 0 || r.Time.Year() > last {
		return r.Received
	}
	return r.Time
}

// Mapped calls add for each field of a record whose document is not in LiteLLM's schema, since
// a destination may not know the document's names.
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
