package corpus

import "strings"

// Marker identifies every planted secret. Sixteen unique characters follow it.
const Marker = "Zk9Plant"

const tokenBytes = len(Marker) + 16

// token returns the marker and its characters: six of a count, ten random ones.
func (g *Generator) token() string {
	const alphabet = "abcdefghijklmnopqrstuvwxyz234567"
	b := []byte(Marker + "................")
	n := g.minted
	g.minted++
	for i := len(Marker); i < len(b); i++ {
		if i < len(Marker)+6 {
			b[i] = alphabet[n%32]
			n /= 32
		} else {
			b[i] = alphabet[g.random.IntN(32)]
		}
	}
	return string(b)
}

func (g *Generator) key() string       { return "sk-" + g.token() }
func (g *Generator) password() string  { return "pw!" + g.token() }
func (g *Generator) github() string    { return "ghp_" + g.token() + "f00dCafe0123" }
func (g *Generator) awsSecret() string { return g.token() + "/bPxRfiCYEXAMPLE" }
func (g *Generator) jwt() string {
	return "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhdWRpdCJ9." + g.token() + "dozjgNryP4J3jVmNHl0"
}
func (g *Generator) pem() string {
	return "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n" + g.token() + "0123456789\n-----END PRIVATE KEY-----\n"
}

// By is how a secret in a place can be recognised.
type By string

const (
	ByField By = "field" // a field of the event itself, which usually contains a digest or an id
	ByName  By = "name"  // it has a meaningful name
	ByValue By = "value" // only by its own form
)

// Kind is a kind of place for a secret.
type Kind struct {
	Name        string
	Description string
	By          By
	// Key is the decoded name at the place: the meaningful name for ByName, the field's name
	// for ByField.
	Key string
	// Opaque is set if the secret is in a text that should be JSON but is not, so no path
	// reaches it.
	Opaque bool

	plant func(*Generator, *draft) []Plant
}

