package detect

import "testing"

// No shipped rule needs a search: the expressions are all of the kind that is matched
// from its beginning, without allocation.
func TestShippedRulesNeedNoSearch(t *testing.T) {
	rules, err := shippedRules()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules {
		if !r.fast {
			t.Errorf("%s needs a search", r.ID)
		}
	}
}
