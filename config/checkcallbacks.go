package config

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"auditrelay"
	"auditrelay/document"
)

func (c checker) callbacks(plain func(*node, string)) {
	switch list := c.root.get("callbacks"); {
	case !list.given():
		c.bad(at("callbacks"), "no callback is configured: the file may be cut off; write callbacks: [] to keep events in the journal and deliver none")
	case len(c.Callbacks) == 0:
		c.report.warn(list, "no callback is configured: events are kept in the journal and delivered nowhere")
	}
	places, used := map[string]Place{}, map[string]bool{}
	for i := range c.Callbacks {
		cb := &c.Callbacks[i]
		steps := at("callbacks", i)
		if c.in(steps...).kind != kindMapping {
			continue
		}
		switch {
		case cb.Name == "":
			c.bad(append(steps, "name"), "it is required")
		case !nameForm.MatchString(cb.Name):
			c.bad(append(steps, "name"), "a name of another form: %s", expectedName)
		case places[cb.Name].Line > 0:
			c.bad(append(steps, "name"), "callback %s stands %s already: its position in the journal is stored under its name, so names must be unique", c.in(append(steps, "name")...).show(), places[cb.Name].From(cb.place))
		default:
			places[cb.Name] = cb.place
		}
		for j, name := range cb.Filters {
			used[name] = true
			if c.filter(name) == nil {
				n := c.in(append(steps, "filters", j)...)
				c.bad(append(steps, "filters", j), "no filter is called %s%s", n.show(), c.knownFilters(n))
			}
		}
		c.mustNotLeave(cb.MustNotLeave, append(steps, "must_not_leave"))
		c.format(cb, steps)
		if cb.Sink.Type != "" {
			c.sink(cb, append(steps, "sink"), plain)
		} else if !c.in(append(steps, "sink")...).given() || c.in(append(steps, "sink")...) == c.in(steps...) {
			c.sinkless(cb, steps)
		}
		if b := cb.Backoff; b.Initial > 0 && b.Max > 0 && b.Max < b.Initial {
			c.bad(append(steps, "backoff", "max"), "it is less than initial")
		}
		if r := cb.Retain; c.in(append(steps, "retain")...).get("then").given() && r.Age == 0 && r.Bytes == 0 {
			c.bad(append(steps, "retain", "then"), "there is no bound at which it could happen: give age or bytes")
		}
	}
	for j, name := range c.Ingest.Filters {
		used[name] = true
		steps := at("ingest", "filters", j)
		n := c.in(steps...)
		if f := c.filter(name); f == nil {
			c.bad(steps, "no filter is called %s%s", n.show(), c.knownFilters(n))
		} else if !f.Native() {
			c.bad(steps, "it is a guest: before the journal stand native filters only (redact)")
		}
	}
	for _, f := range c.Filters {
		if !used[f.Name] {
			c.report.warn(c.root.get("filters").key(f.Name), "filters.%s: no callback lists it", bounded(f.Name))
		}
	}
}

func (c checker) mustNotLeave(m auditrelay.MustNotLeave, steps []any) {
	for j, name := range m.Detectors {
		if _, err := c.catalogue.Set(name); err != nil {
			n := c.in(append(steps, "detectors", j)...)
			c.bad(append(steps, "detectors", j), "%w", n.veil(err))
		}
	}
	for j, path := range m.Paths {
		if _, err := document.ParsePath(path); err != nil {
			n := c.in(append(steps, "paths", j)...)
			c.bad(append(steps, "paths", j), "%w", n.veil(err))
		}
	}
	// A gate that checks nothing is a mistake.
	n := c.in(steps[:2]...).get("must_not_leave")
	if n == nil || n.kind != kindMapping {
		return
	}
	for _, item := range n.items {
		if item.kind != kindNull && (item.kind != kindList || len(item.items) > 0) {
			return
		}
	}
	c.bad(steps, "it names nothing: give detectors, paths or both, or leave it out")
}

func (c checker) knownFilters(n *node) string {
	names := make([]string, len(c.Filters))
	for i, f := range c.Filters {
		names[i] = f.Name
	}
	if h := n.hint(names); h != "" {
		return h
	}
	if len(names) == 0 {
		return ": no filter is configured"
	}
	return ": expected one of " + strings.Join(names, ", ")
}

func (c checker) filter(name string) *Filter {
	i := slices.IndexFunc(c.Filters, func(f Filter) bool { return f.Name == name })
	if i < 0 {
		return nil
	}
	return &c.Filters[i]
}

// sinkless checks that a callback without a sink has an effect.
func (c checker) sinkless(cb *Callback, steps []any) {
	for _, name := range cb.Filters {
		if f := c.filter(name); f == nil || len(f.Grants.Emit) > 0 {
			return
		}
	}
	c.bad(steps, "it has neither a sink nor a filter that may emit: nothing would come of its events")
}

func (c checker) sink(cb *Callback, steps []any, plain func(*node, string)) {
	known := slices.Sorted(maps.Keys(c.options.Sinks))
	cb.Sink.Options.dir = c.options.Dir
	if c.options.Sinks == nil {
		return
	}
	check, ok := c.options.Sinks[cb.Sink.Type]
	if !ok {
		key := c.in(steps...).key(cb.Sink.Type)
		c.report.add(key, pathOf(steps...), "no sink is called %q: expected one of %s%s", bounded(cb.Sink.Type), strings.Join(known, ", "), hint(cb.Sink.Type, known))
		return
	}
	c.patterns(cb.Sink.Options.node, cb.Sink.Options.path)
	if check == nil {
		return
	}
	s := cb.Sink.Options
	s.plain = plain
	s.explain(c.report, check(s))
}

// datePattern matches patterns that strftime, other shippers and templates replace with a part
// of the time or of the record, such as %Y, %{+YYYY}, {{date}}, {hour} and <date>. A percent
// sign before two hexadecimal digits is an escaped character and does not match.
var datePattern = regexp.MustCompile(`%[YmdHMSjyFT]|%\{[^}]*\}|\{\{[^}]*\}\}|\{[A-Za-z_][A-Za-z0-9_.:%-]*\}|%[A-Za-z_]\w+%|<[A-Za-z_][A-Za-z0-9_-]*>`)

// patterns rejects date patterns in the place of a sink, since the sink would create a folder
// with the pattern as its name.
func (c checker) patterns(n *node, path string) {
	for i, k := range n.keys {
		item := n.items[i]
		if item.kind == kindMapping {
			c.patterns(item, join(path, k.text))
			continue
		}
		if k.text != "path" && k.text != "prefix" || item.kind != kindString {
			continue
		}
		text := item.text
		if item.ref != "" { // errors must not show the value of a variable or a file
			text = ""
			if !strings.HasPrefix(item.ref, litellmEnv) && !fileRef.MatchString(item.ref) {
				text = dollar.ReplaceAllString(item.ref, "")
			}
		}
		if found := datePattern.FindString(percentEscape.ReplaceAllString(text, "")); found != "" {
			c.report.add(item, join(path, k.text), "%s is not expanded: leave it out; objects and files are named by the time as it is", found)
		}
	}
}

var percentEscape = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)
