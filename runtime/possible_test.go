package runtime_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/builtin/file"
	"auditrelay/builtin/s3"
	"auditrelay/builtin/sqlite"
	"auditrelay/internal/auditstore"
	"auditrelay/internal/verify"
	"auditrelay/runtime"

	"golang.org/x/mod/sumdb/note"
)

// losses decides about deliveries: they arrive and the answer is lost, or they never arrive.
type losses struct {
	answer, payload atomic.Bool
	lost            atomic.Int32 // payloads that arrived without an answer
}

var errLost = errors.New("the connection was lost")

func (l *losses) of(deliver func() (auditrelay.Receipt, error)) (auditrelay.Receipt, error) {
	if l.payload.Load() {
		return auditrelay.Receipt{}, errLost
	}
	r, err := deliver()
	if l.answer.Load() && err == nil {
		l.lost.Add(1)
		return auditrelay.Receipt{}, errLost
	}
	return r, err
}

type lossyBucket struct {
	*bucket
	*losses
}

func (b lossyBucket) Deliver(ctx context.Context, p auditrelay.Payload) (auditrelay.Receipt, error) {
	return b.of(func() (auditrelay.Receipt, error) { return b.bucket.Deliver(ctx, p) })
}

type lossyFile struct {
	*file.Sink
	*losses
}

func (f lossyFile) Deliver(ctx context.Context, p auditrelay.Payload) (auditrelay.Receipt, error) {
	return f.of(func() (auditrelay.Receipt, error) { return f.Sink.Deliver(ctx, p) })
}

type lossyStore struct {
	*sqlite.Sink
	*losses
}

func (s lossyStore) Deliver(ctx context.Context, p auditrelay.Payload) (auditrelay.Receipt, error) {
	return s.of(func() (auditrelay.Receipt, error) { return s.Sink.Deliver(ctx, p) })
}

// giveUp runs a relay whose callback is detached twice: while it retries a payload that had
// arrived, and while it retries one that had not.
func giveUp(t *testing.T, l *losses, sink auditrelay.Sink) (public string) {
	t.Helper()
	signing, public, err := note.GenerateKey(rand.Reader, "relay.example")
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, runtime.Options{Dir: t.TempDir(), Proofs: runtime.ProofOptions{Key: signing}, Callbacks: []runtime.Callback{{Name: "lossy", Digest: "1", Sink: sink,
		Chunk: auditrelay.Chunking{Age: time.Millisecond}, Backoff: auditrelay.Backoff{Initial: time.Hour, Max: time.Hour}}}})
	send := func(id string) {
		submit(t, r, fmt.Sprintf(`{"id":%q,"action":"created","updated_at":"2026-03-01T10:00:00Z"}`, id))
	}
	tried := func() uint64 {
		c, err := r.Callback("lossy")
		if err != nil {
			t.Fatal(err)
		}
		return c.Failures["transient"]
	}
	send("a")
	settle(t, r)
	for round, loss := range []*atomic.Bool{&l.answer, &l.payload} {
		loss.Store(true)
		send(fmt.Sprint("lost", round))
		eventually(t, func() bool { return tried() == uint64(round+1) })
		if err := r.Detach(t.Context(), "lossy", runtime.By{Principal: "ops"}); err != nil {
			t.Fatal(err)
		}
		send(fmt.Sprint("skipped", round)) // is never tried
		settle(t, r)
		loss.Store(false)
		if err := r.Attach(t.Context(), "lossy", runtime.By{Principal: "ops"}); err != nil {
			t.Fatal(err)
		}
		send(fmt.Sprint("b", round))
		settle(t, r)
	}
	if err := r.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if l.lost.Load() != 1 {
		t.Fatalf("%d answers were lost", l.lost.Load())
	}
	return public
}

