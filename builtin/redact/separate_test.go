package redact_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// separated redacts an event on a callback with its own keys.
func separated(t *testing.T, text, callback, event string) string {
	t.Helper()
	f := policy(t, text)
	instance, err := f.OpenFor(t.Context(), callback)
	if err != nil {
		t.Fatal(err)
	}
	r := &redactor{instance: instance}
	out, _ := r.apply(t, []byte(event))
	return string(out)
}

var anyPseudonym = regexp.MustCompile(`(hmac|enc):[a-z0-9.]+:[0-9a-f]+`)

// Pseudonyms are separate by callback and field if a policy says so, except those of shared
// rules. They are equal in before and after, at every place of a known value, and each time. If
// a policy says nothing, they are separate too. With shared they are equal everywhere.
func TestPseudonymsAreSeparated(t *testing.T) {
	const event = `{"before_value":{"user_id":"ann","owner":"ann"},"updated_values":{"userId":"ann","password":"q7Zk2mXv9TbL4wRy","note":"it is q7Zk2mXv9TbL4wRy"}}`
	const rules = `rules: [{names: [user_id, owner], do: OP, key: k SHARED}, {secret_names: true, do: OP, key: k}]`
	for _, op := range []string{"hmac", "encrypt"} {
		of := func(settings, shared, callback string) []string {
			text := `{` + settings + strings.NewReplacer("OP", op, "SHARED", shared).Replace(rules) + `}`
			out := separated(t, text, callback, event)
			if again := separated(t, text, callback, event); again != out {
				t.Errorf("%s: %s is not what it was, %s", op, again, out)
			}
			found := anyPseudonym.FindAllString(out, -1)
			if len(found) != 5 {
				t.Fatalf("%s: %s", op, out)
			}
			return found // user_id, owner, userId, password, note
		}
		old, oldElsewhere := of("pseudonyms: shared, ", "", "siem"), of("pseudonyms: shared, ", "", "archive")
		for i := range old {
			if old[i] != oldElsewhere[i] {
				t.Errorf("%s: shared, %s on one callback and %s on another", op, old[i], oldElsewhere[i])
			}
		}
		siem, archive, before := of("pseudonyms: separate, ", "", "siem"), of("pseudonyms: separate, ", "", "archive"), of("pseudonyms: separate, ", "", "")
		for i := range siem {
			if siem[i] == archive[i] || siem[i] == old[i] || siem[i] == before[i] {
				t.Errorf("%s, value %d: joined with another callback: %s", op, i, siem[i])
			}
		}
		if silent := of("", "", "siem"); !slices.Equal(silent, siem) {
			t.Errorf("%s: a policy that does not say gives %v, want those of separate, %v", op, silent, siem)
		}
		if siem[0] == siem[1] {
			t.Errorf("%s: joined with another field: %s", op, siem[0])
		}
		if siem[0] != siem[2] {
			t.Errorf("%s: user_id before and userId after differ: %s, %s", op, siem[0], siem[2])
		}
		if siem[3] != siem[4] {
			t.Errorf("%s: a further place has another: %s, %s", op, siem[3], siem[4])
		}
		shared := of("pseudonyms: separate, ", ", shared: true", "siem")
		if shared[0] != old[0] || shared[1] != old[1] || shared[3] != siem[3] {
			t.Errorf("%s: a shared rule gives %v, want those of before, %v, and else %v", op, shared, old, siem)
		}
	}
}

// Callbacks do not share results for a policy with separate pseudonyms.
func TestSeparatedCallbacksShareNothing(t *testing.T) {
	for text, want := range map[string]bool{
		`{rules: [{names: [a], do: hmac, key: k}]}`:                                     false,
		`{rules: [{names: [a], do: mask}]}`:                                             true,
		`{pseudonyms: shared, rules: [{names: [a], do: hmac, key: k}]}`:                 true,
		`{pseudonyms: separate, rules: [{names: [a], do: hmac, key: k, shared: true}]}`: true,
		`{pseudonyms: separate, rules: [{names: [a], do: hmac, key: k}]}`:               false,
		`{pseudonyms: separate, rules: [{names: [a], do: encrypt, key: k}]}`:            false,
	} {
		f := policy(t, text)
		if got := f.Identity() == f.Identity(); got != want {
			t.Errorf("%s: shared %v, want %v", text, got, want)
		}
	}
}

// No name of a field or callback can imitate another one.
func TestPlacesAreApart(t *testing.T) {
	seen := map[string]string{}
	for _, callback := range []string{"", "a", "ab", "abc"} {
		for _, field := range []string{"c", "bc", "abc", "b"} {
			event, err := json.Marshal(map[string]any{"x": map[string]any{field: "v1"}})
			if err != nil {
				t.Fatal(err)
			}
			out := separated(t, `{pseudonyms: separate, rules: [{paths: ["x.*"], do: hmac, key: k}]}`, callback, string(event))
			found := anyPseudonym.FindString(out)
			if other, twice := seen[found]; twice || found == "" {
				t.Errorf("%s under %s: the pseudonym of %s, %s", callback, field, other, out)
			}
			seen[found] = callback + " under " + field
		}
	}
}
