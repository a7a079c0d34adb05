package config

import (
	"slices"
	"strings"
)

// emits checks what filters may emit to: targets that take it, and no way back.
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
				c.bad(steps, "no callback is called %q%s", bounded(name), hint(name, sortedKeys(targets)))
			case target.Receives == "" || target.Receives == ReceivesEvents:
				c.bad(steps, "callback %q takes accepted events only: set its receives to emitted or both", name)
			}
		}
	}
	for i, cb := range c.Callbacks {
		if cb.Receives == ReceivesEmitted && !fed[cb.Name] {
			c.report.warn(c.in("callbacks", i), "callbacks[%d]: %s receives emitted records, and no filter is granted to emit to it", i, cb.Name)
		}
	}
	c.cycles()
}

// cycles refuses a chain of emits that leads back to where it began, since one
// event would then be followed by others without end.
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
			c.bad(at("callbacks", i), "emits lead in a circle: %s; a record would give rise to others without end", strings.Join(trail, " -> "))
			return
		}
	}
}

// names checks what is said of callbacks that are gone.
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
			c.bad(at("removed", i), "callback %q is configured: remove one or the other", name)
		case removed[name]:
			c.bad(at("removed", i), "callback %q stands here twice", name)
		}
		removed[name] = true
	}
	for i, cb := range c.Callbacks {
		from, steps := cb.RenamedFrom, at("callbacks", i, "renamed_from")
		if from == "" {
			continue
		}
		switch {
		case !nameForm.MatchString(from):
			c.bad(steps, "a name of another form: %s", expectedName)
		case from == cb.Name:
			c.bad(steps, "it is the callback's own name")
		case configured[from]:
			c.bad(steps, "callback %q is configured itself and keeps its own position", from)
		case removed[from]:
			c.bad(steps, "callback %q is listed under removed: it is either renamed or given up", from)
		case renamed[from]:
			c.bad(steps, "another callback was renamed from %q already", from)
		}
		renamed[from] = true
	}
}
