package hostfuncs_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"syscall"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/filter"
	"auditrelay/hostfuncs"
)

// most is the maximum duration of a unit of fuel in a host function. It is some ten times the
// measured one, for busy machines.
const most = 15 * time.Nanosecond

// The work of a host function soon ends with the fuel: nothing takes much longer than it was
// paid for.
func TestHostFunctionsPayFirst(t *testing.T) {
	if hostfuncs.RaceDetector {
		t.Skip("it measures; make test runs it without the race detector")
	}
	r := newRunner(t)
	text := func(unit string, n int) string { return fmt.Sprintf(`{"s":%q}`, strings.Repeat(unit, n/len(unit))) }
	steps := func(step ...string) [][]string {
		all := make([][]string, 31)
		if step[0] == "matches" {
			all = all[:3] // each has its own expression
		}
		for i := range all {
			all[i] = step
		}
		return all
	}
	wide, deep := &strings.Builder{}, strings.Repeat(`{"a":`, 60)+"1"+strings.Repeat("}", 60)
	for i := range 20_000 {
		fmt.Fprintf(wide, `"k%d":1,`, i)
	}
	for _, c := range []struct {
		name  string
		event string
		steps [][]string
	}{
		{"a quadratic search", text("a", 100_000), steps("redact_matches", "s", "a.*b|a", "1")},
		{"a quadratic search that somebody could write in earnest", text("password", 100_000), steps("redact_matches", "s", "password=.*;|password", "1")},
		{"empty matches", text("a", 100_000), steps("redact_matches", "s", "b*", "1")},
		{"many states", text("a", 50_000), steps("matches", "s", "(?:a?){1000}b")},
		{"many searches", text("a", 900), steps("matches", "s", "(?:a?){1000}b")},
		{"detectors", text("token=", 100_000), steps("detects", "s", "secrets, pii")},
		{"a query for elements", `{"a":[` + strings.Repeat("[],", 30_000) + "1]}", steps("query", "a.#(#(a==1)#)#.#(a==1)#.a")},
		{"wide objects", `{"o":{` + wide.String() + `"z":1}}`, steps("put", "o", "new", "1")},
		{"long keys", `{"a":{"` + strings.Repeat("_", 100_000) + `":1}}`, steps("get", "a.~"+strings.Repeat("x", 50))},
		{"deep paths", `{"a":` + deep + `}`, steps("get", "**.a.**.a.**.a.**.a.**.a.**.a.**.b")},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := r
			r.t, r.event = t, c.event
			var got outcome
			took := time.Duration(math.MaxInt64)
			for range 3 { // take the minimum: other work on the machine takes time too
				began := processor(t)
				got = r.run(c.steps)
				took = min(took, processor(t)-began-startsIn)
				if took <= time.Duration(got.fuel)*most {
					break
				}
			}
			t.Logf("%v for %d units: %v", took, got.fuel, got.err)
			if took > time.Duration(got.fuel)*most {
				t.Errorf("it took %v for %d units of fuel", took, got.fuel)
			}
		})
	}
}

// processor returns the processor time of this process.
func processor(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// startsIn is the maximum time for loading and starting a guest, besides an event.
const startsIn = 50 * time.Millisecond

// Queries that would take minutes in gjson are refused, as a fault of the guest.
func TestQueriesWithoutABoundAreRefused(t *testing.T) {
	r := newRunner(t)
	r.event = fmt.Sprintf(`{%q:1}`, strings.Repeat("a", 900))
	got := r.run([][]string{{"query", strings.Repeat("*a", 20) + "*b"}})
	if f, ok := errors.AsType[*filter.Error](got.err); !ok || f.Cause != auditrelay.CauseProtocol || !strings.Contains(got.err.Error(), "more than 2 *") {
		t.Errorf("got %v", got.err)
	}
}

// Compiled expressions count as the guest's memory. Their size is determined before they are
// compiled.
func TestExpressionsTakeMemory(t *testing.T) {
	r := newRunner(t)
	for _, c := range []struct {
		expression string
		times      int
		cause      auditrelay.Cause
		want       string
	}{
		{strings.Repeat(".{999}", 60), 1, auditrelay.CauseInit, "more than 10000 instructions"},
		{"((a{90}){90}){90}", 1, auditrelay.CauseInit, ""}, // the limit of package regexp
		{".{999}.{999}.{999}", 20, auditrelay.CauseMemory, "limits.memory"},
		{".{999}", 5, "", ""},
	} {
		t.Run(fmt.Sprintf("%.20s", c.expression), func(t *testing.T) {
			r := r
			r.t = t
			var steps [][]string
			for range c.times {
				steps = append(steps, []string{"matches", "s", c.expression})
			}
			err := r.load(steps)
			f, _ := errors.AsType[*filter.Error](err)
			switch {
			case c.cause == "" && err != nil:
				t.Error(err)
			case c.cause != "" && (f == nil || f.Cause != c.cause || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want %s", err, c.cause)
			}
		})
	}
}
