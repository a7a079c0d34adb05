package redact_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"auditrelay/internal/detect"
	"auditrelay/internal/gate"
)

// further returns events in which a secret occurs twice: once identified by a name, a form or a
// pair, and once without any.
func further(secret string) map[string]string {
	s := jsonText(secret)
	inText := func(format string) string { return jsonText(fmt.Sprintf(format, secret)) }
	return map[string]string{
		"beside a name":     `{"updated_values":{"api_key":` + s + `,"note":` + inText("rotated %s today") + `}}`,
		"before the name":   `{"updated_values":{"note":` + inText("rotated %s today") + `,"api_key":` + s + `}}`,
		"in before_value":   `{"before_value":{"note":` + s + `},"updated_values":{"client_secret":` + s + `}}`,
		"JSON in a string":  `{"before_value":` + jsonText(`{"a":`+s+`}`) + `,"updated_values":` + jsonText(`{"password":`+s+`}`) + `}`,
		"a text that tells": `{"updated_values":{"note":` + inText("token=%s is set") + `,"other":` + s + `}}`,
		"an object key":     `{"updated_values":{"api_key":` + s + `,"spend":{` + s + `:1}}}`,
		"a pair":            `{"updated_values":{"env":[{"name":"API_TOKEN","value":` + s + `}],"note":` + s + `}}`,
		"a header":          `{"updated_values":{"headers":[["x-api-key",` + s + `]],"note":` + s + `}}`,
		"a flag":            `{"updated_values":{"args":["--token",` + s + `],"note":` + s + `}}`,
		"escaped":           `{"updated_values":{"api_key":` + s + `,"note":"` + escaped(secret) + `"}}`,
		"masked whole":      `{"updated_values":{"credentials":{"user":"a","key":` + s + `},"note":` + s + `}}`,
	}
}

func escaped(s string) string {
	var b strings.Builder
	for _, r := range s {
		fmt.Fprintf(&b, `\u%04x`, r)
	}
	return b.String()
}

// A value once taken as a secret occurs nowhere in the output. The gate, which learnt from the
// original event, agrees.
func TestOnceKnownRedactedEverywhere(t *testing.T) {
	r := open(t, policy(t, `{preset: litellm}`))
	inspector := secretsGate(t)
	secrets := []string{"q7Zk2mXv9TbL4wRy8nDs6HcP", "hunter2-Fall-2026", `quo"ted-7Zk2mXv9TbL4`, "9f86d081884c7d659a2feaa0c55ad0159f86d081884c7d659a2feaa0c55ad015"}
	for _, info := range detect.Shipped().All() {
		if info.Rule != nil && info.Groups[0] == "secrets" {
			secrets = append(secrets, info.Rule.Examples...)
		}
	}
	for _, secret := range secrets {
		for name, event := range further(secret) {
			if name == "a text that tells" && strings.Contains(secret, `"`) {
				continue // it ends at the quote
			}
			out, _ := r.apply(t, []byte(event))
			if strings.Contains(unescaped(out), secret) {
				t.Errorf("%s: %s\nbecame %s", name, event, out)
			}
			inspector.Forget()
			if err := inspector.Learn([]byte(event)); err != nil {
				t.Fatal(err)
			}
			if err := inspector.Document(out); err != nil {
				t.Errorf("%s: the gate refuses %s: %v", name, out, err)
			}
		}
	}
}

// unescaped returns all texts of an event, including those in strings.
func unescaped(event []byte) string {
	text := string(event)
	for range 4 {
		var plain string
		if json.Unmarshal([]byte(jsonText(text)), &plain) == nil {
			text = strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(text)
		}
	}
	return text
}

func secretsGate(tb testing.TB) *gate.Inspector {
	tb.Helper()
	g, err := gate.New(gate.Options{Detectors: []string{"secrets"}})
	if err != nil {
		tb.Fatal(err)
	}
	return g.Inspector()
}