// Kinds returns every kind, in the order in which Plant uses them.
func Kinds() []Kind {
	return []Kind{
		{Name: "api_key_field", By: ByField, Key: "changed_by_api_key", Description: "a raw sk- key in changed_by_api_key",
			plant: func(g *Generator, d *draft) []Plant {
				d.apiKey = g.key()
				return at("changed_by_api_key", d.apiKey)
			}},
		{Name: "object_id_field", By: ByField, Key: "object_id", Description: "a raw sk- key in object_id",
			plant: func(g *Generator, d *draft) []Plant {
				d.objectID = g.key()
				return at("object_id", d.objectID)
			}},
		{Name: "object", By: ByName, Key: "password", Description: "a password in updated_values, an object",
			plant: under("password", (*Generator).password, false)},
		{Name: "text", By: ByName, Key: "password", Description: "a password in updated_values, JSON in a string",
			plant: under("password", (*Generator).password, true)},
		{Name: "nested", By: ByName, Key: "db_password", Description: "six objects deep",
			plant: func(g *Generator, d *draft) []Plant {
				secret := g.password()
				d.set("environment", object{{"services", object{{"store", object{{"primary", object{{"auth", object{{"db_password", secret}}}}}}}}}})
				return at("updated_values.environment.services.store.primary.auth.db_password", secret)
			}},
		{Name: "array_of_objects", By: ByName, Key: "token", Description: "in the objects of an array",
			plant: func(g *Generator, d *draft) []Plant {
				one, two := g.github(), g.github()
				d.set("integrations", array{
					object{{"name", "ci"}, {"token", one}},
					object{{"name", "none"}},
					object{{"name", "deploy"}, {"token", two}},
				})
				return append(at("updated_values.integrations.0.token", one), at("updated_values.integrations.2.token", two)...)
			}},
		{Name: "array_of_strings", By: ByName, Key: "api_keys", Description: "keys in an array under a telling name",
			plant: func(g *Generator, d *draft) []Plant {
				one, two := g.key(), g.key()
				d.set("api_keys", array{one, two})
				return append(at("updated_values.api_keys.0", one), at("updated_values.api_keys.1", two)...)
			}},
		{Name: "twice_held", By: ByName, Key: "client_secret", Description: "in JSON in a string in JSON in a string",
			plant: func(g *Generator, d *draft) []Plant {
				secret := g.password()
				d.text = true
				d.set("sso_settings", held{object{{"provider", "generic"}, {"client_secret", secret}}})
				return at("updated_values.sso_settings.client_secret", secret)
			}},
		{Name: "escaped_key", By: ByName, Key: "password", Description: `a key written "\u0070assword"`,
			plant: under(escapedKey+"password", (*Generator).password, false)},
		{Name: "escaped_key_in_text", By: ByName, Key: "password", Description: `a key written "\u0070assword" in JSON in a string`,
			plant: under(escapedKey+"password", (*Generator).password, true)},
		{Name: "escaped_value", By: ByName, Key: "password", Description: "every character of the value an escape",
			plant: func(g *Generator, d *draft) []Plant {
				secret := g.password()
				written := []byte{'"'}
				for _, c := range []byte(secret) {
					written = appendEscape(written, uint16(c))
				}
				d.set("password", literal(append(written, '"')))
				return at("updated_values.password", secret)
			}},
		{Name: "camel_case", By: ByName, Key: "clientSecret", Description: "a name in camelCase",
			plant: under("clientSecret", (*Generator).password, true)},
		{Name: "kebab_case", By: ByName, Key: "api-key", Description: "a name in kebab-case",
			plant: under("api-key", (*Generator).key, true)},
		{Name: "upper_case", By: ByName, Key: "AWS_SECRET_ACCESS_KEY", Description: "a variable of the environment",
			plant: func(g *Generator, d *draft) []Plant {
				secret := g.awsSecret()
				d.set("environment_variables", object{{"AWS_REGION_NAME", "eu-central-1"}, {"AWS_SECRET_ACCESS_KEY", secret}})
				return at("updated_values.environment_variables.AWS_SECRET_ACCESS_KEY", secret)
			}},
		{Name: "vertex_credentials", By: ByName, Key: "vertex_credentials", Description: "a service account's private key, JSON in a string, in litellm_params",
			plant: func(g *Generator, d *draft) []Plant {
				secret := g.pem()
				d.text = true
				d.set("litellm_params", object{
					{"model", "vertex_ai/gemini-2.0-flash"},
					{"vertex_project", "audit-demo"},
					{"vertex_credentials", held{object{{"type", "service_account"}, {"private_key", secret}, {"client_email", "relay@audit-demo.example"}}}},
				})
				return at("updated_values.litellm_params.vertex_credentials.private_key", secret)
			}},
		{Name: "basic_auth_url", By: ByValue, Description: "a password in api_base's URL",
			plant: func(g *Generator, d *draft) []Plant {
				secret := g.token()
				d.set("litellm_params", object{{"model", "openai/gpt-4o"}, {"api_base", "https://relay:" + secret + "@llm.example.com/v1"}})
				return at("updated_values.litellm_params.api_base", secret)
			}},
		{Name: "header", By: ByName, Key: "Authorization", Description: "a bearer token (JWT) in extra_headers",
			plant: func(g *Generator, d *draft) []Plant {
				secret := g.jwt()
				d.set("litellm_params", object{{"model", "openai/gpt-4o"}, {"extra_headers", object{{"Authorization", "Bearer " + secret}}}})
				return at("updated_values.litellm_params.extra_headers.Authorization", secret)
			}},
		{Name: "before_and_after", By: ByName, Key: "webhook_secret", Description: "the same secret in before_value and updated_values",
			plant: func(g *Generator, d *draft) []Plant {
				secret := g.password()
				d.before = append(d.before, member{"webhook_secret", secret})
				d.set("webhook_secret", secret)
				return append(at("before_value.webhook_secret", secret), at("updated_values.webhook_secret", secret)...)
			}},
		{Name: "unknown_field", By: ByName, Key: "access_token", Description: "in a field of the event that the schema does not know",
			plant: func(g *Generator, d *draft) []Plant {
				secret := g.jwt()
				d.extra = append(d.extra, member{"request_context", object{{"client", "ui"}, {"access_token", secret}}})
				return at("request_context.access_token", secret)
			}},
		{Name: "object_key", By: ByValue, Description: "the secret is itself an object's key",
			plant: func(g *Generator, d *draft) []Plant {
				secret := g.key()
				d.set("spend_by_caller", object{{secret, object{{"spend", 1.25}}}})
				return at("updated_values.spend_by_caller."+secret, secret)
			}},
		{Name: "free_text", By: ByValue, Description: "a key in a sentence",
			plant: func(g *Generator, d *draft) []Plant {
				secret := g.key()
				d.set("description", "Temporary: use "+secret+" until the new one is there, \"thanks\"")
				return at("updated_values.description", secret)
			}},
		{Name: "not_a_number", By: ByName, Key: "password", Description: "in a text with NaN, which Python writes and JSON has not",
			Opaque: true, plant: opaque(`{"max_budget": NaN, "password": "`, `"}`)},
		{Name: "key_twice", By: ByName, Key: "password", Description: "the second of two equal keys in JSON in a string",
			Opaque: true, plant: opaque(`{"password": "", "password": "`, `"}`)},
		{Name: "cut_text", By: ByName, Key: "password", Description: "in JSON in a string that was cut short",
			Opaque: true, plant: opaque(`{"team_alias": "search-prod", "password": "`, `", "models": ["gpt-`)},
		{Name: "infinity", By: ByName, Key: "password", Description: "in a text with -Infinity, which Python writes and JSON has not",
			Opaque: true, plant: opaque(`{"rpm_limit": -Infinity, "password": "`, `"}`)},
		{Name: "odd_spacing", By: ByName, Key: "password", Description: "in JSON in a string with white space wherever it may stand",
			Opaque: true, plant: opaque("\n\t{ \"models\" : [ ] ,\r\n  \"password\"\t:\n\"", "\" }\n")},
		{Name: "depth_limit", By: ByName, Key: "password", Description: "60 arrays deep in JSON in a string",
			Opaque: true, plant: opaque(strings.Repeat("[", 60)+`{"password": "`, `"}`+strings.Repeat("]", 60))},
		{Name: "beyond_depth", By: ByName, Key: "password", Description: "200 arrays deep in JSON in a string, deeper than is looked",
			Opaque: true, plant: opaque(strings.Repeat("[", 200)+`{"password": "`, `"}`+strings.Repeat("]", 200))},
		{Name: "many_strings", By: ByName, Key: "password", Description: "in JSON in a string, nine times over",
			Opaque: true, plant: func(g *Generator, d *draft) []Plant {
				secret := g.password()
				var v any = object{{"password", secret}}
				for range 8 {
					v = object{{"v", held{v}}}
				}
				d.text, d.updated = true, v.(object)
				return at("updated_values", secret)
			}},
	}
}

func at(path, secret string) []Plant { return []Plant{{Path: path, Secret: secret}} }

// set adds a member to updated_values, or replaces an equal one.
func (d *draft) set(key string, value any) {
	for i, m := range d.updated {
		if m.key == key {
			d.updated[i].value = value
			return
		}
	}
	d.updated = append(d.updated, member{key, value})
}

func under(key string, mint func(*Generator) string, text bool) func(*Generator, *draft) []Plant {
	return func(g *Generator, d *draft) []Plant {
		secret := mint(g)
		d.text = text
		d.set(key, secret)
		return at("updated_values."+strings.TrimPrefix(key, escapedKey), secret)
	}
}

// opaque turns updated_values into a text that is no JSON.
func opaque(before, after string) func(*Generator, *draft) []Plant {
	return func(g *Generator, d *draft) []Plant {
		secret := g.password()
		d.updatedAs = before + secret + after
		return at("updated_values", secret)
	}
}
