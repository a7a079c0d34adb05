package detect

import "testing"

// No shipped rule needs a search: all expressions can be matched from their beginning, without
// allocation.
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
