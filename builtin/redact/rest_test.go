package redact_test

import (
	"strings"
	"testing"
)

// TestNoRestOfAKnownSecretStays: a detector may take only the beginning of a known secret, or an
// operation may keep a part of the text. Nothing of the secret stays, wherever it becomes known.
func TestNoRestOfAKnownSecretStays(t *testing.T) {
	const masking = `{rules: [{secret_names: true, do: mask}, {detect: [secrets], do: mask}, {names: [note], do: truncate, keep: 15}, {names: [tail], do: partial, keep: 6}]}`
	for name, tc := range map[string]struct{ policy, event, want string }{
		"known before":         {`{preset: litellm}`, `{"password":"Tr0ub4dor&3x!q/z","note":"pw is Tr0ub4dor&3x!q/z now"}`, `{"password":"***","note":"pw is *** now"}`},
		"known later":          {`{preset: litellm}`, `{"note":"pw is Tr0ub4dor&3x!q/z now","password":"Tr0ub4dor&3x!q/z"}`, `{"note":"pw is *** now","password":"***"}`},
		"in a string of JSON":  {`{preset: litellm}`, `{"a":"{\"note\":\"pw is Tr0ub4dor&3x!q/z\",\"password\":\"Tr0ub4dor&3x!q/z\"}"}`, `{"a":"{\"note\":\"pw is ***\",\"password\":\"***\"}"}`},
		"beside another":       {`{preset: litellm}`, `{"password":"Tr0ub4dor&3x!q/z","note":"pw is Tr0ub4dor&3x!q/z, token=q7Zk2mXv9TbL4wRy8nDs"}`, `{"password":"***","note":"pw is ***, token=***"}`},
		"truncated":            {masking, `{"note":"the door opens by Tr0ub4dor&3x!q/z","password":"Tr0ub4dor&3x!q/z"}`, `{"note":"***","password":"***"}`},
		"truncated within":     {masking, `{"note":"by a Tr0ub4dor&3x!q/z","password":"Tr0ub4dor&3x!q/z"}`, `{"note":"***","password":"***"}`},
		"the last characters":  {masking, `{"tail":"by a Tr0ub4dor&3x!q/z","password":"Tr0ub4dor&3x!q/z"}`, `{"tail":"***","password":"***"}`},
		"under a masked key":   {`{preset: litellm}`, `{"a":{"ghp_Zk9Q7h2Vd5Xw8Lr3TmJ3kq9ZsTb81LwX0dQf":{"b":["x",{"note":"pw is Tr0ub4dor&3x!q/z"}]}},"password":"Tr0ub4dor&3x!q/z"}`, `{"a":{"***":{"b":["x",{"note":"pw is ***"}]}},"password":"***"}`},
		"shortened, not known": {masking, `{"note":"the door opens by hand","password":"Tr0ub4dor&3x!q/z"}`, `{"note":"the door opens ","password":"***"}`},
	} {
		t.Run(name, func(t *testing.T) {
			filter := open(t, policy(t, tc.policy))
			out, _ := filter.apply(t, []byte(tc.event))
			if string(out) != tc.want {
				t.Errorf("got  %s\nwant %s", out, tc.want)
			}
			if again, _ := filter.apply(t, out); string(again) != string(out) {
				t.Errorf("done again it is another: %s", again)
			}
		})
	}
	keyed := open(t, policy(t, `{pseudonyms: separate, rules: [{secret_names: true, do: hmac, key: k}, {detect: [secrets], do: hmac, key: k}]}`))
	out, _ := keyed.apply(t, []byte(`{"note":"pw is Tr0ub4dor&3x!q/z now","password":"Tr0ub4dor&3x!q/z"}`))
	if _, pseudonym, _ := strings.Cut(string(out), `"password":"`); !strings.Contains(string(out), `"note":"pw is `+strings.TrimSuffix(pseudonym, `"}`)+` now"`) {
		t.Errorf("the further place has another pseudonym: %s", out)
	}
}
