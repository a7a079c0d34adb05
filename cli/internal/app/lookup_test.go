package app

import (
	"encoding/json"
	"fmt"
	nethttp "net/http"
	"slices"
	"strings"
	"testing"

	"auditrelay"
	"auditrelay/cli/internal/api"
	"auditrelay/cli/internal/http"
	"auditrelay/config"
	"auditrelay/internal/redaction"
)

const (
	lookUpKeys = `
keys:
  team: {current: 2, versions: {0: zeroth-secret-of-team, 1: destroyed, 2: second-secret-of-team}}
  user: secret-of-the-users
  idle: secret-that-none-uses
filters:
  door: {redact: {pseudonyms: shared, rules: [{names: [trace], do: hmac, key: user}]}}
  teams: {redact: {pseudonyms: shared, rules: [{paths: [object_id], do: hmac, key: team}]}}
  both: {redact: {pseudonyms: shared, rules: [{names: [user_id], do: hmac, key: user}, {names: [team_id], do: hmac, key: team}]}}
  masks: {redact: {rules: [{names: [user_id], do: mask}]}}
callbacks:
  - {name: archive, filters: [teams], sink: {kept: {}}, chunk: {age: 1ms}}
  - {name: siem, filters: [masks, both], sink: {memory: {}}, chunk: {age: 1ms}}
  - {name: raw, sink: {raw: {}}, chunk: {age: 1ms}}
`
	lookUpValue = "alice@planted.example"
)

func pseudonymOf(name string, version int, secret auditrelay.Secret, value string) string {
	return string(redaction.NewPseudonymiser(name, auditrelay.Key{Version: version, Secret: secret}).Append(nil, []byte(value)))
}

// An investigator finds the pseudonyms of an event's value, by callback and by key. The look-up
// leaves its own record, and the value is nowhere.
func TestLookUp(t *testing.T) {
	sink, raw := &keptSink{}, &keptSink{}
	const comply, ingest = "token-of-compliance", "token-of-the-producer"
	r := run(t, "log: {level: debug}\ningest: {filters: [door]}\ntokens: [{name: auditor, token: "+comply+", roles: [comply]}, {name: producer, token: "+ingest+", roles: [ingest]}]\n"+lookUpKeys, map[string]SinkMaker{"kept": sink.makers()["kept"], "raw": raw.makers()["kept"], "memory": memorySinks["memory"]})
	if status, answer := r.call("POST", "/v1/events", strings.Replace(event("e"), `"o"`, `"`+lookUpValue+`"`, 1), ingest); status != 200 {
		t.Fatal(answer)
	}
	if status, answer := r.call("POST", "/v1/pseudonyms", `{"value":"x"}`, ingest); status != nethttp.StatusForbidden || strings.Contains(answer, "hmac:") {
		t.Errorf("who may only send: %d %s", status, answer)
	}

	zero := "0 " + pseudonymOf("team", 0, "zeroth-secret-of-team", lookUpValue)
	two := "2 current " + pseudonymOf("team", 2, "second-secret-of-team", lookUpValue)
	user := "0 current " + pseudonymOf("user", 0, "secret-of-the-users", lookUpValue)
	team := func(where string) []string {
		return []string{where + " team " + zero, where + " team 1 destroyed", where + " team " + two}
	}
	door, siem := []string{"/door user " + user}, append([]string{}, team("siem/both")...)
	siem = append(siem, "siem/both user "+user)
	for _, tt := range []struct {
		asked string
		want  []string
	}{
		{``, slices.Concat(door, team("archive/teams"), siem)},
		{`,"callback":"archive"`, slices.Concat(door, team("archive/teams"))},
		{`,"callback":"siem"`, slices.Concat(door, siem)},
		{`,"key":"team"`, slices.Concat(team("archive/teams"), team("siem/both"))},
		{`,"callback":"siem","key":"user"`, slices.Concat(door, siem[3:])},
		{`,"key":"idle"`, nil},
	} {
		status, answer := r.call("POST", "/v1/pseudonyms", `{"value":"`+lookUpValue+`"`+tt.asked+`}`, comply)
		var found api.LookedUp
		if err := json.Unmarshal([]byte(answer), &found); err != nil || status != 200 || found.Pseudonyms == nil {
			t.Fatalf("%s: %d %s", tt.asked, status, answer)
		}
		var got []string
		for _, p := range found.Pseudonyms {
			line := fmt.Sprintf("%s/%s %s %d", p.Callback, p.Filter, p.Key, p.Version)
			if p.Current {
				line += " current"
			}
			if p.Destroyed {
				line += " destroyed"
			}
			got = append(got, strings.TrimRight(line+" "+p.Pseudonym, " "))
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s:\n%s\nwant:\n%s", tt.asked, strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
		}
		if strings.Contains(answer, lookUpValue) {
			t.Errorf("%s: the answer repeats the value", tt.asked)
		}
	}

	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	// The delivered pseudonym is in the look-up's result.
	if events := sink.of(t, "LiteLLM_TeamTable"); len(events) != 1 || !strings.HasSuffix(two, " "+events[0].Object) {
		t.Errorf("delivered: %+v", events)
	}
	records := raw.of(t, tableLookUp) // in stored form: no filter has hidden anything
	var told []string
	for _, e := range records {
		told = append(told, string(e.After))
		if e.By != "auditor" || e.Action != "created" || string(e.Before) != "null" {
			t.Errorf("the record: %s", e.text)
		}
		if e.Object != records[0].Object || len(e.Object) != 64 || e.Object == keyedDigest(nil, "look-up", lookUpValue) {
			t.Errorf("one value, and another digest or one without a key: %s", e.Object)
		}
		if strings.Contains(e.text, lookUpValue) || strings.Contains(e.text, zero[2:]) {
			t.Errorf("the record tells too much: %s", e.text)
		}
	}
	want := []string{
		`{"callbacks":["archive","siem"],"keys":["team","team.2","user"]}`,
		`{"callbacks":["archive"],"keys":["team","team.2","user"]}`,
		`{"callbacks":["siem"],"keys":["team","team.2","user"]}`,
		`{"callbacks":["archive","siem"],"keys":["team","team.2"]}`,
		`{"callbacks":["siem"],"keys":["user"]}`,
		`{"callbacks":[],"keys":[]}`,
	}
	if !slices.Equal(told, want) {
		t.Errorf("recorded:\n%s\nwant:\n%s", strings.Join(told, "\n"), strings.Join(want, "\n"))
	}
	if log := r.log.String(); strings.Contains(log, lookUpValue) || strings.Contains(log, "hmac:") || strings.Contains(log, "secret-of") {
		t.Errorf("the log tells too much:\n%s", log)
	}
}