// A filter that removes an identifying name does not make the gate blind: values that the gate
// alone refuses are refused after the filter, or gone.
func TestNoFilterMakesTheGateBlind(t *testing.T) {
	policies := []string{
		`{rules: [{names: [name], do: mask}]}`,
		`{rules: [{names: [api_key], do: remove}]}`,
		`{rules: [{paths: [updated_values.env.*.name], do: remove}]}`,
		`{rules: [{paths: [updated_values.note], do: truncate, keep: 9}]}`,
		`{rules: [{names: [args], do: truncate, keep: 4}]}`,
		`{keep_only: [updated_values.note, updated_values.other]}`,
		`{preset: secrets}`, `{preset: minimal}`, `{preset: litellm}`, `{preset: pii}`,
	}
	inspector := secretsGate(t)
	const secret = "q7Zk2mXv9TbL4wRy8nDs6HcP"
	for _, p := range policies {
		r := open(t, policy(t, p))
		for name, event := range further(secret) {
			inspector.Forget()
			if inspector.Document([]byte(event)) == nil {
				continue // the gate alone accepts it
			}
			out, _ := r.apply(t, []byte(event))
			if err := inspector.Learn([]byte(event)); err != nil {
				t.Fatal(err)
			}
			if err := inspector.Document(out); err == nil && strings.Contains(unescaped(out), secret) {
				t.Errorf("%s, %s: the gate alone refuses %s, and passes\n%s", p, name, event, out)
			}
		}
	}
}

// The identity of a key stays: its hash in the rows of LiteLLM's key tables, in object_id and
// in changed_by_api_key, although the same digits are a secret elsewhere.
func TestKeyIdentityStays(t *testing.T) {
	r := open(t, policy(t, `{preset: litellm}`))
	inspector := secretsGate(t)
	const hash = "3f9a1c5e7b2d4f6081a3c5e7092b4d6f8a1c3e5f7092b4d6e8fa1c3b5d7f9021"
	row := `{"token":"` + hash + `","key_alias":"ci"}`
	for _, event := range []string{
		`{"table_name":"LiteLLM_VerificationToken","object_id":"` + hash + `","changed_by_api_key":"` + hash + `","before_value":` + row + `,"updated_values":` + row + `}`,
		`{"table_name":"LiteLLM_VerificationToken","object_id":"` + hash + `","before_value":` + jsonText(row) + `,"updated_values":` + jsonText(row) + `}`,
		`{"before_value":` + row + `,"updated_values":null,"table_name":"LiteLLM_DeletedVerificationToken"}`,
	} {
		if out, touched := r.apply(t, []byte(event)); string(out) != event {
			t.Errorf("%s\nbecame %s: %v", event, out, touched)
		}
		inspector.Forget()
		if err := inspector.Document([]byte(event)); err != nil {
			t.Errorf("the gate refuses %s: %v", event, err)
		}
	}
	for event, want := range map[string]string{
		`{"table_name":"LiteLLM_TeamTable","updated_values":{"token":"` + hash + `"}}`:                                                            `{"table_name":"LiteLLM_TeamTable","updated_values":{"token":"***"}}`,
		`{"table_name":"LiteLLM_VerificationToken","updated_values":{"metadata":{"token":"` + hash + `"}}}`:                                       `{"table_name":"LiteLLM_VerificationToken","updated_values":{"metadata":{"token":"***"}}}`,
		`{"table_name":"LiteLLM_VerificationToken","object_id":"` + hash + `","updated_values":{"token":"` + hash + `","secret":"` + hash + `"}}`: `{"table_name":"LiteLLM_VerificationToken","object_id":"` + hash + `","updated_values":{"token":"` + hash + `","secret":"***"}}`,
	} {
		if out, _ := r.apply(t, []byte(event)); string(out) != want {
			t.Errorf("%s\nbecame %s", event, out)
		}
	}
}

