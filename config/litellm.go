package config

import (
	"slices"
	"strconv"
	"strings"
)

// To read LiteLLM's configuration, this package converts it to a tree in the relay's own
// format. The nodes remember the keys that they came from. Load decodes that tree and Translate
// prints it, so that the two cannot differ.

const (
	litellmSettings  = "litellm_settings"
	generalSettings  = "general_settings"
	callbacksKey     = "audit_log_callbacks"
	storeKey         = "store_audit_logs"
	storeVariable    = "LITELLM_STORE_AUDIT_LOGS"
	paramsKey        = "s3_callback_params"
	auditParamsKey   = "s3_audit_callback_params"
	litellmS3        = "s3_v2"
	litellmLogger    = "auditrelay_logger.relay" // from integrations/litellm
	defaultListen    = "127.0.0.1:8787"
	pathOfCallbacks  = litellmSettings + "." + callbacksKey
	pathOfStore      = litellmSettings + "." + storeKey
	includeKey       = "include"
	environmentTable = "environment_variables"
	callbackSettings = "callback_settings"
	databaseKey      = "database_url"
)

// litellmKeys are LiteLLM's own top-level keys without a meaning for the relay.
var litellmKeys = []string{
	litellmSettings, generalSettings, "model_list", "router_settings", environmentTable, callbackSettings, includeKey,
	"mcp_servers", "guardrails", "prompts", "vector_store_registry", "search_tools", "credential_list", "files_settings",
	"finetune_settings", "assistant_settings", "model_group_settings", "agent_list", "default_team_settings",
}

// isLiteLLM reports whether a file with these top-level keys is LiteLLM's. It has one of
// LiteLLM's tables, and perhaps keys of the relay; or another of LiteLLM's keys, and none
// of the relay.
func isLiteLLM(keys []*node) bool {
	has := func(of func(key string) bool) bool {
		return slices.ContainsFunc(keys, func(k *node) bool { return of(k.text) })
	}
	return has(func(key string) bool { return slices.Contains(litellmTables, key) }) ||
		has(func(key string) bool { return slices.Contains(litellmKeys, key) }) && !has(isNative)
}

// litellmTables are the tables that identify a file as LiteLLM's.
var litellmTables = []string{litellmSettings, generalSettings, "model_list", "router_settings", environmentTable, callbackSettings}

// auditKeys are the keys of litellm_settings that the relay reads.
var auditKeys = []string{callbacksKey, storeKey, paramsKey, auditParamsKey}

// ignoredByLiteLLMs reports whether a value in LiteLLM's file has a meaning only for LiteLLM.
// Such values are not checked: LiteLLM's parser accepts duplicate keys and keys that are
// numbers, and its file must work unchanged.
func ignoredByLiteLLMs(path string) bool {
	table, key, inside := strings.Cut(path, ".")
	switch table {
	case litellmSettings:
		return inside && !slices.ContainsFunc(auditKeys, func(ours string) bool {
			return key == ours || strings.HasPrefix(key, ours+".") || strings.HasPrefix(key, ours+"[")
		})
	case generalSettings:
		return inside && key != databaseKey
	}
	return !inside && table != environmentTable && table != redactionSetting && !isNative(table)
}

// isNative reports whether a top-level key is the relay's, now or in a later version.
func isNative(key string) bool {
	_, known := fieldsOf(typeConfig).find(key)
	_, deferred := Config{}.later()[key]
	return known || deferred
}

// litellm reads one of LiteLLM's files.
type litellm struct {
	*resolver
	root       *node
	lookupHost func(string) ([]string, error)
	options    LoadOptions
	warned     bool // an operator was warned that events are sent unredacted
}

func fromLiteLLM(root *node, res *resolver, o LoadOptions) *node {
	l := &litellm{resolver: res, root: root, lookupHost: o.LookupHost, options: o}
	l.environment()
	native := l.beside()
	l.foreign = true
	settings := l.settings(litellmSettings)
	if general := l.settings(generalSettings); general != nil {
		if url := general.get(databaseKey); url.given() && !native.get("ingest").get("postgres").given() && l.root.get(storeSetting).scalar() != storePostgres {
			l.report.info(url, "general_settings.database_url is not used: it is LiteLLM's own database, which the relay neither reads nor writes")
		}
	}
	if settings != nil {
		l.misspelt(settings)
		l.callbacks(settings, native)
	} else if !l.root.get(litellmSettings).given() {
		l.report.warn(l.root, "this is LiteLLM's configuration, without litellm_settings: it lists no audit_log_callbacks, so that nothing of it is delivered; add litellm_settings: {store_audit_logs: true, audit_log_callbacks: [s3_v2], s3_callback_params: {s3_bucket_name: BUCKET}}, or callbacks of the relay's own")
	}
	l.store(settings, native)
	if !native.get("callbacks").given() { // LiteLLM's file is complete without callbacks
		native.remove("callbacks")
		native.put(root, "callbacks", &node{kind: kindList, line: root.line, column: root.column})
	}
	return native
}

