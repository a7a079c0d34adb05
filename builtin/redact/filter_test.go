package redact_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"auditrelay"
	"auditrelay/builtin/redact"
	"auditrelay/config"
	"auditrelay/document"
	"auditrelay/filter"
	"auditrelay/internal/detect"
	"auditrelay/internal/redaction"
)

// keys for pseudonyms.
var keys = map[string]auditrelay.Key{"k": {Secret: "0123456789abcdef"}, "other": {Secret: "fedcba9876543210"}}

// policy reads a policy in the form of a configuration, merged with its preset.
func policy(tb testing.TB, text string) *redact.Filter {
	tb.Helper()
	o := options(tb, "test.yaml", text)
	if o.Preset != "" {
		preset, err := redact.Preset(o.Preset)
		if err != nil {
			tb.Fatal(err)
		}
		o = o.Over(options(tb, o.Preset+".yaml", string(preset)))
	}
	f, err := redact.New(o, keys)
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

func options(tb testing.TB, name, text string) redact.Options {
	tb.Helper()
	section, err := config.ReadSection(name, []byte(text))
	if err != nil {
		tb.Fatal(err)
	}
	var o redact.Options
	if err := section.Decode(&o); err != nil {
		tb.Fatal(err)
	}
	return o
}

// redactor applies a policy to events like an engine worker.
type redactor struct {
	instance filter.Instance
	document document.Document
	out      []byte
}

func open(tb testing.TB, f *redact.Filter) *redactor {
	tb.Helper()
	i, err := f.Open(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return &redactor{instance: i}
}

// apply returns the policy's result for one event. The bytes are valid until the next call.
func (r *redactor) apply(tb testing.TB, event []byte) ([]byte, []filter.Touch) {
	tb.Helper()
	if err := document.Check(event, document.Limits{}); err != nil {
		tb.Fatalf("the event: %v", err)
	}
	r.document.Reset(event)
	call := filter.Call{Event: &auditrelay.Event{Data: event}, Document: &r.document}
	verdict, err := r.instance.Apply(context.Background(), &call)
	if err != nil || verdict != auditrelay.Keep {
		tb.Fatalf("verdict %v, error %v", verdict, err)
	}
	r.out = r.document.Append(r.out[:0])
	if err := document.Check(r.out, document.Limits{Depth: 100}); err != nil {
		tb.Fatalf("what came out is no event: %v\n%s", err, r.out)
	}
	return r.out, call.Touched
}

const pseudonymOfAlice = "hmac:k:PSEUDONYM"

func TestOperations(t *testing.T) {
	alice := string(redaction.NewPseudonymiser("k", keys["k"]).Append(nil, []byte("alice")))
	for _, c := range []struct{ name, policy, event, want string }{
		{"remove", `rules: [{paths: [a.b], do: remove}]`, `{"a": {"b":1, "c":2}}`, `{"a": { "c":2}}`},
		{"mask hides length and kind", `rules: [{paths: [a, b, c], do: mask}]`, `{"a":"x","b":[1,{"c":2}],"c":true}`, `{"a":"***","b":"***","c":"***"}`},
		{"null and empty stay", `rules: [{names: [a, b], do: mask}]`, `{"a":null,"b":""}`, `{"a":null,"b":""}`},
		{"remove removes null too", `rules: [{names: [a], do: remove}]`, `{"a":null,"b":""}`, `{"b":""}`},
		{"hmac", "pseudonyms: shared\nrules: [{names: [user], do: hmac, key: k}]", `{"user":"alice"}`, `{"user":"` + pseudonymOfAlice + `"}`},
		{"hmac of each value inside", "pseudonyms: shared\nrules: [{names: [user], do: hmac, key: k}]", `{"user":{"id":"alice","more":["alice",null]}}`, `{"user":{"id":"` + pseudonymOfAlice + `","more":["` + pseudonymOfAlice + `",null]}}`},
		{"the same in before and after, text or object", "pseudonyms: shared\nrules: [{names: [user], do: hmac, key: k}]", `{"before_value":"{\"user\":\"alice\"}","updated_values":{"user":"alice"}}`, `{"before_value":"{\"user\":\"` + pseudonymOfAlice + `\"}","updated_values":{"user":"` + pseudonymOfAlice + `"}}`},
		{"partial", `rules: [{paths: [card], do: partial, keep: 4}]`, `{"card":"1234567890"}`, `{"card":"***7890"}`},
		{"partial shows at most half", `rules: [{paths: [card], do: partial, keep: 4}]`, `{"card":"12345"}`, `{"card":"***45"}`},
		{"truncate", `rules: [{paths: [t], do: truncate, keep: 2}]`, `{"t":"añb"}`, `{"t":"añ"}`},
		{"numbers", `rules: [{paths: [n], do: partial, keep: 2}, {paths: [m], do: mask}]`, `{"n":123456,"m":1e400}`, `{"n":"***56","m":"***"}`},
		{"no part of what should have been looked into", `rules: [{paths: [t], do: truncate, keep: 20}]`, `{"t":"{\"password\":\"x"}`, `{"t":"***"}`},
		{"keep_only", `keep_only: [id, "updated_values.models", "updated_values.*.rpm"]`, `{"id":1,"x":2,"updated_values":{"models":["a"],"team":{"rpm":5,"alias":"x"},"k":1}}`, `{"id":1,"updated_values":{"models":["a"],"team":{"rpm":5}}}`},
		{"keep_only through a string", `keep_only: [v.a]`, `{"v":"{\"a\":1,\"b\":2}"}`, `{"v":"{\"a\":1}"}`},
		{"keep_only with nothing", `keep_only: []`, `{"id":1,"x":2}`, `{}`},
		{"what stays is subject to the rules", "keep_only: [a]\nrules: [{names: [password], do: mask}]", `{"a":{"password":"x"},"b":1}`, `{"a":{"password":"***"}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, _ := open(t, policy(t, c.policy)).apply(t, []byte(c.event))
			if want := strings.ReplaceAll(c.want, pseudonymOfAlice, alice); string(got) != want {
				t.Errorf("got\n%s, want\n%s", got, want)
			}
		})
	}
}

func TestNames(t *testing.T) {
	for _, c := range []struct {
		pattern string
		yes, no []string
	}{
		{"api_key", []string{"api_key", "apiKey", "API-KEY", "APIKey", "apikey", "Api Key", "api.key", "a_p_i_key"}, []string{"api_keys", "my_api_key", "api"}},
		{"*_secret", []string{"client_secret", "clientSecret", "CLIENT-SECRET", "awsClientSecret", "a_secret"}, []string{"secret", "nosecret", "client_secret_id"}},
		{"secret_*", []string{"secret_name", "secretName"}, []string{"secret", "secrets", "my_secret_name"}},
		{"*_key_*", []string{"my_key_id", "apiKeyId"}, []string{"key_id", "my_key", "monkey_x"}},
		{"*secret*", []string{"secret", "secrets", "nosecrets", "topSecretThing", "sec_ret"}, []string{"secre"}},
		{"pass*", []string{"password", "passphrase", "pass"}, []string{"compass"}},
		{"école", []string{"École", "ÉCOLE"}, []string{"ecole"}},
		{"token", []string{"toKen", "to\u212Aen", "TOKEN"}, []string{"tokens", "max_tokens"}},
		{"secret", []string{"\u017Fecret"}, nil},
	} {
		f := policy(t, `rules: [{names: ["`+c.pattern+`"], do: mask}]`)
		r := open(t, f)
		for want, keys := range map[string][]string{"***": c.yes, "x": c.no} {
			for _, key := range keys {
				if got, _ := r.apply(t, []byte(`{"`+key+`":"x"}`)); string(got) != `{"`+key+`":"`+want+`"}` {
					t.Errorf("%s beside the key %s: %s, want %s", c.pattern, key, got, want)
				}
			}
		}
	}
}

// Every possible place of a password.
func TestEveryPlace(t *testing.T) {
	f := policy(t, `{rules: [{names: [password], do: mask}], json: [v], opaque: mask}`)
	for _, c := range []struct{ name, event, want string }{
		{"nested", `{"a":[{"b":{"password":"x"}}]}`, `{"a":[{"b":{"password":"***"}}]}`},
		{"in a string", `{"v":"{\"password\": \"x\", \"n\": 1.50}"}`, `{"v":"{\"password\": \"***\", \"n\": 1.50}"}`},
		{"in a string of a string", `{"v":"{\"w\":\"{\\\"password\\\":\\\"x\\\"}\"}"}`, `{"v":"{\"w\":\"{\\\"password\\\":\\\"***\\\"}\"}"}`},
		{"an escaped key", `{"v":{"\u0070assword":"x"}}`, `{"v":{"\u0070assword":"***"}}`},
		{"a key escaped twice", `{"v":"{\"\\u0070assword\":\"x\"}"}`, `{"v":"{\"\\u0070assword\":\"***\"}"}`},
		{"beside NaN", `{"v":"{\"b\": NaN, \"c\": -Infinity, \"password\": \"x\"}"}`, `{"v":"{\"b\": NaN, \"c\": -Infinity, \"password\": \"***\"}"}`},
		{"a duplicate key", `{"v":"{\"password\":\"\",\"password\":\"x\"}"}`, `{"v":"{\"password\":\"\",\"password\":\"***\"}"}`},
		{"odd spacing", `{"v":" \n{ \"password\" :\t\"x\" } "}`, `{"v":" \n{ \"password\" :\t\"***\" } "}`},
		{"a string that was cut", `{"v":"{\"password\":\"x\",\"mod"}`, `{"v":"***"}`},
		{"another string that was cut", `{"other":"[{\"password\":\"x\"}"}`, `{"other":"***"}`},
		{"declared, and no JSON", `{"v":"password: x"}`, `{"v":"***"}`},
		{"declared, a scalar", `{"v":" 12 "}`, `{"v":" 12 "}`},
		{"declared, a scalar string", `{"v":"\"text\""}`, `{"v":"\"text\""}`},
		{"declared, a scalar string with escapes", `{"v":"\"\\u0073k\""}`, `{"v":"***"}`},
		{"declared, null and empty", `{"v":null,"w":{"v":""}}`, `{"v":null,"w":{"v":""}}`},
		{"not declared, a text", `{"w":"password: x"}`, `{"w":"password: x"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, _ := open(t, f).apply(t, []byte(c.event)); string(got) != c.want {
				t.Errorf("got\n%s, want\n%s", got, c.want)
			}
		})
	}
}

func quoted(tb testing.TB, s string) string {
	tb.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

// A string nested beyond the limit is masked whole, not skipped.
func TestBoundsFailClosed(t *testing.T) {
	f := policy(t, `{rules: [{names: [password], do: mask}], json: [v], opaque: mask}`)
	text := `{"password":"hunter2"}`
	for depth := range 12 {
		text = `{"v":` + quoted(t, text) + `}`
		if got, _ := open(t, f).apply(t, []byte(text)); strings.Contains(string(got), "hunter2") {
			t.Errorf("%d strings deep: %s", depth+1, got)
		}
	}
	deep := strings.Repeat("[", 80) + `{"password":"hunter2"}` + strings.Repeat("]", 80)
	if got, _ := open(t, f).apply(t, []byte(`{"v":`+quoted(t, deep)+`}`)); string(got) != `{"v":"***"}` {
		t.Errorf("80 arrays deep: %s", got)
	}
}

// The strongest rule applies, in any order of the rules.
func TestRuleOrderOpensNoHole(t *testing.T) {
	rules := []string{
		`{names: [token], do: truncate, keep: 3}`, `{paths: ["**.token"], do: hmac, key: k}`,
		`{paths: [a.token], do: mask}`, `{names: [a], do: partial, keep: 2}`,
	}
	event := []byte(`{"a":{"token":"abcdef","n":"abcdef"},"token":"abcdef"}`)
	want := ""
	permutations(rules, func(order []string) {
		got, _ := open(t, policy(t, "rules: ["+strings.Join(order, ", ")+"]")).apply(t, event)
		if want == "" {
			want = string(got)
		}
		if string(got) != want {
			t.Errorf("%v gave %s, another order %s", order, got, want)
		}
	})
	if !strings.HasPrefix(want, `{"a":{"token":"***","n":"***ef"},"token":"hmac:k:`) {
		t.Error(want)
	}
}

func permutations(items []string, f func([]string)) {
	var permute func(n int)
	permute = func(n int) {
		if n == len(items) {
			f(items)
			return
		}
		for i := n; i < len(items); i++ {
			items[n], items[i] = items[i], items[n]
			permute(n + 1)
			items[n], items[i] = items[i], items[n]
		}
	}
	permute(0)
}

func TestDigestsAndExceptions(t *testing.T) {
	const digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	f := policy(t, `{rules: [{names: ["*_api_key", token], do: mask}], digests: [changed_by_api_key, v.token], except: [w.token, u]}`)
	for _, c := range []struct{ event, want string }{
		{`{"changed_by_api_key":"` + digest + `"}`, `{"changed_by_api_key":"` + digest + `"}`},
		{`{"changed_by_api_key":"` + strings.ToUpper(digest) + `"}`, `{"changed_by_api_key":"***"}`},
		{`{"changed_by_api_key":"` + digest + `0"}`, `{"changed_by_api_key":"***"}`},
		{`{"changed_by_api_key":"litellm_proxy_admin"}`, `{"changed_by_api_key":"***"}`},
		{`{"v":{"token":"` + digest + `"},"x":{"token":"` + digest + `"}}`, `{"v":{"token":"` + digest + `"},"x":{"token":"***"}}`},
		{`{"w":{"token":"x"}}`, `{"w":{"token":"x"}}`},
		{`{"u":{"token":"x"}}`, `{"u":{"token":"***"}}`}, // the value itself, not its content
	} {
		if got, _ := open(t, f).apply(t, []byte(c.event)); string(got) != c.want {
			t.Errorf("%s became\n%s, want\n%s", c.event, got, c.want)
		}
	}
}

// Rules that match a digest by its name spare it, and so do detectors. Rules that name its
// place, or a value that contains it, do not.
func TestADigestIsNotSparedByItsPath(t *testing.T) {
	const digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	for _, rule := range []string{`{paths: [v.token], do: hmac, key: k}`, `{paths: [v], do: hmac, key: k}`, `{paths: ["**.token"], do: truncate, keep: 3}`, `{paths: ["**.~token"], do: mask}`} {
		f := policy(t, `{rules: [`+rule+`], digests: [v.token, "**.~token"]}`)
		if got, _ := open(t, f).apply(t, []byte(`{"v":{"token":"`+digest+`"}}`)); strings.Contains(string(got), digest) {
			t.Errorf("%s: %s", rule, got)
		}
	}
}

// No part remains of a finding that a detector identifies by its key.
func TestNoPartOfANamedSecretStays(t *testing.T) {
	f := policy(t, `{rules: [{names: [password], do: truncate, keep: 5}, {detect: [secrets], do: mask}]}`)
	if got, _ := open(t, f).apply(t, []byte(`{"password":"c0rrect-h0rse-b4ttery"}`)); string(got) != `{"password":"***"}` {
		t.Errorf("%s", got)
	}
}

func TestTouchedTellsTheRulesAndNoData(t *testing.T) {
	f := policy(t, `{rules: [{names: ["*_secret"], do: mask}, {paths: ["**.user"], do: hmac, key: k}], json: [v], keep_only: ["v.**", "w"]}`)
	_, touched := open(t, f).apply(t, []byte(`{"v":"{\"a_secret\":1,\"bSecret\":2,\"user\":3}","w":[1],"x":1}`))
	got := map[string]int{}
	for _, touch := range touched {
		got[touch.Operation+" "+touch.Path] += touch.Count
	}
	want := map[string]int{"mask ~*_secret": 2, "hmac **.user": 1, "remove keep_only": 1}
	for k, n := range want {
		if got[k] != n {
			t.Errorf("%s: %d, want %d (all: %v)", k, got[k], n, got)
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %v", got)
	}
}

func TestBadPoliciesTellAllAtOnce(t *testing.T) {
	o := options(t, "bad.yaml", `
opaque: maybe
keep_only: ["a..b"]
json: ["*x"]
rules:
  - {do: mask}
  - {names: [x]}
  - {names: ["a*b", "***"], do: hmac, key: nobody}
  - {paths: [a], do: partial}
  - {detect: [secrets, nonsense], do: truncate, keep: 3}
  - {paths: [a], do: mask, keep: 3, key: k}
`)
	_, err := redact.New(o, keys)
	for _, want := range []string{
		"opaque: ", "keep_only[0]: ", "json[0]: ", "rules[0]: it names nothing", "rules[1].do: it is required",
		"rules[2].names[0]: ", "rules[2].names[1]: ", "rules[2].key: there is no key", "rules[3].keep: it is required",
		"rules[4].detect: ", "rules[4].do: truncate would leave a part", "rules[5].keep: ", "rules[5].key: ",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in:\n%v", want, err)
		}
	}
}

func TestDigestOfAPolicy(t *testing.T) {
	base := policy(t, `{rules: [{names: [a], do: mask}]}`).Digest()
	if policy(t, `{rules: [{names: [a], do: mask}]}`).Digest() != base {
		t.Error("the same policy has two digests")
	}
	for _, other := range []string{
		`{rules: [{names: [b], do: mask}]}`, `{rules: [{names: [a], do: remove}]}`, `{rules: [{paths: [a], do: mask}]}`,
		`{rules: [{names: [a], do: mask}], keep_only: []}`, `{rules: [{names: [a], do: mask}], opaque: mask}`,
		`{rules: [{names: [a], do: mask}], json: [v]}`, `{rules: [{names: [a], do: mask}], except: [v]}`,
		`{preset: secrets, rules: [{names: [a], do: mask}]}`, `{rules: [{names: [a], do: mask}], pseudonyms: separate}`,
	} {
		if policy(t, other).Digest() == base {
			t.Errorf("%s has the same digest", other)
		}
	}
	const keyed = `{pseudonyms: separate, rules: [{names: [a], do: hmac, key: k}]}`
	if policy(t, keyed).Digest() == policy(t, strings.Replace(keyed, "key: k", "key: k, shared: true", 1)).Digest() {
		t.Error("a shared rule has the digest of one that is not")
	}
	if text := string(policy(t, `{rules: [{names: [a], do: mask}]}`).Text()); !strings.HasPrefix(text, "engine: ") {
		t.Errorf("no version of the engine is in %q", text)
	}
	// The detectors' digest is part of a policy that uses any.
	other, err := detect.NewCatalogue(detect.Options{Rules: []detect.Rule{{ID: "ours", Prefixes: []string{"ours-"}, Alphabet: "A-Z", Least: 8}}})
	if err != nil {
		t.Fatal(err)
	}
	for text, same := range map[string]bool{`{rules: [{names: [a], do: mask}]}`: true, `{rules: [{detect: [secrets], do: mask}]}`: false, `{rules: [{secret_names: true, do: mask}]}`: false} {
		f, err := redact.NewWith(options(t, "test.yaml", text), nil, other)
		if err != nil {
			t.Fatal(err)
		}
		if (f.Digest() == policy(t, text).Digest()) != same {
			t.Errorf("%s with another rule: the same digest: %v, want %v", text, !same, same)
		}
	}
}