// TestWhatWasGivenUpIsStated: a payload that had arrived when its callback was detached is no
// addition, and one that had not is no gap. Anything else in its place is reported.
func TestWhatWasGivenUpIsStated(t *testing.T) {
	t.Run("bucket", func(t *testing.T) {
		sink, err := s3.New(s3.Options{Bucket: "audit", Prefix: "logs", Region: "r"})
		if err != nil {
			t.Fatal(err)
		}
		l, b := &losses{}, &bucket{Sink: sink, objects: place{}}
		public := giveUp(t, l, lossyBucket{b, l})
		p := b.snapshot()
		name := givenUp(t, p, public)
		agreesOn(t, p, public)
		delete(p, name)
		if r := verified(t, p, verify.Options{Keys: []string{public}}); r.FaultCount > 0 || len(r.GivenUp) > 0 {
			t.Errorf("it is deleted: %s %v", r.Verdict(), r.Faults)
		}
		agreesOn(t, p, public)
		for other, data := range b.snapshot() {
			if !strings.Contains(other, "/_") && other != name {
				p[name] = data
			}
		}
		if r := verified(t, p, verify.Options{Keys: []string{public}}); r.FaultCount == 0 || r.Faults[0].Object != name {
			t.Errorf("another stands in its place: %s %v", r.Verdict(), r.Faults)
		}
	})
	t.Run("file", func(t *testing.T) {
		dir, l := t.TempDir(), &losses{}
		sink, err := file.New(file.Options{Path: filepath.Join(dir, "audit.ndjson")})
		if err != nil {
			t.Fatal(err)
		}
		public := giveUp(t, l, lossyFile{sink, l})
		p := files(t, dir)
		givenUp(t, p, public)
		lines := strings.SplitAfter(string(p["audit.ndjson"]), "\n")
		at := slices.IndexFunc(lines, func(line string) bool { return strings.Contains(line, `"lost0"`) })
		if at < 0 {
			t.Fatalf("%s", p["audit.ndjson"])
		}
		try := func(what string, want verify.Category, lines ...string) {
			t.Helper()
			p := p.clone()
			p["audit.ndjson"] = []byte(strings.Join(lines, ""))
			if r := verified(t, p, verify.Options{Keys: []string{public}}); r.Worst() != want {
				t.Errorf("%s: %s %v", what, r.Verdict(), r.Faults)
			}
		}
		try("its line is removed", "", slices.Delete(slices.Clone(lines), at, at+1)...)
		try("its line is changed", verify.Added, slices.Replace(slices.Clone(lines), at, at+1, strings.Replace(lines[at], "created", "deleted", 1))...)
		try("it stands there twice", verify.Added, slices.Insert(slices.Clone(lines), at, lines[at])...)
		try("the line before it is removed", verify.Missing, slices.Delete(slices.Clone(lines), at-1, at)...)
	})
	t.Run("sqlite", func(t *testing.T) {
		path, l := filepath.Join(t.TempDir(), "a.db"), &losses{}
		sink, err := sqlite.New(sqlite.Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		public := giveUp(t, l, lossyStore{sink, l})
		view := func() (*auditstore.Store, error) { return sqlite.View(t.Context(), path) }
		check := func(what string, want verify.Category, arrived int) {
			t.Helper()
			r, err := verifyStore(t, view, verify.Options{Keys: []string{public}})
			if err != nil {
				t.Fatal(err)
			}
			if r.Worst() != want || len(r.GivenUp) != arrived || want == "" && (r.Objects != r.ValidObjects || len(r.Unattested) > 0) {
				t.Errorf("%s: %s %v %v", what, r.Verdict(), r.Faults, r.GivenUp)
			}
		}
		check("untouched", "", 1)
		execute(t, path, "UPDATE auditrelay_events SET data = replace(data, 'created', 'deleted'), digest = NULL WHERE id = 'lost0'")
		check("its row is changed", verify.Altered, 0)
		execute(t, path, "DELETE FROM auditrelay_events WHERE id = 'lost0'")
		check("its row is deleted", "", 0)
	})
}

// givenUp expects a complete place, and returns the given-up records that are present.
func givenUp(t *testing.T, p place, public string) string {
	t.Helper()
	r := verified(t, p, verify.Options{Keys: []string{public}})
	if r.FaultCount > 0 || r.Objects != r.ValidObjects || len(r.Unattested) > 0 || len(r.GivenUp) != 1 || r.Outcomes["skipped"] < 4 {
		t.Fatalf("%s, given up %v\n%v\n%v\n%v", r.Verdict(), r.GivenUp, r.Faults, r.Unattested, r.Outcomes)
	}
	if !strings.HasSuffix(r.Verdict(), "; 1 had arrived that the relay gave up") {
		t.Error(r.Verdict())
	}
	return r.GivenUp[0]
}

// agreesOn expects the second implementation to accept a bucket.
func agreesOn(t *testing.T, p place, public string) {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Log("without the second implementation:", err)
		return
	}
	dir := t.TempDir()
	for name, data := range maps.All(p) {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, data, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command(python, "../internal/verify/testdata/verify.py", dir, public).CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("complete from 1 to")) {
		t.Errorf("%v: %s", err, out)
	}
}
