package redaction

import (
	"bytes"
	"encoding/json"
	"slices"

	"auditrelay/document"
	"auditrelay/internal/detect"
)

// changedFields is the member that Options.ChangedFields adds to an event.
const changedFields = "changed_fields"

// Bounds of what it lists.
const (
	maxChanged     = 256
	maxChangedName = 128
)

// changes notes which members of updated_values are other than those of before_value, or
// are not there: before anything is masked, since what is masked looks the same. An event
// that has not both says nothing of changes.
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

// objectField returns one of the event's own fields that is an object, or a string that holds
// one; None otherwise.
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

// addChanges adds what changes noted, in the place of what the event had under this name.
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
	list, err := json.Marshal(append([]string{}, a.changed...)) // no null where there is none
	if err != nil {
		return wrap(err)
	}
	return wrap(d.Put(document.Root, []byte(changedFields), list))
}
