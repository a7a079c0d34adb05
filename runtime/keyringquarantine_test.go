package runtime_test

import (
	"testing"

	"auditrelay"
	"auditrelay/runtime"
)

// Items in quarantine are encrypted like events, in the period of their arrival, and prevent
// its erasure.
func TestTheQuarantineIsOfAPeriod(t *testing.T) {
	const planted = "planted-alice"
	for _, test := range []struct {
		name string
		with runtime.Encryption
	}{{"encrypted", periods()}, {"control: plain", runtime.Encryption{}}} {
		t.Run(test.name, func(t *testing.T) {
			o := runtime.Options{Dir: t.TempDir(), Journal: runtime.JournalOptions{Encryption: test.with}, Callbacks: []runtime.Callback{
				quick(runtime.Callback{Name: "archive", Sink: &memorySink{}})}}
			r := start(t, o)
			err := r.Quarantine(t.Context(), runtime.Quarantined{Data: []byte(planted), Reason: "invalid", Detail: planted,
				Provenance: auditrelay.Provenance{Source: "s3", Principal: planted}})
			if err != nil {
				t.Fatal(err)
			}
			if got, want := grep(t, o.Dir, planted), test.with.Key == ""; got != want {
				t.Errorf("planted text is on disk: %v", got)
			}
			r = reopen(t, r, o)
			if it, err := r.QuarantineItem(t.Context(), 1); err != nil || string(it.Data) != planted {
				t.Errorf("%q, %v", it.Data, err)
			}
			if test.with.Key == "" {
				return
			}
			submit(t, r, event("a", "created"))
			submit(t, r, event("b", "created"))
			settle(t, r)
			if p := r.Keyring()[0]; p.State != runtime.PeriodKept || p.From != p.To {
				t.Fatalf("the period in which no event came: %+v", p)
			}
			for _, dead := range []bool{false, true} {
				_, err = r.DestroyPeriod(t.Context(), 1, runtime.By{Principal: "ann"}, dead)
				heldBy(t, err, "the quarantine has items")
			}
			if err := r.DeleteQuarantineItem(t.Context(), runtime.By{Principal: "ann"}, 1); err != nil {
				t.Fatal(err)
			}
			if p, err := r.DestroyPeriod(t.Context(), 1, runtime.By{Principal: "ann"}, false); err != nil || p.State != runtime.PeriodDestroyed {
				t.Errorf("%+v, %v", p, err)
			}
			settle(t, r)
			if s := account(t, r, "archive"); !s.Balanced {
				t.Errorf("%+v", s)
			}
		})
	}
}
