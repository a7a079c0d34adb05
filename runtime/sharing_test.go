package runtime_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"auditrelay"
	"auditrelay/builtin/redact"
	"auditrelay/filter"
	"auditrelay/internal/redaction"
	"auditrelay/runtime"
)

// counting is a pure filter that counts its calls.
type counting struct {
	*redact.Filter
	calls *atomic.Int64
}

func (c counting) Open(ctx context.Context) (filter.Instance, error) {
	instance, err := c.Filter.Open(ctx)
	return countingInstance{instance, c.calls}, err
}

type countingInstance struct {
	filter.Instance
	calls *atomic.Int64
}

func (c countingInstance) Apply(ctx context.Context, call *filter.Call) (auditrelay.Verdict, error) {
	c.calls.Add(1)
	return c.Instance.Apply(ctx, call)
}

func pseudonyms(t *testing.T, key auditrelay.Key, shared bool, rules ...redact.Rule) *redact.Filter {
	t.Helper()
	rules = append(rules, redact.Rule{Paths: []string{"object_id"}, Do: redaction.Pseudonym, Key: "people", Shared: shared})
	f, err := redact.New(redact.Options{Rules: rules}, map[string]auditrelay.Key{"people": key})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestCallbacksThatJudgeAlikeJudgeOnce has callbacks that share results, and others that differ
// from them in one thing each. Each must deliver what it would alone, with its own accounts and
// receipts.
func TestCallbacksThatJudgeAlikeJudgeOnce(t *testing.T) {
	one, other := auditrelay.Key{Secret: "the key of the one team"}, auditrelay.Key{Secret: "the key of another team"}
	deleted := &auditrelay.When{Fields: map[string][]string{"action": {"deleted"}}}
	kinds := []struct {
		name  string
		key   auditrelay.Key
		when  *auditrelay.When
		rule  []redact.Rule
		apart bool // it has its own pseudonyms
	}{
		{name: "plain", key: one},
		{name: "same", key: one},
		{name: "again", key: one},
		{name: "otherkey", key: other},
		{name: "otherversion", key: auditrelay.Key{Version: 2, Secret: one.Secret}},
		{name: "otherrule", key: one, rule: []redact.Rule{{Paths: []string{"action"}, Do: redaction.Masked}}},
		{name: "othercondition", key: one, when: deleted},
		{name: "apart", key: one, apart: true},
		{name: "alsoapart", key: one, apart: true},
	}
	calls := map[string]*atomic.Int64{}
	run := func(names ...string) map[string]map[uint64]string {
		sinks := map[string]*memorySink{}
		var callbacks []runtime.Callback
		for _, k := range kinds {
			if !slices.Contains(names, k.name) {
				continue
			}
			sinks[k.name], calls[k.name] = &memorySink{}, &atomic.Int64{}
			callbacks = append(callbacks, quick(runtime.Callback{Name: k.name, Sink: sinks[k.name], When: k.when,
				Steps: []runtime.Step{{Name: "people", Filter: counting{pseudonyms(t, k.key, !k.apart, k.rule...), calls[k.name]}}}}))
		}
		r := start(t, runtime.Options{Callbacks: callbacks})
		for i := range 20 {
			var events []string
			for k := range 25 {
				action := []string{"created", "deleted"}[k%2]
				events = append(events, strings.Replace(event(fmt.Sprintf("%d-%d", i, k), action), `"t1"`, fmt.Sprintf(`"person %d"`, k), 1))
			}
			submit(t, r, events...)
		}
		settle(t, r)
		got := map[string]map[uint64]string{}
		for _, name := range names {
			got[name] = sinks[name].lines()
			if a := account(t, r, name); !a.Balanced || a.Assigned != 500 || a.Delivered != uint64(len(got[name])) {
				t.Errorf("%s: %+v", name, a)
			}
			end := ending(t, r, "3-4", name)
			if name != "othercondition" && (len(end.Receipts) != 1 || len(end.Receipts[0].Filters) != 1 || len(end.Receipts[0].Filters[0].Touched) == 0) {
				t.Errorf("%s: its receipt does not say what the filter did: %+v", name, end.Receipts)
			}
		}
		return got
	}
	var names []string
	alone := map[string]map[uint64]string{}
	for _, k := range kinds {
		names = append(names, k.name)
		alone[k.name] = run(k.name)[k.name]
	}
	together := run(names...)
	for _, name := range names {
		if len(alone[name]) == 0 || !maps.Equal(together[name], alone[name]) {
			t.Errorf("%s delivers beside others what it does not alone", name)
		}
	}
	for i, a := range names {
		for _, b := range names[i+1:] {
			if same := maps.Equal(together[a], together[b]); same != (slices.Contains([]string{"plain", "same", "again"}, a) && slices.Contains([]string{"same", "again"}, b)) {
				t.Errorf("%s and %s deliver the same: %v", a, b, same)
			}
		}
	}
	shared := calls["plain"].Load() + calls["same"].Load() + calls["again"].Load()
	if shared > 2*500 {
		t.Errorf("three callbacks that judge alike judged %d times, of 500 events", shared)
	}
}

// TestAlertsAreNotShared: if own records go to only one callback, alerts reach theirs too, but
// no other callback that is otherwise equal, in any order.
func TestAlertsAreNotShared(t *testing.T) {
	never := &auditrelay.When{Fields: map[string][]string{"action": {"blocked"}}}
	for range 5 {
		with, without := &memorySink{}, &memorySink{}
		r := start(t, runtime.Options{Control: runtime.Control{Callback: "control", Only: true}, Callbacks: []runtime.Callback{
			quick(runtime.Callback{Name: "control", Sink: &memorySink{}, When: never}),
			quick(runtime.Callback{Name: "without", Sink: without, When: never}),
			quick(runtime.Callback{Name: "with", Sink: with, When: never, Alerts: true}),
			quick(runtime.Callback{Name: "without2", Sink: &memorySink{}, When: never}),
		}})
		if err := r.RecordAlert(t.Context(), runtime.Change{Action: auditrelay.ActionCreated, Object: "a"}, []byte("{}")); err != nil {
			t.Fatal(err)
		}
		settle(t, r)
		if len(with.lines()) != 1 || len(without.lines()) != 0 {
			t.Errorf("an alert was delivered %d times where alerts go, and %d times elsewhere", len(with.lines()), len(without.lines()))
		}
	}
}
