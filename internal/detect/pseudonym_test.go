package detect

import (
	"strings"
	"testing"
)

// A pseudonym is no secret, in any place and with any version of its key, including the longest
// possible key name.
func TestPseudonymsAreNoSecrets(t *testing.T) {
	set, err := Shipped().Set("secrets")
	if err != nil {
		t.Fatal(err)
	}
	const digits = "56c18bd2ac6a5ef8c338f6203cadc0cf"
	for _, label := range []string{"team", "team.2", "api_key", "api_key.2", strings.Repeat("k", 57) + "_secret.999999"} {
		for _, text := range []string{"hmac:" + label + ":" + digits, "the password=hmac:" + label + ":" + digits + " was set"} {
			if found := set.Append(nil, []byte(text), Name{}); len(found) > 0 {
				t.Errorf("%s: found %+v", text, found)
			}
		}
	}
}
