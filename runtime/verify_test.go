package runtime_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"auditrelay"
	"auditrelay/builtin/file"
	"auditrelay/builtin/s3"
	"auditrelay/filter"
	"auditrelay/internal/proof"
	"auditrelay/internal/verify"
	"auditrelay/runtime"

	"golang.org/x/mod/sumdb/note"
)

// place is a place with delivered data, in memory.
type place map[string][]byte

func (p place) List() ([]string, error) { return slices.Collect(maps.Keys(p)), nil }

func (p place) Open(name string) (io.ReadCloser, error) {
	if data, ok := p[name]; ok {
		return io.NopCloser(bytes.NewReader(data)), nil
	}
	return nil, os.ErrNotExist
}

func (p place) clone() place { return maps.Clone(p) }

// bucket is the sink s3 with a bucket in memory.
type bucket struct {
	*s3.Sink
	mu      sync.Mutex
	objects place
}

func (b *bucket) Deliver(_ context.Context, p auditrelay.Payload) (auditrelay.Receipt, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.objects[p.Key] = bytes.Clone(p.Body)
	return auditrelay.Receipt{Location: p.Key}, nil
}

func (b *bucket) snapshot() place {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.objects.clone()
}

// delivered is the output of two callbacks of one relay: to a bucket and to a file.
type delivered struct {
	bucket, early, file place
	key                 string // public
	pin                 []byte // the final checkpoint
}

