package runtime_test

import (
	"bytes"
	"crypto/rand"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"auditrelay"
	"auditrelay/filter"
	"auditrelay/internal/proof"
	"auditrelay/internal/verify"
	"auditrelay/runtime"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"
)

// proving returns a relay that signs, with one callback that edits events.
func proving(t *testing.T, o runtime.Options) (*runtime.Runtime, *memorySink, string) {
	t.Helper()
	signing, public, err := note.GenerateKey(rand.Reader, "relay.example")
	if err != nil {
		t.Fatal(err)
	}
	o, sink := withSigner(o, signing)
	return start(t, o), sink, public
}

// withSigner returns the options of proving with a given key.
func withSigner(o runtime.Options, signing string) (runtime.Options, *memorySink) {
	sink := &memorySink{}
	o.Proofs = runtime.ProofOptions{Key: signing}
	o.Callbacks = []runtime.Callback{{Name: "archive", Digest: "config-1", Sink: sink, Steps: []runtime.Step{{Name: "mask", Filter: fn(func(c *filter.Call) (auditrelay.Verdict, error) {
		return auditrelay.Keep, c.Document.ReplaceChecked([]byte(`{"id":"e1","object_id":"masked"}`))
	}).filter()}}}}
	return o, sink
}

func TestAProofShowsWhatCameAndWhatWent(t *testing.T) {
	r, sink, public := proving(t, runtime.Options{})
	came := []byte(`{"id":"e1","updated_at":"2026-03-01T10:00:00Z","action":"created","object_id":"o"}`)
	submit(t, r, string(came))
	if err := r.Settled(t.Context()); err != nil {
		t.Fatal(err)
	}
	proofs, err := r.Prove(t.Context(), "", "e1", "")
	if err != nil || len(proofs) != 1 {
		t.Fatalf("%d proofs, %v", len(proofs), err)
	}
	if n := len(proofs[0].File); n > 4096 {
		t.Errorf("the proof has %d bytes", n)
	}
	went := []byte(sink.lines()[1])
	for name, c := range map[string]struct {
		document   []byte
		came, went bool
	}{
		"came":     {came, true, false},
		"went":     {went, false, true},
		"with LF":  {append(bytes.Clone(came), '\n'), true, false},
		"neither":  {[]byte(`{"id":"e1"}`), false, false},
		"one byte": {bytes.Replace(came, []byte(`"o"`), []byte(`"p"`), 1), false, false},
	} {
		p, err := verify.File(proofs[0].File, verify.FileOptions{Keys: []string{public}, Document: c.document})
		if err != nil {
			t.Fatal(err)
		}
		if p.Came != c.came || p.Went != c.went || p.Outcome != "delivered" || p.Accepted.IsZero() {
			t.Errorf("%s: %+v", name, p)
		}
		if p.Receipt == nil || p.Receipt.Config != "config-1" || len(p.Receipt.Filters) != 1 || p.Receipt.Filters[0].Name != "mask" {
			t.Errorf("%s: the receipt is %+v", name, p.Receipt)
		}
		if c.came && (p.Event == nil || p.Event.ID != "e1") {
			t.Errorf("the event is %+v", p.Event)
		}
	}
	_, other, err := note.GenerateKey(rand.Reader, "relay.example")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := verify.File(proofs[0].File, verify.FileOptions{Keys: []string{other}}); err == nil {
		t.Error("a proof verifies with another key")
	}
	genuine, err := verify.File(proofs[0].File, verify.FileOptions{Keys: []string{public}, Document: came})
	if err != nil {
		t.Fatal(err)
	}
	// Any change to the file is rejected or proves the same.
	for at := range proofs[0].File {
		changed := bytes.Clone(proofs[0].File)
		changed[at] ^= 1
		p, err := verify.File(changed, verify.FileOptions{Keys: []string{public}, Document: came})
		if err != nil {
			continue
		}
		// The part before the event's data is committed to only as a whole.
		if p.Came || p.Event != nil {
			t.Fatalf("byte %d was flipped, and the event came: %+v", at, p)
		}
		p.Came, p.Event = true, genuine.Event
		if diff := cmp.Diff(genuine, p); diff != "" {
			t.Fatalf("byte %d was flipped, and it proves something else: %s", at, diff)
		}
	}
}