// A further place gets the same pseudonym as the first one.
func TestFurtherPlacesGetTheSamePseudonym(t *testing.T) {
	r := open(t, policy(t, `{rules: [{names: [customer], do: hmac, key: k}]}`))
	out, touched := r.apply(t, []byte(`{"changed_by":"customer-7331","updated_values":{"customer":"customer-7331","note":"for customer-7331, again"}}`))
	var event struct {
		ChangedBy string                          `json:"changed_by"`
		Values    struct{ Customer, Note string } `json:"updated_values"`
	}
	if err := json.Unmarshal(out, &event); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(event.Values.Customer, "hmac:k") || event.Values.Note != "for "+event.Values.Customer+", again" || event.ChangedBy != "customer-7331" {
		t.Errorf("%s: %v", out, touched)
	}
}

// Booleans and numbers stay under meaningful names, and so does a text that merely begins with
// a bracket.
func TestTypesSurvive(t *testing.T) {
	r := open(t, policy(t, `{preset: litellm}`))
	for _, event := range []string{
		`{"updated_values":{"require_token":true,"time_to_first_token":0.31,"secret":7,"password":null,"api_key":"","token":"None"}}`,
		`{"updated_values":{"alias":"[SSO] Jane Doe","note":"[1] see the report","x":"{name} of {team}","y":"[2026-01-02] done","total_tokens":"123"}}`,
	} {
		if out, touched := r.apply(t, []byte(event)); string(out) != event {
			t.Errorf("%s\nbecame %s: %v", event, out, touched)
		}
	}
	mine := open(t, policy(t, `{rules: [{names: [pin], do: mask}]}`))
	if out, _ := mine.apply(t, []byte(`{"pin":1234}`)); string(out) != `{"pin":"***"}` {
		t.Errorf("a policy's own name leaves a number: %s", out)
	}
}

func jsonText(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// No part of a known value remains if it contains a shorter one, for any number of known
// values.
func TestKnownInsideKnown(t *testing.T) {
	for _, others := range []int{0, 40} {
		var members strings.Builder
		for i := range others {
			fmt.Fprintf(&members, `"o%d":{"password":"another-value-%d"},`, i, i)
		}
		event := `{"updated_values":{` + members.String() + `"a":{"password":"Gx7pQ2zz"},"b":{"password":"Gx7pQ2zzWk4LongTail9"},"c":{"password":"HeadxxGx7pQ2zzTail77"},` +
			`"n":["Gx7pQ2zzWk4LongTail9","HeadxxGx7pQ2zzTail77","see Gx7pQ2zzWk4LongTail9 ok"]}}`
		for _, options := range []string{`{preset: litellm}`, `{rules: [{names: [password], do: mask}]}`} {
			out, _ := open(t, policy(t, options)).apply(t, []byte(event))
			if !strings.Contains(string(out), `"n":["***","***","see *** ok"]`) {
				t.Errorf("%d others, %s: %s", others, options, out)
			}
		}
	}
}

// A number of at least ten digits that a rule by name redacts is redacted elsewhere too.
func TestKnownNumbers(t *testing.T) {
	for rule, want := range map[string]string{
		`{names: [pin], do: mask}`:   `{"updated_values":{"pin":"***","m":"***","t":"was ***","short":12345,"***":1}}`,
		`{names: [pin], do: remove}`: `{"updated_values":{"t":"was ","short":12345,"***":1}}`,
		`{names: [pins], do: mask}`:  `{"updated_values":{"pin":1234567890123,"m":1234567890123,"t":"was 1234567890123","1234567890123":1,"short":12345}}`,
	} {
		out, _ := open(t, policy(t, `{rules: [`+rule+`]}`)).apply(t, []byte(`{"updated_values":{"pin":1234567890123,"m":1234567890123,"t":"was 1234567890123","1234567890123":1,"short":12345}}`))
		if string(out) != want {
			t.Errorf("%s: %s", rule, out)
		}
	}
}