// deliverAll runs a relay with delivered, filtered and dead-lettered events.
func deliverAll(t *testing.T, compression string) *delivered {
	t.Helper()
	signing, public, err := note.GenerateKey(rand.Reader, "relay.example")
	if err != nil {
		t.Fatal(err)
	}
	sink, err := s3.New(s3.Options{Bucket: "audit", Prefix: "team/logs", Region: "r", Compression: compression})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	written, err := file.New(file.Options{Path: filepath.Join(dir, "audit.ndjson")})
	if err != nil {
		t.Fatal(err)
	}
	b := &bucket{Sink: sink, objects: place{}}
	step := runtime.Step{Name: "f", Filter: fn(func(c *filter.Call) (auditrelay.Verdict, error) {
		switch {
		case bytes.Contains(c.Event.Data, []byte("o7")):
			return auditrelay.Drop, nil
		case bytes.Contains(c.Event.Data, []byte("o9")):
			return auditrelay.NoVerdict, errors.New("no")
		}
		return auditrelay.Keep, nil
	}).filter()}
	o := runtime.Options{Dir: t.TempDir(), Proofs: runtime.ProofOptions{Key: signing}, Callbacks: []runtime.Callback{
		{Name: "bucket", Digest: "1", Sink: b, Steps: []runtime.Step{step}, Chunk: auditrelay.Chunking{Events: 8}},
		{Name: "file", Digest: "1", Sink: written, Chunk: auditrelay.Chunking{Events: 16}}}}
	d := &delivered{key: public}
	for round := range 2 {
		r, err := runtime.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		var events []runtime.Submission
		for i := range 20 {
			n := round*20 + i
			events = append(events, runtime.Submission{Data: fmt.Appendf(nil,
				`{"id":"e%d","updated_at":"2026-03-01T%02d:00:00Z","changed_by":"u","action":"created","table_name":"LiteLLM_TeamTable","object_id":"o%d","updated_values":"{}"}`, n, 10+n/16, n)})
		}
		if _, err := r.Submit(t.Context(), events...); err != nil {
			t.Fatal(err)
		}
		if err := r.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if round == 0 {
			d.early = b.snapshot()
			if sink, err = s3.New(s3.Options{Bucket: "audit", Prefix: "team/logs", Region: "r", Compression: compression}); err != nil {
				t.Fatal(err)
			}
			if written, err = file.New(file.Options{Path: filepath.Join(dir, "audit.ndjson")}); err != nil {
				t.Fatal(err)
			}
			b = &bucket{Sink: sink, objects: b.objects}
			o.Callbacks[0].Sink, o.Callbacks[1].Sink = b, written
		}
	}
	d.bucket, d.file = b.snapshot(), place{}
	err = filepath.WalkDir(dir, func(name string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		rel, _ := filepath.Rel(dir, name)
		d.file[filepath.ToSlash(rel)] = data
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	report := verified(t, d.bucket, verify.Options{Keys: []string{public}})
	d.pin = []byte(report.Logs[0].Checkpoint)
	return d
}

func (d *delivered) options() verify.Options { return verify.Options{Keys: []string{d.key}} }

func verified(t *testing.T, p place, o verify.Options) *verify.Report {
	t.Helper()
	r, err := verify.Verify(p, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestDeliveredDataVerifies(t *testing.T) {
	d := deliverAll(t, "gzip")
	for name, c := range map[string]struct {
		place   place
		records uint64
		dead    uint64
	}{"bucket": {d.bucket, 39, 1}, "file": {d.file, 40, 0}} {
		t.Run(name, func(t *testing.T) {
			r := verified(t, c.place, verify.Options{Keys: []string{d.key}})
			if r.FaultCount != 0 || r.ValidObjects != r.Objects || len(r.Unattested) != 0 {
				t.Fatalf("%s\n%v\n%v", r.Verdict(), r.Faults, r.Unattested)
			}
			if r.Records != c.records || r.Tombstones != c.dead || r.Logs[0].First != 1 || r.Logs[0].Last != 40 || r.Checkpoints < 2 {
				t.Errorf("%s\n%+v", r.Verdict(), r)
			}
		})
	}
	t.Run("a copy of a part", func(t *testing.T) {
		moved := place{}
		for name, data := range d.bucket {
			moved["copy/"+strings.TrimPrefix(name, "team/logs/")] = data
		}
		if r := verified(t, moved, verify.Options{Keys: []string{d.key}, Pins: [][]byte{d.pin}}); r.FaultCount != 0 || r.Records != 39 {
			t.Errorf("%s\n%v", r.Verdict(), r.Faults)
		}
	})
}

// TestEveryFlippedByteIsNamed flips bytes, one at a time, and expects a report of the object.
// AUDITRELAY_SOAK flips all of them.
func TestEveryFlippedByteIsNamed(t *testing.T) {
	for name, compression := range map[string]string{"gzip": "gzip", "plain": "none"} {
		t.Run(name, func(t *testing.T) {
			d := deliverAll(t, compression)
			places := []place{d.bucket}
			if compression == "none" {
				places = append(places, d.file)
			}
			for _, p := range places {
				flipEach(t, p, d.key)
			}
		})
	}
}

func flipEach(t *testing.T, p place, key string) {
	t.Helper()
	tried := 0
	for name, data := range p {
		if strings.HasSuffix(name, ".state") || strings.HasSuffix(name, ".lock") {
			continue // the sink's own
		}
		for _, flip := range flips(name, data, 61) {
			tried++
			r := verified(t, flip.applied(p), verify.Options{Keys: []string{key}})
			if !slices.ContainsFunc(r.Faults, func(f verify.Fault) bool { return f.Object == name }) {
				t.Fatalf("%s of %s, and %s: %v", flip.what, name, r.Verdict(), r.Faults)
			}
		}
	}
	t.Logf("%d bytes flipped in %d objects", tried, len(p))
}

// TestWhatWasDoneIsNamed changes a bucket as an attacker with write access could.
func TestWhatWasDoneIsNamed(t *testing.T) {
	d := deliverAll(t, "none")
	other := deliverAll(t, "none")
	var data, manifests, bundles []string
	for _, name := range slices.Sorted(maps.Keys(d.bucket)) {
		switch {
		case strings.Contains(name, "_proofs/"):
			bundles = append(bundles, name)
		case strings.Contains(name, "_manifests/"):
			manifests = append(manifests, name)
		default:
			data = append(data, name)
		}
	}
	last := bundles[len(bundles)-1]
	lines := func(name string, change func([][]byte) [][]byte) func(place) {
		return func(p place) {
			p[name] = bytes.Join(change(bytes.SplitAfter(bytes.Clone(p[name]), []byte("\n"))), nil)
		}
	}
	forge := func(p place, key string) {
		signer, err := proof.Signer(key)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range bundles {
			files, err := proof.ReadBundle(p[name])
			if err != nil {
				t.Fatal(err)
			}
			text, _, _ := bytes.Cut(files[0].Data, []byte("\n\n"))
			if files[0].Data, err = note.Sign(&note.Note{Text: string(text) + "\n"}, signer); err != nil {
				t.Fatal(err)
			}
			if p[name], err = proof.AppendBundle(nil, files); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		do   func(p place)
		want verify.Category
		at   string // part of the reported object
	}{
		"an object is deleted":                             {func(p place) { delete(p, data[0]) }, verify.Missing, data[0]},
		"a manifest is deleted":                            {func(p place) { delete(p, manifests[0]) }, verify.Missing, manifests[0]},
		"a bundle is deleted whose leaves are in the next": {func(p place) { delete(p, bundles[0]) }, "", ""},
		"the last bundle is deleted":                       {func(p place) { delete(p, last) }, verify.Truncated, "pin"},
		"all bundles are deleted": {func(p place) {
			for _, name := range bundles {
				delete(p, name)
			}
		}, verify.Truncated, "pin"},
		"two objects are swapped":     {func(p place) { p[data[0]], p[data[1]] = p[data[1]], p[data[0]] }, verify.Altered, data[1]},
		"an object is cut":            {func(p place) { p[data[0]] = p[data[0]][:len(p[data[0]])/2] }, verify.Missing, data[0]},
		"an object is empty":          {func(p place) { p[data[0]] = nil }, verify.Missing, data[0]},
		"an object is there twice":    {func(p place) { p[path.Dir(data[1])+"/"+strings.Replace(path.Base(data[0]), "-", "-0", 1)] = p[data[0]] }, verify.Added, ""},
		"a line is removed":           {lines(data[0], func(l [][]byte) [][]byte { return slices.Delete(l, 1, 2) }), verify.Missing, data[0]},
		"a line is added":             {lines(data[0], func(l [][]byte) [][]byte { return slices.Insert(l, 1, []byte("{}\n")) }), verify.Added, data[0]},
		"a line is doubled":           {lines(data[0], func(l [][]byte) [][]byte { return slices.Insert(l, 1, l[0]) }), verify.Added, data[0]},
		"lines are exchanged":         {lines(data[0], func(l [][]byte) [][]byte { l[0], l[1] = l[1], l[0]; return l }), verify.Reordered, data[0]},
		"a line is another":           {lines(data[0], func(l [][]byte) [][]byte { l[1] = []byte("{}\n"); return l }), verify.Altered, data[0]},
		"a manifest is forged":        {func(p place) { p[manifests[0]] = bytes.Replace(p[manifests[0]], []byte(`"to"`), []byte(`"TO"`), 1) }, verify.Altered, manifests[0]},
		"signed with another key":     {func(p place) { forge(p, newKey(t)) }, verify.Forged, bundles[0]},
		"an old state is put back":    {func(p place) { clear(p); maps.Copy(p, d.early) }, verify.Truncated, "pin"},
		"another relay's data is in":  {func(p place) { maps.Copy(p, other.bucket) }, verify.Forged, "_proofs"},
		"another relay's objects are": {func(p place) { copyData(p, other.bucket) }, verify.Added, "dt="},
		"another relay's are instead": {func(p place) { clear(p); maps.Copy(p, other.bucket) }, verify.Forged, "_proofs"},
	} {
		t.Run(name, func(t *testing.T) {
			p := d.bucket.clone()
			c.do(p)
			r := verified(t, p, verify.Options{Keys: []string{d.key}, Pins: [][]byte{d.pin}})
			if c.want == "" && r.FaultCount == 0 && r.Records == 39 {
				return
			}
			if !slices.ContainsFunc(r.Faults, func(f verify.Fault) bool {
				return f.Category == c.want && strings.Contains(f.Object, c.at)
			}) {
				t.Errorf("%s\n%v", r.Verdict(), r.Faults)
			}
		})
	}
}

func copyData(to, from place) {
	for name, data := range from {
		if strings.Contains(name, "/dt=") {
			to[name] = data
		}
	}
}

func newKey(t *testing.T) string {
	t.Helper()
	key, _, err := note.GenerateKey(rand.Reader, "relay.example")
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestASecondImplementationAgrees runs an independent verifier, written from the documented
// format. It accepts complete data and finds the faults in other data.
func TestASecondImplementationAgrees(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	d := deliverAll(t, "gzip")
	dir := t.TempDir()
	for name, data := range d.bucket {
		file := filepath.Join(dir, strings.TrimPrefix(name, "team/logs/"))
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, data, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	run := func() (string, error) {
		out, err := exec.Command(python, "../internal/verify/testdata/verify.py", dir, d.key, "team/logs/").CombinedOutput()
		return string(out), err
	}
	out, err := run()
	if err != nil || !strings.Contains(out, "39 records, complete from 1 to 40") {
		t.Fatalf("%s%v", out, err)
	}
	names := slices.Sorted(maps.Keys(d.bucket))
	for i := 0; i < len(names); i += 5 {
		file := filepath.Join(dir, strings.TrimPrefix(names[i], "team/logs/"))
		data := bytes.Clone(d.bucket[names[i]])
		data[len(data)/3] ^= 4
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := run(); err == nil {
			t.Errorf("byte %d of %s was flipped: %s", len(data)/3, names[i], out)
		}
		if err := os.WriteFile(file, d.bucket[names[i]], 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