// lookingUp returns a relay whose daemon can look up pseudonyms.
func lookingUp(t *testing.T) *relay {
	t.Helper()
	cfg, err := config.Parse("relay.yaml", []byte(lookUpKeys), newAssembler(t, map[string]SinkMaker{"kept": memorySinks["memory"], "raw": memorySinks["memory"], "memory": memorySinks["memory"]}).loadOptions("relay.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	r := newRelay(t, &memorySink{})
	r.serve(http.Options{Control: &daemon{rt: r.rt, cfg: cfg, log: quiet(), build: assembler{digestKey: []byte("a key of the test's own")}}})
	return r
}

// A look-up that cannot be recorded is not answered.
func TestALookUpThatCannotBeRecordedIsNotAnswered(t *testing.T) {
	r := lookingUp(t)
	const body = `{"value":"` + lookUpValue + `"}`
	if status, answer, _ := r.call("POST", "/v1/pseudonyms", body); status != 200 || !strings.Contains(answer, "hmac:team.2:") {
		t.Fatal(status, answer)
	}
	if head := r.rt.Stats().Head; head != 2 {
		t.Errorf("the journal's next sequence is %d: the answer came without a record", head)
	}
	if err := r.rt.Close(); err != nil {
		t.Fatal(err)
	}
	status, answer, head := r.call("POST", "/v1/pseudonyms", body)
	if status != nethttp.StatusServiceUnavailable || strings.Contains(answer, "hmac:") || head.Get("Retry-After") == "" {
		t.Errorf("unrecorded: %d %s", status, answer)
	}
}

func TestLookUpsThatAreRefused(t *testing.T) {
	r := lookingUp(t)
	for _, tt := range []struct {
		name, body string
		status     int
	}{
		{"nothing", ``, 400},
		{"no value", `{}`, 400},
		{"an empty value", `{"value":""}`, 400},
		{"no text", `{"value":123456789}`, 400},
		{"no UTF-8", "{\"value\":\"planted\xff\"}", 400},
		{"half of a surrogate pair", `{"value":"planted\ud800"}`, 400},
		{"the value twice", `{"value":"planted","value":"planted again"}`, 400},
		{"another field", `{"value":"planted","planted":1}`, 400},
		{"two", `{"value":"planted"}{"value":"planted"}`, 400},
		{"cut short", `{"value":"planted`, 400},
		{"too large", `{"value":"` + strings.Repeat("planted", 1<<20/7) + `"}`, 413},
		{"an unknown callback", `{"value":"planted","callback":"planted"}`, 404},
		{"an unknown key", `{"value":"planted","key":"planted"}`, 404},
	} {
		status, answer, _ := r.call("POST", "/v1/pseudonyms", tt.body)
		if status != tt.status || strings.Contains(answer, "planted") || strings.Contains(answer, "123456789") {
			t.Errorf("%s: %d %s, want %d", tt.name, status, answer, tt.status)
		}
	}
	if head := r.rt.Stats().Head; head != 1 {
		t.Errorf("the journal's next sequence is %d", head)
	}
}

// A record names its value by a keyed digest. Another relay's digest differs, and so does that
// of another value.
func TestAValuesDigestIsKeyed(t *testing.T) {
	one := keyedDigest([]byte("one"), "look-up", lookUpValue)
	for name, other := range map[string]string{
		"key": keyedDigest([]byte("two"), "look-up", lookUpValue), "value": keyedDigest([]byte("one"), "look-up", "bob"), "purpose": keyedDigest([]byte("one"), "key", lookUpValue),
	} {
		if other == one || len(other) != 64 {
			t.Errorf("the digest under another %s: %s", name, other)
		}
	}
}

// A guest's keys are its granted keys.
func TestLookUpsAnswerForGuests(t *testing.T) {
	cfg, err := config.Parse("relay.yaml", []byte(`
keys: {team: first-secret-of-team, user: secret-of-the-users, idle: secret-that-none-uses}
filters: {g: {wasm: guest.wasm, grants: {keys: [user, team]}}, h: {wasm: guest.wasm}}
callbacks: [{name: one, filters: [g, h], sink: {x: }}, {name: two, filters: [h], sink: {x: }}]
`), config.LoadOptions{Dir: "../../../config/testdata"})
	if err != nil {
		t.Fatal(err)
	}
	for want, expect := range map[api.LookUp][]keyUse{
		{}:                {{"one", "g", "user", false}, {"one", "g", "team", false}},
		{Key: "team"}:     {{"one", "g", "team", false}},
		{Callback: "two"}: nil,
	} {
		if got, err := keyUses(cfg, want); err != nil || !slices.Equal(got, expect) {
			t.Errorf("%+v: %+v, %v; want %+v", want, got, err, expect)
		}
	}
}

// With a policy that separates pseudonyms, a look-up with the field returns the delivered
// pseudonyms, which differ by callback, and those from before the policy was separate. Without
// the field it returns only the latter. A key used only for encryption has no pseudonyms.
func TestLookUpByField(t *testing.T) {
	siem, archive := &keptSink{}, &keptSink{}
	const comply, ingest = "token-of-compliance", "token-of-the-producer"
	r := run(t, `
tokens: [{name: auditor, token: `+comply+`, roles: [comply]}, {name: producer, token: `+ingest+`, roles: [ingest]}]
keys: {team: secret-of-the-teams, escrow: secret-of-the-escrow}
filters:
  apart: {redact: {pseudonyms: separate, rules: [{paths: [object_id], do: hmac, key: team}, {names: [password], do: encrypt, key: escrow}]}}
callbacks:
  - {name: siem, filters: [apart], sink: {siem: {}}, chunk: {age: 1ms}}
  - {name: archive, filters: [apart], sink: {archive: {}}, chunk: {age: 1ms}}
`, map[string]SinkMaker{"siem": siem.makers()["kept"], "archive": archive.makers()["kept"]})
	if status, answer := r.call("POST", "/v1/events", strings.Replace(event("e"), `"o"`, `"`+lookUpValue+`"`, 1), ingest); status != 200 {
		t.Fatal(answer)
	}
	shared := map[string]string{}
	ask := func(field string) map[string]string {
		status, answer := r.call("POST", "/v1/pseudonyms", `{"value":"`+lookUpValue+`"`+field+`}`, comply)
		var found api.LookedUp
		if err := json.Unmarshal([]byte(answer), &found); err != nil || status != 200 {
			t.Fatalf("%d %s", status, answer)
		}
		got := map[string]string{}
		for _, p := range found.Pseudonyms {
			if p.Key != "team" {
				t.Errorf("%+v: of a key that makes none", p)
			}
			if p.Separate {
				got[p.Callback] = p.Pseudonym
			} else if shared[p.Callback] = p.Pseudonym; p.Pseudonym == "" {
				t.Errorf("%+v: what left before is not answered", p)
			}
		}
		return got
	}
	without, by, other := ask(""), ask(`,"field":"objectId"`), ask(`,"field":"user_id"`)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	for name, sink := range map[string]*keptSink{"siem": siem, "archive": archive} {
		events := sink.of(t, "LiteLLM_TeamTable")
		if len(events) != 1 || !strings.HasPrefix(events[0].Object, "hmac:team:") || by[name] != events[0].Object {
			t.Errorf("%s: delivered %+v, looked up %s", name, events, by[name])
		}
		if without[name] != "" || other[name] == by[name] {
			t.Errorf("%s: without a field %q, in another %q", name, without[name], other[name])
		}
	}
	if by["siem"] == by["archive"] {
		t.Error("two callbacks have one pseudonym")
	}
}
