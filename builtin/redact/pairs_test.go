package redact_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestManyValues: an object of many members that may hold the value of a pair takes time in
// proportion, and the name of a pair is found wherever it stands in it.
func TestManyValues(t *testing.T) {
	r := open(t, policy(t, `{preset: litellm}`))
	event := func(n int, before, after string) []byte {
		members := make([]string, n)
		for i := range members {
			members[i] = fmt.Sprintf(`"a%d_value":"hunter%d"`, i, i)
		}
		return fmt.Appendf(nil, `{"id":"a","action":"x","updated_values":{%s%s%s}}`, before, strings.Join(members, ","), after)
	}
	took := func(n int) time.Duration {
		in, least := event(n, "", ""), time.Hour
		for range 3 {
			begin := time.Now()
			r.apply(t, in)
			least = min(least, time.Since(begin))
		}
		return least
	}
	var few, many time.Duration
	for range 5 { // the machine may be busy
		if few, many = took(500), took(8000); many <= 96*few {
			break
		}
	}
	if many > 96*few {
		t.Errorf("%v for sixteen times what took %v", many, few)
	}
	path := `"name":[` + strings.Repeat(`"a",`, 100_000) + `"b"],`
	begin := time.Now()
	r.apply(t, event(4000, path, ""))
	if took := time.Since(begin); took > 2*time.Second { // 4.6 s before
		t.Errorf("a path of 100,001 segments for each of 4,000 values: %v", took)
	}
	for _, in := range [][]byte{event(100, `"name":["a","password"],`, ""), event(100, `"name":"password",`, ""), event(100, "", `,"name":"password"`), event(100, `"b_name":7,`, `,"name":"password"`)} {
		if out, _ := r.apply(t, in); strings.Contains(string(out), "hunter") {
			t.Errorf("a value is left: %s", out)
		}
	}
	for _, in := range [][]byte{event(100, `"name":"colour",`, ""), event(100, "", "")} { // nothing stays of the event before
		if out, _ := r.apply(t, in); !strings.Contains(string(out), "hunter99") {
			t.Errorf("a value is gone: %s", out)
		}
	}
}
