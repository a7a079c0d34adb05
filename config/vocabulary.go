package config

import (
	"slices"
	"strings"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/internal/keyname"
)

// eventFields are the fields of LiteLLM's audit events, including those of newer versions.
// Source: StandardAuditLogPayload and the table LiteLLM_AuditLog.
var eventFields = []string{
	"id", "updated_at", "changed_by", "changed_by_api_key", "action", "table_name", "object_id", "before_value", "updated_values",
	"object_alias", "object_team_id", "object_team_alias", "changed_by_user_email", "changed_by_key_alias",
}

// objectFields are common fields of the objects in before_value and updated_values. Other
// fields are valid too. A warning appears only for a name that is similar to one of these.
var objectFields = []string{
	"token", "key", "api_key", "key_name", "key_alias", "user_id", "user_email", "user_role", "user_alias", "team_id", "team_alias",
	"teams", "organization_id", "organization_alias", "members", "members_with_roles", "admins", "metadata", "models", "model_name",
	"model_info", "model_id", "litellm_params", "max_budget", "soft_budget", "spend", "budget_duration", "budget_reset_at", "tpm_limit",
	"rpm_limit", "max_parallel_requests", "permissions", "aliases", "config", "blocked", "expires", "duration", "created_at",
	"created_by", "updated_at", "updated_by", "password", "tags", "guardrails", "logging", "callback_vars", "environment_variables",
	"credential_values", "model", "user", "team", "member", "tag", "role", "email", "name", "names", "alias", "keys", "users", "budget", "general_settings", "litellm_settings", "router_settings", "object_permission",
}

var tableNames = []string{
	"LiteLLM_TeamTable", "LiteLLM_UserTable", "LiteLLM_VerificationToken", "LiteLLM_ProxyModelTable", "LiteLLM_ManagedFileTable",
	"LiteLLM_ToolTable", "LiteLLM_CacheConfig", "LiteLLM_ConfigOverrides", "LiteLLM_Config", "LiteLLM_SSOConfig", "LiteLLM_UISettings",
}

// vocabulary warns about conditions and paths that look misspelt: the name is no field of
// LiteLLM's events, but similar to one. It is no error, since events of other programs may have
// any name.
func (c checker) vocabulary() {
	for i := range c.Callbacks {
		c.conditions(at("callbacks", i, "when"))
		c.paths(c.in("callbacks", i).get("must_not_leave").get("paths"), pathOf("callbacks", i, "must_not_leave", "paths"))
	}
	for i := range c.Filters {
		f, under := &c.Filters[i], pathOf("filters", c.Filters[i].Name)
		n := c.in("filters", f.Name)
		c.paths(n.get("grants").get("write"), under+".grants.write")
		policy := n.get("redact")
		for _, key := range []string{"keep_only", "json", "digests", "except"} {
			c.paths(policy.get(key), under+".redact."+key)
		}
		rules := policy.get("rules")
		if rules == nil || rules.kind != kindList {
			continue
		}
		for j, rule := range rules.items {
			c.paths(rule.get("paths"), index(under+".redact.rules", j)+".paths")
		}
	}
}

func (c checker) conditions(steps []any) {
	when := c.in(steps[:2]...).get("when")
	if when == nil || when.kind != kindMapping {
		return
	}
	actions := make([]string, 0, 6)
	for _, a := range auditrelay.Actions() {
		actions = append(actions, string(a))
	}
	for i, k := range when.keys {
		var known []string
		switch {
		case k.text == "query":
			continue
		case c.otherProducers():
		case k.text == "action":
			known = actions
		case k.text == "table_name":
			known = tableNames
		}
		at := pathOf(append(steps, k.text)...)
		if !slices.Contains(eventFields, k.text) {
			if near := nearest(k.text, eventFields); near != "" {
				c.report.warn(k, "%s: no event of LiteLLM's has this field, so that the condition would match none: did you mean %s?", at, near)
			}
		}
		values := when.items[i].items
		if when.items[i].kind == kindString {
			values = []*node{when.items[i]}
		}
		for _, v := range values {
			if v.kind != kindString || v.ref != "" || len(known) == 0 || slices.Contains(known, v.text) {
				continue
			}
			near := nearest(v.text, known)
			switch {
			case near != "":
				c.report.warn(v, "%s: no event of LiteLLM's has the value %s: did you mean %s?", at, v.show(), near)
			case k.text == "action":
				c.report.warn(v, "%s: no event of LiteLLM's has the action %s: LiteLLM writes %s", at, v.show(), strings.Join(known, ", "))
			}
		}
	}
}

// otherProducers reports whether events of producers other than LiteLLM come in. Their actions
// and types of objects can be anything.
func (c checker) otherProducers() bool {
	in := c.Ingest
	return len(in.Schemas)+len(in.Hooks)+len(in.Sockets)+len(in.SenderSchemas) > 0 ||
		slices.ContainsFunc(c.Tokens, func(t Token) bool { return t.Schema != "" })
}

// paths checks a list of paths.
func (c checker) paths(list *node, path string) {
	if list == nil || list.kind != kindList {
		return
	}
	for i, n := range list.items {
		if n.kind != kindString || n.ref != "" {
			continue
		}
		if _, err := document.ParsePath(n.text); err != nil {
			continue // already reported as an error
		}
		for depth, name := range strings.Split(n.text, ".") {
			known := objectFields
			if depth == 0 {
				known = eventFields
			}
			// Wildcards, indexes, quoted and folded names are patterns, not names.
			if len(name) < 4 || strings.ContainsAny(name, "*~[]\"'\\") || slices.Contains(known, name) || slices.Contains(eventFields, name) {
				continue
			}
			if near := nearest(name, known); near != "" && keyname.Distance(name, near) <= 2 {
				c.report.warn(n, "%s: LiteLLM's events have no field %q, so that the path may match nothing: did you mean %s?", index(path, i), bounded(name), near)
			}
		}
	}
}
