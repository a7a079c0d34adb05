package runtime_test

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"auditrelay"
	"auditrelay/builtin/file"
	"auditrelay/internal/verify"
	"auditrelay/runtime"

	"golang.org/x/mod/sumdb/note"
)

// files reads all files below a folder.
func files(t *testing.T, dir string) place {
	t.Helper()
	p := place{}
	err := filepath.WalkDir(dir, func(name string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		rel, _ := filepath.Rel(dir, name)
		p[filepath.ToSlash(rel)] = data
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A folder may contain the files of several callbacks, and files not written by the relay.
func TestSeveralFilesInOneFolderVerify(t *testing.T) {
	signing, public, err := note.GenerateKey(rand.Reader, "relay.example")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	o := runtime.Options{Dir: t.TempDir(), Proofs: runtime.ProofOptions{Key: signing}}
	for _, name := range []string{"one", "two"} {
		sink, err := file.New(file.Options{Path: filepath.Join(dir, name+".ndjson")})
		if err != nil {
			t.Fatal(err)
		}
		o.Callbacks = append(o.Callbacks, runtime.Callback{Name: name, Digest: "1", Sink: sink, Chunk: auditrelay.Chunking{Events: 3}})
	}
	r, err := runtime.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 7 {
		if _, err := r.Submit(t.Context(), runtime.Submission{Data: fmt.Appendf(nil, `{"id":"e%d","action":"created"}`, i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := files(t, dir)
	p["notes.txt"], p["other.ndjson"] = []byte("mine\n"), []byte("{}\n")
	report := verified(t, p, verify.Options{Keys: []string{public}})
	if report.FaultCount != 0 || report.Records != 14 || report.ValidObjects != report.Objects || !slices.Equal(report.Unattested, []string{"notes.txt", "other.ndjson"}) {
		t.Fatalf("%s\n%v\n%v", report.Verdict(), report.Faults, report.Unattested)
	}
	p["one.ndjson"], p["two.ndjson"] = nil, p["one.ndjson"]
	if report = verified(t, p, verify.Options{Keys: []string{public}}); !slices.ContainsFunc(report.Faults, func(f verify.Fault) bool {
		return f.Category == verify.Missing && strings.HasPrefix(f.Object, "one, payload")
	}) {
		t.Errorf("without one of the files: %s\n%v", report.Verdict(), report.Faults)
	}
}

// TestASinkTestIsNoForgery: a record of an operator's sink test between the records of a file
// is reported as such, and hides nothing else.
func TestASinkTestIsNoForgery(t *testing.T) {
	signing, public, err := note.GenerateKey(rand.Reader, "relay.example")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	sink, err := file.New(file.Options{Path: filepath.Join(dir, "one.ndjson")})
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, runtime.Options{Proofs: runtime.ProofOptions{Key: signing}, Callbacks: []runtime.Callback{{Name: "one", Digest: "1", Sink: sink, Chunk: auditrelay.Chunking{Events: 1}}}})
	for i := range 3 {
		submit(t, r, fmt.Sprintf(`{"id":"e%d","action":"created"}`, i))
		if err := r.Settled(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, err := r.TestSink(t.Context(), "one", runtime.By{Principal: "u"}); err != nil || !got.Delivered {
			t.Fatal(got, err)
		}
	}
	if err := r.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := files(t, dir)
	report := verified(t, p, verify.Options{Keys: []string{public}})
	if report.FaultCount != 0 || len(report.Unattested) != 3 || !strings.HasSuffix(report.Unattested[0], ": a test of the sink") {
		t.Errorf("%s\n%v\n%v", report.Verdict(), report.Faults, report.Unattested)
	}
	p["one.ndjson"] = append(slices.Clone(p["one.ndjson"]), `{"id":"x","action":"created"}`+"\n"...)
	p["one.ndjson"] = append([]byte(`{"id":"y","action":"created","object_id":"auditrelay_test"}`+"\n"), p["one.ndjson"]...)
	if report = verified(t, p, verify.Options{Keys: []string{public}}); report.FaultCounts[verify.Added] == 0 {
		t.Errorf("with a line that is no test: %s\n%v", report.Verdict(), report.Faults)
	}
}

// TestAReplayIntoAFileVerifies: a replay writes records between those of the callback's own
// log. Each log keeps its order.
func TestAReplayIntoAFileVerifies(t *testing.T) {
	signing, public, err := note.GenerateKey(rand.Reader, "relay.example")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	sink, err := file.New(file.Options{Path: filepath.Join(dir, "one.ndjson")})
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, runtime.Options{Proofs: runtime.ProofOptions{Key: signing}, Callbacks: []runtime.Callback{{Name: "one", Digest: "1", Sink: sink, Chunk: auditrelay.Chunking{Events: 1}}}})
	send := func(from, to int) {
		t.Helper()
		for i := from; i < to; i++ {
			submit(t, r, fmt.Sprintf(`{"id":"e%d","action":"created"}`, i))
		}
		if err := r.Settled(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	send(0, 3)
	for range 2 {
		before := strings.Count(string(files(t, dir)["one.ndjson"]), "\n")
		started, err := r.Replay(t.Context(), runtime.ReplayRequest{Callback: "one", To: 4, By: runtime.By{Principal: "u"}})
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, func() bool {
			return strings.Count(string(files(t, dir)["one.ndjson"]), "\n") >= before+int(started.Events)
		})
		send(10*before, 10*before+2)
	}
	if err := r.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := files(t, dir)
	report := verified(t, p, verify.Options{Keys: []string{public}})
	if report.FaultCount != 0 || len(report.Logs) != 3 || len(report.Unattested) != 0 {
		t.Errorf("%s\n%v\n%v\n%s", report.Verdict(), report.Faults, report.Unattested, p["one.ndjson"])
	}
	lines := strings.SplitAfter(string(p["one.ndjson"]), "\n")
	lines[0], lines[1] = lines[1], lines[0]
	p["one.ndjson"] = []byte(strings.Join(lines, ""))
	if report = verified(t, p, verify.Options{Keys: []string{public}}); report.FaultCounts[verify.Reordered] == 0 {
		t.Errorf("two lines exchanged: %s\n%v", report.Verdict(), report.Faults)
	}
}

// TestWhatARemovedCallbackDeliveredVerifies: a removed callback leaves proofs of everything it
// delivered, so records that another one appends there hide no forgery.
func TestWhatARemovedCallbackDeliveredVerifies(t *testing.T) {
	signing, public, err := note.GenerateKey(rand.Reader, "relay.example")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	callback := func(name string) runtime.Callback {
		sink, err := file.New(file.Options{Path: filepath.Join(dir, "one.ndjson")})
		if err != nil {
			t.Fatal(err)
		}
		return quick(runtime.Callback{Name: name, Digest: "1", Sink: sink})
	}
	r := start(t, runtime.Options{Proofs: runtime.ProofOptions{Key: signing}, Callbacks: []runtime.Callback{callback("before")}})
	for i, name := range []string{"before", "after"} {
		submit(t, r, event(fmt.Sprint("a", i), "created"), event(fmt.Sprint("b", i), "deleted"))
		settle(t, r)
		if name == "before" {
			if err := r.Apply(t.Context(), []runtime.Callback{callback("after")}, []string{"before"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := r.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	report := verified(t, files(t, dir), verify.Options{Keys: []string{public}})
	if report.FaultCount != 0 || len(report.Logs) != 2 || len(report.Unattested) != 0 || report.Records < 4 {
		t.Errorf("%s\n%v\n%v\n%s", report.Verdict(), report.Faults, report.Unattested, files(t, dir)["one.ndjson"])
	}
}