// settings returns one of LiteLLM's tables, or nil if it is missing.
func (l *litellm) settings(key string) *node {
	n := l.root.get(key)
	if !n.given() {
		return nil
	}
	if n.kind != kindMapping {
		l.report.add(n, key, "found %v, expected a mapping", n.kind)
		return nil
	}
	return n
}

// environment records the variables that LiteLLM sets for itself.
func (l *litellm) environment() {
	table := l.root.get(environmentTable)
	if table == nil || table.kind != kindMapping {
		return
	}
	l.elsewhere = make(map[string]int, len(table.keys))
	for _, k := range table.keys {
		l.elsewhere[k.text] = k.line
		if strings.HasPrefix(k.text, "AWS_") {
			if _, set := l.lookup(k.text); !set {
				l.report.warn(k, "environment_variables.%s reaches LiteLLM's process alone: set it for this one too", bounded(k.text))
			}
		}
	}
}

// variable returns a variable's value as LiteLLM sees it: environment_variables of its file
// wins over the process's environment. from is where the file sets it, otherwise nil.
func (l *litellm) variable(name string) (value string, from *node) {
	if from = l.root.get(environmentTable).get(name); from.given() {
		if other, ok := strings.CutPrefix(from.text, litellmEnv); ok {
			value, _ = l.lookup(other)
			return value, from
		}
		return from.text, from
	}
	value, _ = l.lookup(name)
	return value, nil
}

// beside takes over the relay's own keys in LiteLLM's file.
func (l *litellm) beside() *node {
	native := &node{kind: kindMapping, line: l.root.line, column: l.root.column}
	for i, k := range l.root.keys {
		if isNative(k.text) {
			l.all(l.root.items[i], k.text)
			native.keys, native.items = append(native.keys, k), append(native.items, l.root.items[i])
			continue
		}
		if slices.Contains(litellmKeys, k.text) {
			if k.text == includeKey {
				l.report.warn(k, "include is not followed: audit settings in other files are not seen")
			}
			continue
		}
		if k.text == redactionSetting {
			continue
		}
		if near := nearest(k.text, fieldsOf(typeConfig).names()); near != "" {
			l.report.warn(k, "%s is ignored, as LiteLLM's own keys are: did you mean %s?", bounded(k.text), near)
		}
	}
	return native
}

// callbacks adds a callback for each entry of audit_log_callbacks.
func (l *litellm) callbacks(settings, native *node) {
	list := settings.get(callbacksKey)
	if !list.given() {
		l.noCallbacks(settings)
		return
	}
	l.all(list, pathOfCallbacks)
	if list.kind != kindList {
		l.report.add(list, pathOfCallbacks, "found %v, expected a list, as in [s3_v2]", list.kind)
		return
	}
	if len(list.items) == 0 {
		return
	}
	l.stored(settings, list)
	var made []*node
	redacts := l.redacts(native, list)
	for i, entry := range list.items {
		if cb := l.entry(settings, entry, index(pathOfCallbacks, i)); cb != nil {
			made = append(made, cb)
			if redacts {
				l.redact(entry, native, cb)
			}
		}
	}
	if len(made) == 0 {
		return
	}
	l.saidRedaction(native, list, redacts)
	all := native.get("callbacks")
	if all == nil || all.kind == kindNull {
		all = &node{kind: kindList, line: list.line, column: list.column}
		native.put(list, "callbacks", all)
	}
	if all.kind == kindList {
		all.items = append(all.items, made...)
	}
}

