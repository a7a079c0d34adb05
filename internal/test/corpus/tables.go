package corpus

// table is one of LiteLLM's audited tables.
type table struct {
	name    string
	weight  int
	actions []string // in their real proportion
	row     func(*Generator) (objectID string, row object)
	change  func(*Generator) object // the members that an update sets
}

func tables() []table {
	plain := []string{"created", "created", "updated", "updated", "updated", "deleted"}
	return []table{
		{"LiteLLM_VerificationToken", 9, []string{
			"created", "created", "created", "updated", "updated", "updated", "deleted", "deleted", "blocked", "unblocked", "rotated", "rotated",
		}, (*Generator).keyRow, (*Generator).keyChange},
		{"LiteLLM_TeamTable", 5, append(plain[:len(plain):len(plain)], "blocked", "unblocked"), (*Generator).teamRow, (*Generator).teamChange},
		{"LiteLLM_UserTable", 3, plain, (*Generator).userRow, (*Generator).userChange},
		{"LiteLLM_ProxyModelTable", 3, plain, (*Generator).modelRow, (*Generator).modelChange},
		{"LiteLLM_OrganizationTable", 1, plain, (*Generator).organizationRow, (*Generator).limits},
		{"LiteLLM_Config", 1, []string{"updated"}, (*Generator).configRow, (*Generator).configChange},
	}
}

func (g *Generator) pickTable() table {
	n := g.random.IntN(22)
	for _, t := range g.tables {
		if n -= t.weight; n < 0 {
			return t
		}
	}
	return g.tables[0]
}

func (g *Generator) keyRow() (string, object) {
	token := g.hash()
	return token, object{
		{"token", token},
		{"key_name", "sk-..." + token[:4]},
		{"key_alias", g.alias()},
		{"spend", g.money(5000)},
		{"max_budget", g.budget()},
		{"models", g.models()},
		{"user_id", g.pick(g.users)},
		{"team_id", g.pick(g.teams)},
		{"metadata", g.metadata()},
		{"tpm_limit", g.random.IntN(20) * 10_000},
		{"rpm_limit", g.random.IntN(20) * 100},
		{"budget_duration", g.pick([]string{"1d", "7d", "30d"})},
	}
}

func (g *Generator) keyChange() object {
	if g.random.IntN(2) == 0 {
		return g.limits()
	}
	return object{{"key_alias", g.alias()}, {"models", g.models()}}
}

func (g *Generator) teamRow() (string, object) {
	id := g.pick(g.teams)
	members := array{}
	for range 1 + g.random.IntN(2) {
		members = append(members, object{{"role", g.pick([]string{"user", "admin"})}, {"user_id", g.pick(g.users)}})
	}
	return id, append(object{
		{"team_id", id},
		{"team_alias", g.alias()},
		{"members_with_roles", members},
		{"models", g.models()},
		{"spend", g.money(20000)},
		{"metadata", g.metadata()},
	}, g.limits()...)
}

func (g *Generator) teamChange() object {
	return append(object{{"team_alias", g.alias()}, {"models", g.models()}}, g.limits()...)
}

func (g *Generator) userRow() (string, object) {
	id := g.pick(g.users)
	return id, append(object{
		{"user_id", id},
		{"user_email", g.email()},
		{"user_alias", g.person()},
		{"user_role", g.pick([]string{"proxy_admin", "internal_user", "internal_user_viewer"})},
		{"teams", array{g.pick(g.teams)}},
		{"models", g.models()},
		{"spend", g.money(900)},
	}, g.limits()...)
}

func (g *Generator) userChange() object {
	return append(object{{"user_role", g.pick([]string{"proxy_admin", "internal_user"})}, {"user_alias", g.person()}}, g.limits()...)
}

func (g *Generator) modelRow() (string, object) {
	id := g.uuid()
	model := g.pick(modelNames)
	return id, object{
		{"model_id", id},
		{"model_name", model},
		{"litellm_params", object{
			{"model", g.pick([]string{"azure/", "vertex_ai/", "bedrock/", "openai/"}) + model},
			{"api_base", "https://" + g.pick(nouns) + ".openai.azure.example/"},
			{"api_version", "2024-10-21"},
			{"rpm", g.random.IntN(900)},
		}},
		{"model_info", object{
			{"id", id},
			{"db_model", true},
			{"mode", "chat"},
			{"input_cost_per_token", 0.0000025},
		}},
	}
}

func (g *Generator) modelChange() object {
	_, row := g.modelRow()
	return object{row[1], row[2], row[3]}
}

func (g *Generator) organizationRow() (string, object) {
	id := g.uuid()
	return id, append(object{
		{"organization_id", id},
		{"organization_alias", g.alias()},
		{"budget_id", g.uuid()},
		{"models", g.models()},
		{"spend", g.money(90000)},
		{"metadata", g.metadata()},
		{"created_by", g.pick(g.users)},
	}, g.limits()...)
}

func (g *Generator) configRow() (string, object) {
	return "general_settings", object{
		{"param_name", "general_settings"},
		{"param_value", object{
			{"store_model_in_db", true},
			{"alerting", array{"slack"}},
			{"alerting_threshold", 300},
			{"proxy_batch_write_at", 60},
			{"maximum_spend_logs_retention_period", "30d"},
		}},
	}
}

func (g *Generator) configChange() object {
	_, row := g.configRow()
	return row
}

func (g *Generator) limits() object {
	return object{
		{"max_budget", g.budget()},
		{"tpm_limit", g.random.IntN(20) * 10_000},
		{"rpm_limit", g.random.IntN(20) * 100},
	}
}

func (g *Generator) metadata() object {
	return object{
		{"owner", g.email()},
		{"note", g.pick(notes)},
	}
}

func (g *Generator) models() array {
	all := array{}
	for range 1 + g.random.IntN(3) {
		all = append(all, g.pick(modelNames))
	}
	return all
}

func (g *Generator) money(most int) float64 {
	return float64(g.random.IntN(most*1_000_000)) / 1e6
}

func (g *Generator) budget() any {
	if g.random.IntN(3) == 0 {
		return nil
	}
	return float64(50 * (1 + g.random.IntN(40)))
}

func (g *Generator) alias() string { return g.pick(nouns) + "-" + g.pick(purposes) }

func (g *Generator) person() string { return g.pick(people) }

func (g *Generator) email() string {
	return g.pick([]string{"a.jansen", "m.okafor", "li.wei", "s.dubois", "r.patel", "k.nowak"}) + "@example.com"
}

// The words in generated events.
var (
	modelNames = []string{"gpt-4o", "gpt-4o-mini", "o3-mini", "claude-sonnet-4", "claude-haiku-3-5", "gemini-2.0-flash", "mistral-large", "text-embedding-3-small"}
	nouns      = []string{"search", "billing", "support", "ranking", "payments", "fraud", "catalogue", "translation", "analytics", "checkout"}
	purposes   = []string{"prod", "staging", "batch", "evals", "ci", "notebooks"}
	people     = []string{"Anna Jansen", "Mbali Okafor", "李伟", "Sébastien Dubois", "Rina Patel", "Krzysztof Nowak"}
	notes      = []string{"", "raised for the launch", "see \"Q3 plan\", page 2", "temporary; ends in July", "Größe geändert", "owner on leave 🌴", "path C:\\data\\in", "asked for in #llm-access"}
)
