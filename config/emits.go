package config

import (
	"slices"
	"strings"

	"auditrelay"
)

// emits checks that the targets of filters' emits exist and accept records, and that there is
// no cycle.
func (c checker) emits() {
	targets := map[string]*Callback{}
	for i := range c.Callbacks {
		targets[c.Callbacks[i].Name] = &c.Callbacks[i]
	}
	fed := map[string]bool{}
	for _, f := range c.Filters {
		for j, name := range f.Grants.Emit {
			fed[name] = true
			steps := at("filters", f.Name, "grants", "emit", j)
			switch target := targets[name]; {
			case target == nil:
				c.bad(steps, "no callback is called %s%s", c.in(steps...).show(), c.in(steps...).hint(sortedKeys(targets)))
			case target.Receives == auditrelay.ReceivesEvents:
				c.bad(steps, "callback %s takes accepted events only: set its receives to emitted or both", c.in(steps...).show())
			}
		}
	}
	for i, cb := range c.Callbacks {
		if cb.Receives == auditrelay.ReceivesEmitted && !fed[cb.Name] {
			c.report.warn(c.in("callbacks", i), "callbacks[%d] receives emitted records, and no filter is granted to emit to it", i)
		}
	}
	c.cycles()
}

// cycles rejects a cycle of emits, in which one event would cause records without end.
func (c checker) cycles() {
	next := map[string][]string{}
	for _, cb := range c.Callbacks {
		for _, name := range cb.Filters {
			if f := c.filter(name); f != nil {
				next[cb.Name] = append(next[cb.Name], f.Grants.Emit...)
			}
		}
	}
	const walking, done = 1, 2
	state := map[string]int{}
	var trail []string
	var walk func(name string) bool
	walk = func(name string) bool {
		switch state[name] {
		case done:
			return false
		case walking:
			trail = append(trail[slices.Index(trail, name):], name)
			return true
		}
		state[name] = walking
		trail = append(trail, name)
		if slices.ContainsFunc(next[name], walk) {
			return true
		}
		trail = trail[:len(trail)-1]
		state[name] = done
		return false
	}
	for i, cb := range c.Callbacks {
		trail = nil
		if cb.Name != "" && state[cb.Name] == 0 && walk(cb.Name) {
			c.bad(at("callbacks", i), "emits lead in a circle: %s; a record would give rise to others without end", strings.Join(c.places(trail), " -> "))
			return
		}
	}
}

// places replaces callbacks' names by their places in the file.
func (c checker) places(names []string) []string {
	shown := make([]string, len(names))
	for i, name := range names {
		j := slices.IndexFunc(c.Callbacks, func(cb Callback) bool { return cb.Name == name })
		shown[i] = name
		if n := c.in("callbacks", j, "name"); n.ref != "" {
			shown[i] = n.ref
		}
	}
	return shown
}

// names checks the names under removed and renamed_from.
func (c checker) names() {
	configured, removed, renamed := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, cb := range c.Callbacks {
		configured[cb.Name] = true
	}
	for i, name := range c.Removed {
		switch {
		case !nameForm.MatchString(name):
			c.bad(at("removed", i), "a name of another form: %s", expectedName)
		case configured[name]:
			c.bad(at("removed", i), "callback %s is configured: remove one or the other", c.in("removed", i).show())
		case removed[name]:
			c.bad(at("removed", i), "callback %s stands here twice", c.in("removed", i).show())
		}
		removed[name] = true
	}
	for i, cb := range c.Callbacks {
		from, steps := cb.RenamedFrom, at("callbacks", i, "renamed_from")
		shown := c.in(steps...).show()
		if from == "" {
			continue
		}
		switch {
		case !nameForm.MatchString(from):
			c.bad(steps, "a name of another form: %s", expectedName)
		case from == cb.Name:
			c.bad(steps, "it is the callback's own name")
		case configured[from]:
			c.bad(steps, "callback %s is configured itself and keeps its own position", shown)
		case removed[from]:
			c.bad(steps, "callback %s is listed under removed: it is either renamed or given up", shown)
		case renamed[from]:
			c.bad(steps, "another callback was renamed from %s already", shown)
		}
		renamed[from] = true
	}
}