// stored applies LiteLLM's rules for store_audit_logs: the key decides if it is set, otherwise
// the variable.
func (l *litellm) stored(settings, list *node) {
	n := settings.get(storeKey)
	l.all(n, pathOfStore)
	if n.given() && n.text == "" && n.kind == kindString {
		return // the reference has no value, which is already reported
	}
	if n.given() {
		on, ok := n.boolean()
		switch {
		case !ok:
			l.report.add(n, pathOfStore, "found %v, expected true or false", n.kind)
		case !on:
			l.report.add(n, pathOfStore, "it is false, and audit_log_callbacks lists callbacks (line %d): with audit logs off LiteLLM makes no events, so that nothing would ever be delivered; set it to true or remove the callbacks", list.line)
		}
		return
	}
	value, from := l.variable(storeVariable)
	switch strings.ToLower(value) {
	case "true":
	case "false":
		if from != nil {
			l.report.add(from, join(environmentTable, storeVariable), "it is false, and audit_log_callbacks lists callbacks (line %d): with audit logs off LiteLLM makes no events, so that nothing would ever be delivered; set it to true or remove the callbacks", list.line)
			return
		}
		l.report.add(list, pathOfCallbacks, "the environment variable %s is false: with audit logs off LiteLLM makes no events, so that nothing would ever be delivered; set it to true or remove the callbacks", storeVariable)
	default:
		ignored := ""
		if value != "" {
			ignored = " (LiteLLM ignores a value other than true and false)"
		}
		l.report.info(list, "store_audit_logs is not set here, nor is %s%s: current versions of LiteLLM make audit events all the same where they have an enterprise licence, those before autumn 2026 only with one of the two set to true; without a licence none does", storeVariable, ignored)
	}
}

// entry converts one entry of audit_log_callbacks to a callback. An entry is a name, or a
// mapping of the name to its parameters.
func (l *litellm) entry(settings, entry *node, path string) *node {
	name, own := entry, (*node)(nil)
	if entry.kind == kindMapping && len(entry.keys) == 1 {
		name, own = entry.keys[0], entry.items[0]
	}
	if entry.unset {
		l.undecided(entry, path)
		return nil
	}
	if name.kind != kindString || (own.given() && own.kind != kindMapping) {
		l.report.add(entry, path, "found %v, expected the name of a callback, such as s3_v2, or a mapping of the name to its parameters", entry.kind)
		return nil
	}
	switch {
	case name.text == litellmS3:
	case name.text == litellmLogger && name.ref == "":
		l.report.info(entry, "%s is how LiteLLM sends to a relay; here it is no callback", name.show())
		return nil
	case strings.Contains(name.text, ".") && name.ref == "":
		l.report.add(entry, path, "%s names a Python object, which only LiteLLM can call: here a callback's own code is a WebAssembly module; put it under filters ({my-filter: {wasm: ./my-filter.wasm}}) and list it on a callback", name.show())
		return nil
	default:
		l.unknown(entry, name, path)
		return nil
	}

	options := l.s3(settings, entry, own, path)
	if options == nil {
		return nil
	}
	cb := &node{kind: kindMapping, line: entry.line, column: entry.column, origin: path}
	cb.comments = []string{"From audit_log_callbacks, line " + strconv.Itoa(entry.line) + "."}
	cb.put(entry, "name", &node{kind: kindString, text: litellmS3, line: entry.line, column: entry.column, origin: path})
	sink := &node{kind: kindMapping, line: entry.line, column: entry.column, origin: path}
	sink.put(entry, "s3", options)
	cb.put(entry, "sink", sink)
	return cb
}

// undecided reports a value that Translate needs and whose reference has no value. When
// loading, that is an error already.
func (l *litellm) undecided(n *node, path string) {
	if l.lenient {
		l.report.add(n, path, "what this becomes depends on the reference's value, which is not set")
	}
}

// put adds a key to a mapping that is being built.
func (n *node) put(from *node, key string, value *node) {
	n.keys = append(n.keys, &node{kind: kindString, text: key, line: from.line, column: from.column, origin: from.origin})
	n.items = append(n.items, value)
}

// putPath is put for a path such as credentials.role.arn.
func (n *node) putPath(from *node, path string, value *node) {
	key, rest, deeper := strings.Cut(path, ".")
	if !deeper {
		n.put(from, key, value)
		return
	}
	inner := n.get(key)
	if inner == nil {
		inner = &node{kind: kindMapping, line: from.line, column: from.column, origin: from.origin}
		n.put(from, key, inner)
	}
	inner.putPath(from, rest, value)
}
