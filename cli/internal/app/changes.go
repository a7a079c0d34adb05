package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"slices"

	"auditrelay"
	"auditrelay/runtime"
)

// told stores in a file of the data directory what the relay last recorded about one kind of
// object, so that each change is recorded once.
type told[V any] struct {
	file  string
	table string // table_name of the events
	// action returns the action of a change of an existing object; nil: updated.
	action func(before, after V) auditrelay.Action
	// show returns an object's form in before_value and updated_values; nil: its stored form.
	show func(V) any
	// quiet: the first state is stored without an event.
	quiet bool
}

func (t told[V]) last() (map[string]V, error) {
	text, err := os.ReadFile(t.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var last map[string]V
	if err := json.Unmarshal(text, &last); err != nil {
		return nil, fmt.Errorf("%s: %w", t.file, err)
	}
	return last, nil
}

func (t told[V]) keep(now map[string]V) error {
	text, err := json.MarshalIndent(now, "", "  ")
	if err != nil {
		return err
	}
	return WriteFile(t.file, append(text, '\n'))
}

// changes returns own records of every object that was created, changed or removed since the
// relay last recorded it, and done, which is a no-op if there are none. Call done once the
// records are durable. After a crash before that, all are recorded again.
func (t told[V]) changes(d *daemon, by runtime.By, now map[string]V) (all []runtime.Change, done func()) {
	last, err := t.last()
	if err != nil {
		d.log.Error("the previous state is unknown: all changes are recorded again", "table", t.table, "error", err)
	}
	if len(last) == 0 && len(now) == 0 || reflect.DeepEqual(last, now) {
		return nil, func() {}
	}
	names := slices.AppendSeq(slices.Collect(maps.Keys(now)), maps.Keys(last))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		before, had := last[name]
		after, has := now[name]
		if had == has && reflect.DeepEqual(before, after) || !had && t.quiet {
			continue
		}
		c := runtime.Change{By: by, Action: auditrelay.ActionUpdated, Table: t.table, Object: name, MakesRoom: true}
		switch {
		case !had:
			c.Action = auditrelay.ActionCreated
		case !has:
			c.Action = auditrelay.ActionDeleted
		case t.action != nil:
			c.Action = t.action(before, after)
		}
		if had {
			c.Before = t.shown(before)
		}
		if has {
			c.After = t.shown(after)
		}
		all = append(all, c)
	}
	return all, func() {
		if err := t.keep(now); err != nil {
			d.log.Error("the last recorded state cannot be kept; the changes are recorded again", "table", t.table, "error", err)
		}
	}
}

func (t told[V]) shown(v V) any {
	if t.show == nil {
		return v
	}
	return t.show(v)
}
