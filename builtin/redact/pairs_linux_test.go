package redact_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestManyValues: an object of many possible pair values takes linear time, and the name of a
// pair is found at any position in it.
func TestManyValues(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
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
		for range 3 { // processor time, which does not depend on the machine's load
			begin := processorTime(t)
			r.apply(t, in)
			least = min(least, processorTime(t)-begin)
		}
		return least
	}
	var few, many time.Duration
	for range 5 { // the machine may be busy
		if few, many = took(500), took(8000); many <= 96*few+100*time.Millisecond {
			break
		}
	}
	if many > 96*few+100*time.Millisecond { // the kernel's accounting has ticks of up to 10 ms
		t.Errorf("%v for sixteen times what took %v", many, few)
	}
	path := `"name":[` + strings.Repeat(`"a",`, 100_000) + `"b"],`
	in := event(4000, path, "")
	begin := processorTime(t)
	r.apply(t, in)
	if took := processorTime(t) - begin; took > 2*time.Second { // 4.6 s before
		t.Errorf("a path of 100,001 segments for each of 4,000 values: %v", took)
	}
	for _, in := range [][]byte{event(100, `"name":["a","password"],`, ""), event(100, `"name":"password",`, ""), event(100, "", `,"name":"password"`), event(100, `"b_name":7,`, `,"name":"password"`)} {
		if out, _ := r.apply(t, in); strings.Contains(string(out), "hunter") {
			t.Errorf("a value is left: %s", out)
		}
	}
	for _, in := range [][]byte{event(100, `"name":"colour",`, ""), event(100, "", "")} { // nothing remains of the previous event
		if out, _ := r.apply(t, in); !strings.Contains(string(out), "hunter99") {
			t.Errorf("a value is gone: %s", out)
		}
	}
}
