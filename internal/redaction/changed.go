package redaction

import (
	"bytes"
	"encoding/json"
	"slices"

	"auditrelay/document"
	"auditrelay/internal/detect"
)

// changedFields is the name of the member that Options.ChangedFields adds to an event.
const changedFields = "changed_fields"

// Limits for that list.
const (
	maxChanged     = 256
	maxChangedName = 128
)

// changes finds the members of updated_values that differ from those of before_value or are
// missing there. It runs before redaction, because masked values look the same. For an event
// without both objects nothing is added.
func (a *Applier) changes() {
	a.changed = a.changed[:0]
	a.compared = false
	if !a.policy.changed {
		return
	}
	d := a.doc
	before, after := a.objectField("before_value"), a.objectField("updated_values")
	if before == document.None || after == document.None {
		return
	}
	a.compared = true
	was := map[string]document.Node{}
	for c := d.Child(before, document.None); c != document.None; c = d.Child(before, c) {
		was[string(d.AppendKey(nil, c))] = c
	}
	for c := d.Child(after, document.None); c != document.None && len(a.changed) < maxChanged; c = d.Child(after, c) {
		name := string(d.AppendKey(nil, c))
		old, ok := was[name]
		if ok && bytes.Equal(d.AppendJSON(nil, old), d.AppendJSON(nil, c)) {
			continue
		}
		if len(name) > maxChangedName || a.detects([]byte(name), detect.Name{}) {
			name = Mask
		}
		if !slices.Contains(a.changed, name) {
			a.changed = append(a.changed, name)
		}
	}
	slices.Sort(a.changed)
}

// objectField returns one of the event's own fields if it is an object or a string that
// contains one. Otherwise it returns None.
func (a *Applier) objectField(name string) document.Node {
	d := a.doc
	for c := d.Child(document.Root, document.None); c != document.None; c = d.Child(document.Root, c) {
		if string(d.AppendKey(nil, c)) != name {
			continue
		}
		if d.Kind(c) == document.Object || d.Kind(c) == document.String && d.Holds(c) == document.Object {
			return c
		}
		return document.None
	}
	return document.None
}

// addChanges adds the result of changes and replaces a member of this name.
func (a *Applier) addChanges() error {
	if !a.compared {
		return nil
	}
	d := a.doc
	for c := d.Child(document.Root, document.None); c != document.None; c = d.Child(document.Root, c) {
		if string(d.AppendKey(nil, c)) == changedFields {
			if err := d.Delete(c); err != nil {
				return wrap(err)
			}
		}
	}
	list, err := json.Marshal(append([]string{}, a.changed...)) // an empty list instead of null
	if err != nil {
		return wrap(err)
	}
	return wrap(d.Put(document.Root, []byte(changedFields), list))
}
