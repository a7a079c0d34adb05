package config

import (
	"slices"
	"strconv"
	"strings"
)

// In LiteLLM's file store_audit_logs enables a searchable store of audit events in LiteLLM's
// own database. Here it becomes a callback with an embedded store.
const (
	storeSetting  = "store" // the relay's own key in LiteLLM's file
	storeSQLite   = "sqlite"
	storePostgres = "postgres"
	storeNone     = "none"
	storeCallback = "store"
	// storeFilter removes values that no store should have. Nobody configured this store by
	// name, and everyone with access to the audit API can read it.
	storeFilter = "litellm-store"
)

// scalar returns a scalar's text, or "" for any other value.
func (n *node) scalar() string {
	if n == nil || n.kind != kindString {
		return ""
	}
	return n.text
}

// store adds the callback for store_audit_logs, unless the file has store: none or its own
// callback with that name.
func (l *litellm) store(settings, native *node) {
	choice := native.get(storeSetting)
	which := choice.scalar()
	if callbackNamed(native, which) {
		return // the key names the callback whose store the audit API reads
	}
	if choice.given() {
		if !slices.Contains([]string{storeSQLite, storePostgres, storeNone}, which) {
			l.report.add(choice, storeSetting, "found %s, expected sqlite, postgres, none or the name of a callback", choice.show())
			return
		}
		native.remove(storeSetting)
	}
	from := l.wanted(settings)
	if from == nil {
		if choice.given() && which != storeNone {
			l.report.warn(choice, "store: %s has no effect: store_audit_logs is not true, nor is %s", which, storeVariable)
		}
		return
	}
	switch {
	case which == storeNone:
		l.report.info(choice, "store: none: store_audit_logs makes no store here, and GET /audit answers nothing")
		return
	case callbackNamed(native, storeCallback):
		l.report.info(from, "store_audit_logs adds no store: callbacks has one of that name")
		return
	case which == storePostgres && !l.databaseURL().given():
		l.report.add(choice, storeSetting, "there is no general_settings.database_url for a store in Postgres: give it, or a callback of its own with sink: {postgres: {url: ...}}")
		return
	case which == storePostgres:
		l.report.info(choice, "store_audit_logs keeps a searchable store in LiteLLM's database, in a schema of its own (auditrelay), redacted by preset litellm, which GET /audit reads; nothing of LiteLLM's there is read or written")
	default:
		l.report.info(from, "store_audit_logs keeps a searchable store in the data directory, redacted by preset litellm, which GET /audit reads; store: none leaves it out")
	}
	l.addFilter(from, native, storeFilter)
	at := func(kind kind) *node {
		return &node{kind: kind, line: from.line, column: from.column, origin: pathOfStore}
	}
	text := func(s string) *node {
		n := at(kindString)
		n.text = s
		return n
	}
	cb := at(kindMapping)
	cb.comments = []string{"From store_audit_logs, line " + strconv.Itoa(from.line) + "."}
	cb.put(from, "name", text(storeCallback))
	filters := at(kindList)
	filters.items = []*node{text(storeFilter)}
	cb.put(from, "filters", filters)
	sink, options := at(kindMapping), at(kindMapping)
	if which == storePostgres {
		url := l.databaseURL()
		l.all(url, generalSettings+"."+databaseKey)
		options.put(url, "url", url)
		sink.put(from, storePostgres, options)
	} else {
		sink.put(from, storeSQLite, options)
	}
	cb.put(from, "sink", sink)
	all := native.get("callbacks")
	if all == nil || all.kind == kindNull {
		all = at(kindList)
		native.remove("callbacks")
		native.put(from, "callbacks", all)
	}
	if all.kind == kindList {
		all.items = append(all.items, cb)
	}
}

// databaseURL returns the URL of LiteLLM's own database, or nil if the file does not have it.
func (l *litellm) databaseURL() *node {
	general := l.root.get(generalSettings)
	if general == nil || general.kind != kindMapping {
		return nil
	}
	return general.get(databaseKey)
}

// wanted returns the node that enables a store: the key, or if it is missing a node for the
// variable. It returns nil if neither does.
func (l *litellm) wanted(settings *node) *node {
	if settings == nil {
		return nil
	}
	if n := settings.get(storeKey); n.given() {
		l.all(n, pathOfStore)
		if on, ok := n.boolean(); ok && on {
			return n
		}
		return nil
	}
	value, from := l.variable(storeVariable)
	switch {
	case !strings.EqualFold(value, "true"):
		return nil
	case from != nil:
		return from
	}
	return settings
}

// addFilter adds a filter with preset litellm, unless a filter has this name.
func (l *litellm) addFilter(from, native *node, name string) {
	filters := native.get("filters")
	if filters == nil || filters.kind == kindNull {
		filters = &node{kind: kindMapping, line: from.line, column: from.column, origin: pathOfStore}
		native.remove("filters")
		native.put(from, "filters", filters)
	}
	if filters.kind != kindMapping || filters.get(name) != nil {
		return
	}
	mapping := func() *node {
		return &node{kind: kindMapping, line: from.line, column: from.column, origin: pathOfStore}
	}
	policy, redact := mapping(), mapping()
	redact.put(from, "preset", &node{kind: kindString, text: "litellm", line: from.line, column: from.column, origin: pathOfStore})
	policy.put(from, "redact", redact)
	filters.put(from, name, policy)
}

// callbackNamed reports whether a tree has a callback with this name.
func callbackNamed(native *node, name string) bool {
	all := native.get("callbacks")
	if name == "" || all == nil || all.kind != kindList {
		return false
	}
	return slices.ContainsFunc(all.items, func(cb *node) bool {
		return cb.kind == kindMapping && cb.get("name").scalar() == name
	})
}

// remove deletes a key from a mapping, if it exists.
func (n *node) remove(key string) {
	for i, k := range n.keys {
		if k.text == key {
			n.keys = slices.Delete(slices.Clone(n.keys), i, i+1)
			n.items = slices.Delete(slices.Clone(n.items), i, i+1)
			return
		}
	}
}

// store checks that the named store belongs to a callback.
func (c checker) store() {
	if c.Store == "" {
		return
	}
	names := make([]string, 0, len(c.Callbacks))
	for i := range c.Callbacks {
		if c.Callbacks[i].Name == c.Store {
			return
		}
		names = append(names, c.Callbacks[i].Name)
	}
	n := c.in("store")
	c.bad(at("store"), "no callback is called %s%s", n.show(), n.hint(names))
}