// TestProofsOutliveARestore: a restored relay, and one restored from that one's backup, prove
// what was accepted and delivered before, with the signatures of that time.
func TestProofsOutliveARestore(t *testing.T) {
	signing, public, err := note.GenerateKey(rand.Reader, "relay.example")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "data")
	documents := map[string][]byte{}
	for life, id := range []string{"e1", "e2", "e3"} {
		o, sink := withSigner(runtime.Options{Dir: dir}, signing)
		r := start(t, o)
		documents[id] = fmt.Appendf(nil, `{"id":%q,"action":"created","object_id":"o"}`, id)
		submit(t, r, string(documents[id]))
		if err := r.Settled(t.Context()); err != nil {
			t.Fatal(err)
		}
		lines := sink.lines()
		went := []byte(lines[slices.Max(slices.Collect(maps.Keys(lines)))])
		for before := range life + 1 {
			id := fmt.Sprintf("e%d", before+1)
			proofs, err := r.Prove(t.Context(), "", id, "")
			want := 1
			if life > 0 && id == "e1" {
				want = 2 // the replay's, too
			}
			if err != nil || len(proofs) != want {
				t.Fatalf("life %d, %s: %d proofs, %v", life, id, len(proofs), err)
			}
			p, err := verify.File(proofs[len(proofs)-1].File, verify.FileOptions{Keys: []string{public}, Document: documents[id]})
			if err != nil || p.Outcome != "delivered" || !p.Came || p.Receipt == nil {
				t.Errorf("life %d, %s: %+v, %v", life, id, p, err)
			}
			if p, err := verify.File(proofs[0].File, verify.FileOptions{Keys: []string{public}, Document: went}); err != nil || !p.Went {
				t.Errorf("life %d, %s: %+v, %v", life, id, p, err)
			}
		}
		if life == 0 { // a replay that ends before the backup begins no log after the restore
			if _, err := r.Replay(t.Context(), runtime.ReplayRequest{Callback: "archive"}); err != nil {
				t.Fatal(err)
			}
			if err := r.Settled(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		backup, again := filepath.Join(t.TempDir(), "backup"), filepath.Join(t.TempDir(), "data")
		if err := r.Backup(t.Context(), backup, runtime.By{}, nil); err != nil {
			t.Fatal(err)
		}
		if err := r.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := runtime.Restore(backup, again, runtime.By{}, nil); err != nil {
			t.Fatal(err)
		}
		dir = again
	}
}

var writeForged = flag.Bool("write-forged", false, "write the corpus of forged proofs anew")

// TestWriteForged writes testdata/forged.
func TestWriteForged(t *testing.T) {
	if !*writeForged {
		t.Skip("only with -write-forged")
	}
	r, _, public := proving(t, runtime.Options{})
	submit(t, r, `{"id":"e1","action":"created","object_id":"o"}`, `{"id":"e2","action":"deleted","object_id":"p"}`)
	if err := r.Settled(t.Context()); err != nil {
		t.Fatal(err)
	}
	file := func(id string) (*proof.File, *proof.Evidence) {
		proofs, err := r.Prove(t.Context(), "", id, "")
		if err != nil || len(proofs) != 1 {
			t.Fatal(err)
		}
		f, err := proof.ParseFile(proofs[0].File)
		if err != nil {
			t.Fatal(err)
		}
		e, err := proof.ParseEvidence(f.Extra)
		if err != nil {
			t.Fatal(err)
		}
		return f, e
	}
	outcome := func(e *proof.Evidence, change func(*proof.Outcome)) {
		entry, _ := proof.ParseEntry(e.Entry)
		o, _ := entry.(proof.Outcome)
		change(&o)
		e.Entry = o.Append(nil)
	}
	signer, err := proof.Signer(newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	_, second := file("e2")
	for name, forge := range map[string]func(f *proof.File, e *proof.Evidence){
		"genuine":                func(*proof.File, *proof.Evidence) {},
		"another-outcome":        func(_ *proof.File, e *proof.Evidence) { outcome(e, func(o *proof.Outcome) { o.Outcome = 2 }) },
		"another-digest":         func(_ *proof.File, e *proof.Evidence) { outcome(e, func(o *proof.Outcome) { o.Digest[0]++ }) },
		"another-sequence":       func(_ *proof.File, e *proof.Evidence) { outcome(e, func(o *proof.Outcome) { o.Sequence++ }) },
		"another-events-outcome": func(_ *proof.File, e *proof.Evidence) { e.Entry = second.Entry },
		"another-events-acceptance": func(_ *proof.File, e *proof.Evidence) {
			e.Accepted, e.AcceptedIndex = second.Accepted, second.AcceptedIndex
		},
		"another-time-of-acceptance": func(_ *proof.File, e *proof.Evidence) { e.Accepted[16]++ },
		"another-policy": func(_ *proof.File, e *proof.Evidence) {
			e.Trail = bytes.Replace(e.Trail, []byte("mask"), []byte("none"), 1)
		},
		"another-receipt":              func(_ *proof.File, e *proof.Evidence) { e.Statement[1] = 2 },
		"another-salt":                 func(_ *proof.File, e *proof.Evidence) { e.ReceiptSalt[0]++ },
		"another-index":                func(f *proof.File, _ *proof.Evidence) { f.Index++ },
		"index-beyond-the-log":         func(f *proof.File, _ *proof.Evidence) { f.Index = 1 << 40 },
		"a-hash-less":                  func(f *proof.File, _ *proof.Evidence) { f.Hashes = f.Hashes[1:] },
		"a-hash-more":                  func(f *proof.File, _ *proof.Evidence) { f.Hashes = append(f.Hashes, f.Hashes[0]) },
		"the-log-of-what-was-accepted": func(f *proof.File, e *proof.Evidence) { f.Checkpoint = e.AcceptedHead },
		"no-log-of-what-was-accepted":  func(f *proof.File, e *proof.Evidence) { e.AcceptedHead = f.Checkpoint },
		"signed-with-another-key": func(f *proof.File, _ *proof.Evidence) {
			text, _, _ := bytes.Cut(f.Checkpoint, []byte("\n\n"))
			f.Checkpoint, _ = note.Sign(&note.Note{Text: string(text) + "\n"}, signer)
		},
		"unsigned": func(f *proof.File, _ *proof.Evidence) {
			text, _, _ := bytes.Cut(f.Checkpoint, []byte("\n\n"))
			f.Checkpoint = append(text, "\n\n"...)
		},
		"a-larger-log": func(f *proof.File, _ *proof.Evidence) {
			f.Checkpoint = bytes.Replace(f.Checkpoint, []byte("\n"), []byte("\n1"), 1)
		},
	} {
		f, e := file("e1")
		forge(f, e)
		f.Extra = e.Append(nil)
		if err := os.WriteFile(filepath.Join("testdata/forged", name+".tlog-proof"), f.Text(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile("testdata/forged/key", []byte(public+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestForgedProofsAreRefused reads the committed corpus: originally valid proofs, each changed
// in one way of forgery.
func TestForgedProofsAreRefused(t *testing.T) {
	names, err := filepath.Glob("testdata/forged/*.tlog-proof")
	if err != nil || len(names) < 5 {
		t.Fatalf("%d forged proofs, %v", len(names), err)
	}
	key, err := os.ReadFile("testdata/forged/key")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		p, err := verify.File(text, verify.FileOptions{Keys: []string{string(key)}})
		if genuine := filepath.Base(name) == "genuine.tlog-proof"; (err == nil) != genuine {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
}

// TestLogsThatEndedAreProved: logs that ended with a replay or with a removed callback are
// proved as well, also after a change of the signing key.
func TestLogsThatEndedAreProved(t *testing.T) {
	dir := t.TempDir()
	former, public, err := note.GenerateKey(rand.Reader, "relay.example")
	if err != nil {
		t.Fatal(err)
	}
	o, _ := withSigner(runtime.Options{Dir: dir}, former)
	o.Callbacks = append(o.Callbacks, quick(runtime.Callback{Name: "gone", Sink: &memorySink{}}))
	r := start(t, o)
	submit(t, r, event("e1", "created"))
	settle(t, r)
	if _, err := r.Replay(t.Context(), runtime.ReplayRequest{Callback: "archive", To: 10, By: runtime.By{Principal: "u"}}); err != nil {
		t.Fatal(err)
	}
	settle(t, r)
	proved := func(r *runtime.Runtime, key string, want ...string) {
		t.Helper()
		proofs, err := r.Prove(t.Context(), "", "e1", "")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range proofs {
			v, err := verify.File(p.File, verify.FileOptions{Keys: []string{key}})
			if err != nil {
				t.Fatalf("%s: %v", p.Callback, err)
			}
			got = append(got, p.Callback+" "+v.Outcome)
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("proved: %q, not %q", got, want)
		}
	}
	if err := r.Apply(t.Context(), o.Callbacks[:1], []string{"gone"}); err != nil {
		t.Fatal(err)
	}
	proved(r, public, "archive delivered", "archive delivered", "gone delivered")
	if err := r.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	signing, public, err := note.GenerateKey(rand.Reader, "relay.example")
	if err != nil {
		t.Fatal(err)
	}
	o, _ = withSigner(runtime.Options{Dir: dir}, signing)
	o.Proofs.PreviousKey = former
	proved(start(t, o), public, "archive delivered", "archive delivered", "gone delivered")
}
