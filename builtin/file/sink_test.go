package file_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/builtin/file"
	"auditrelay/sinktest"

	"github.com/google/go-cmp/cmp"
)

func newSink(t testing.TB, o file.Options) *file.Sink {
	t.Helper()
	sink, err := file.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sink.Close() })
	return sink
}

func TestConformance(t *testing.T) {
	for name, change := range map[string]func(*file.Options){
		"one file":      func(*file.Options) {},
		"rotated":       func(o *file.Options) { o.Rotate.Bytes = 3000 },
		"rotated, gzip": func(o *file.Options) { o.Rotate.Bytes = 3000; o.Gzip = true },
	} {
		t.Run(name, func(t *testing.T) {
			sinktest.Run(t, func(t *testing.T) sinktest.Kit {
				o := file.Options{Path: filepath.Join(t.TempDir(), "new", "audit.ndjson")}
				change(&o)
				return sinktest.Kit{
					New:  func(t *testing.T) auditrelay.Sink { return newSink(t, o) },
					Read: func(t *testing.T) [][]byte { return documents(t, o.Path) },
					Tear: func(t *testing.T, p auditrelay.Payload) {
						f, err := os.OpenFile(o.Path, os.O_APPEND|os.O_WRONLY, 0)
						if err != nil {
							t.Fatal(err)
						}
						if _, err := f.Write(p.Body[:len(p.Body)/2]); err != nil {
							t.Fatal(err)
						}
						f.Close()
					},
				}
			})
		})
	}
}

// The sink does not follow a symbolic link in place of one of its files. The link's target stays
// unchanged, and the error says what to do.
func TestPlantedLinksAreNotFollowed(t *testing.T) {
	for _, suffix := range []string{"", ".lock", ".state", ".state.new"} {
		t.Run("events.ndjson"+suffix, func(t *testing.T) {
			dir := t.TempDir()
			victim, path := filepath.Join(dir, "victim"), filepath.Join(dir, "events.ndjson")
			write(t, victim, []byte("precious\n"))
			if err := os.Symlink(victim, path+suffix); err != nil {
				t.Fatal(err)
			}
			sink := newSink(t, file.Options{Path: path})
			_, err := sink.Deliver(t.Context(), payload(t, sink, 1, 2))
			var failure *auditrelay.DeliveryError
			if !errors.As(err, &failure) || failure.Kind != auditrelay.Misconfigured || !strings.Contains(err.Error(), "a symbolic link is in its place") {
				t.Errorf("got %v", err)
			}
			if got := string(read(t, victim)); got != "precious\n" {
				t.Errorf("what the link leads to was changed: %q", got)
			}
		})
	}
}

func TestACrashAtEveryByteOfADelivery(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.ndjson")
	sink := newSink(t, file.Options{Path: path})
	first, second := payload(t, sink, 1, 2), payload(t, sink, 3, 2)
	deliver(t, sink, first)
	before := read(t, path+".state")
	deliver(t, sink, second)
	sink.Close()
	data, after := read(t, path), read(t, path+".state")
	done := len(first.Body)

	try := func(name string, data, state []byte) {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "audit.ndjson")
			write(t, path, data)
			write(t, path+".state", state)
			sink := newSink(t, file.Options{Path: path})
			deliver(t, sink, first)
			deliver(t, sink, second)
			deliver(t, sink, second)
			wantNumbers(t, path, 4)
		})
	}
	for n := done; n <= len(data); n++ {
		try(fmt.Sprintf("%d bytes of data", n), data[:n], before)
	}
	for n := len(before); n <= len(after); n++ {
		try(fmt.Sprintf("%d bytes of state", n), data, after[:n])
	}
	// A power loss may leave the length without the content.
	try("zeros in place of data", append(slices.Clone(data[:done]), make([]byte, 100)...), before)
	try("zeros in place of state", data, append(slices.Clone(before), make([]byte, len(after)-len(before))...))
}

func TestACrashAtEveryStepOfARotation(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.ndjson")
	sink := newSink(t, file.Options{Path: path, Rotate: file.Rotate{Bytes: 10}})
	deliver(t, sink, payload(t, sink, 1, 2))
	data, before := read(t, path), read(t, path+".state")
	deliver(t, sink, payload(t, sink, 3, 2))
	sink.Close()
	// The rotation rewrote the state. Its first line says that the file is new.
	begun, _, _ := bytes.Cut(read(t, path+".state"), []byte("\n"))
	begun = append(begun, '\n')
	rotated, err := filepath.Glob(filepath.Join(dir, "audit-*"))
	if err != nil || len(rotated) != 1 {
		t.Fatalf("rotated files: %v, %v", rotated, err)
	}
	name := filepath.Base(rotated[0])
	for _, step := range []struct {
		name  string
		files map[string][]byte
	}{
		{"nothing done", map[string][]byte{"audit.ndjson": data, "audit.ndjson.state": before}},
		{"moved", map[string][]byte{name: data, "audit.ndjson.state": before}},
		{"state rewritten in part", map[string][]byte{name: data, "audit.ndjson.state": before, "audit.ndjson.state.new": []byte("xx")}},
		{"state rewritten", map[string][]byte{name: data, "audit.ndjson.state": begun}},
		{"the next begun", map[string][]byte{name: data, "audit.ndjson": nil, "audit.ndjson.state": begun}},
		{"the next begun, the state's old", map[string][]byte{name: data, "audit.ndjson": nil, "audit.ndjson.state": before}},
		{"compressed in part", map[string][]byte{name: data, name + ".gz.new": []byte("xx"), "audit.ndjson.state": begun}},
		{"compressed, the plain file not gone", map[string][]byte{name: data, name + ".gz": gzipped(t, data), "audit.ndjson.state": begun}},
	} {
		t.Run(step.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "audit.ndjson")
			for name, content := range step.files {
				write(t, filepath.Join(filepath.Dir(path), name), content)
			}
			sink := newSink(t, file.Options{Path: path, Rotate: file.Rotate{Bytes: 10}, Gzip: true})
			deliver(t, sink, payload(t, sink, 1, 2))
			deliver(t, sink, payload(t, sink, 3, 2))
			wantNumbers(t, path, 4)
		})
	}
}

func TestRotatesByBytesAndAge(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.ndjson")
	sink := newSink(t, file.Options{Path: path, Rotate: file.Rotate{Bytes: 20, Age: time.Hour}, Gzip: true})
	clock := time.Date(2026, 3, 14, 15, 0, 0, 0, time.UTC)
	sink.SetNow(func() time.Time { return clock })
	for n := range 6 {
		deliver(t, sink, payload(t, sink, uint64(n+1), 1))
		clock = clock.Add(40 * time.Minute)
	}
	wantNumbers(t, path, 6)
	want := []string{
		"audit-20260314T162000.000Z.ndjson.gz", // after two records: 16 bytes and 8 more
		"audit-20260314T174000.000Z.ndjson.gz",
		"audit.ndjson", "audit.ndjson.lock", "audit.ndjson.state",
	}
	if diff := cmp.Diff(want, names(t, dir)); diff != "" {
		t.Error(diff)
	}
	for _, name := range names(t, dir) {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v; want 0600", name, info.Mode(), err)
		}
	}
}

func TestKeepDeletesTheOldestOnly(t *testing.T) {
	for _, tc := range []struct {
		name string
		keep file.Keep
		want int // rotated files
	}{
		{"everything by default", file.Keep{}, 5},
		{"files", file.Keep{Files: 2}, 2},
		{"age", file.Keep{Age: 150 * time.Minute}, 3},
		{"the newest always", file.Keep{Age: time.Nanosecond}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "audit.ndjson")
			sink := newSink(t, file.Options{Path: path, Rotate: file.Rotate{Bytes: 1}, Keep: tc.keep})
			clock := time.Date(2026, 3, 14, 15, 0, 0, 0, time.UTC)
			sink.SetNow(func() time.Time { return clock })
			for n := range 6 {
				deliver(t, sink, payload(t, sink, uint64(n+1), 1))
				clock = clock.Add(time.Hour)
			}
			docs := documents(t, path)
			if len(docs) != tc.want+1 || string(docs[len(docs)-1]) != `{"n":6}` {
				t.Errorf("%d records are left: %s", len(docs), docs)
			}
		})
	}
}

func TestOneSinkAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.ndjson")
	first, second := newSink(t, file.Options{Path: path}), newSink(t, file.Options{Path: path})
	p := payload(t, first, 1, 1)
	deliver(t, first, p)
	if _, err := second.Deliver(t.Context(), p); auditrelay.KindOf(err) != auditrelay.Misconfigured {
		t.Errorf("a second sink on the same file: %v; want misconfigured", err)
	}
	if out := inAnotherProcess(t, path); !strings.Contains(out, "another sink or process is writing to it") {
		t.Errorf("another process on the same file: %s", out)
	}
	first.Close()
	if receipt := deliver(t, second, p); !receipt.Duplicate {
		t.Error("the second sink does not know what the first delivered")
	}
	second.Close()
	if out := inAnotherProcess(t, path); !strings.Contains(out, "delivered") {
		t.Errorf("another process after the file was given up: %s", out)
	}
}

const otherProcess = "AUDITRELAY_FILE_TEST_PATH"

func inAnotherProcess(t *testing.T, path string) string {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestOtherProcess$", "-test.v")
	cmd.Env = append(os.Environ(), otherProcess+"="+path)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

func TestOtherProcess(t *testing.T) {
	path := os.Getenv(otherProcess)
	if path == "" {
		t.Skip("it is started by TestOneSinkAFile")
	}
	sink := newSink(t, file.Options{Path: path})
	if _, err := sink.Deliver(t.Context(), payload(t, sink, 1, 1)); err != nil {
		t.Log(err)
		return
	}
	t.Log("delivered")
}

func TestWhatOthersDoToTheFile(t *testing.T) {
	for _, tc := range []struct {
		name    string
		do      func(t *testing.T, path string)
		restart bool
		kind    auditrelay.ErrorKind // of the next delivery, if it fails
		fails   bool
		left    string
	}{
		{name: "moved away while open", left: "{\"n\":2}\n",
			do: func(t *testing.T, path string) { move(t, path, path+".elsewhere") }},
		{name: "moved away between runs", restart: true, left: "{\"n\":2}\n",
			do: func(t *testing.T, path string) { move(t, path, path+".elsewhere") }},
		{name: "moved away, and an empty one made in its place", left: "{\"n\":2}\n", // as logrotate does
			do: func(t *testing.T, path string) { move(t, path, path+".elsewhere"); write(t, path, nil) }},
		{name: "written to while open", fails: true, kind: auditrelay.Misconfigured, left: "{\"n\":1}\nother\n",
			do: func(t *testing.T, path string) { write(t, path, append(read(t, path), "other\n"...)) }},
		{name: "cut short between runs", restart: true, fails: true, kind: auditrelay.Misconfigured, left: "{\"n",
			do: func(t *testing.T, path string) { write(t, path, read(t, path)[:3]) }},
		{name: "state damaged", restart: true, fails: true, kind: auditrelay.Misconfigured, left: "{\"n\":1}\n",
			do: func(t *testing.T, path string) { write(t, path+".state", []byte("x"+string(read(t, path+".state")))) }},
		{name: "state damaged in the middle", restart: true, fails: true, kind: auditrelay.Misconfigured, left: "{\"n\":1}\n",
			do: func(t *testing.T, path string) {
				state := read(t, path+".state")
				_, last, _ := bytes.Cut(state, []byte("\n"))
				write(t, path+".state", slices.Concat(state, []byte("damaged\n"), last))
			}},
		{name: "state lost", restart: true, left: "{\"n\":2}\n", // the old file has been set aside, whole
			do: func(t *testing.T, path string) { move(t, path+".state", path+".gone") }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "audit.ndjson")
			sink := newSink(t, file.Options{Path: path})
			deliver(t, sink, payload(t, sink, 1, 1))
			if tc.restart {
				sink.Close()
			}
			tc.do(t, path)
			if tc.restart {
				sink = newSink(t, file.Options{Path: path})
			}
			for range 2 { // a second attempt does not make it worse
				_, err := sink.Deliver(t.Context(), payload(t, sink, 2, 1))
				if (err != nil) != tc.fails || err != nil && auditrelay.KindOf(err) != tc.kind {
					t.Errorf("the next delivery: %v", err)
				}
			}
			if got := string(read(t, path)); got != tc.left {
				t.Errorf("the file holds %q, want %q", got, tc.left)
			}
		})
	}
}

// Faults caused by other programs end once the path is free.
func TestAFreePlaceIsTakenAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "folder", "audit.ndjson")
	sink := newSink(t, file.Options{Path: path})
	deliver(t, sink, payload(t, sink, 1, 1))
	free := func() {
		t.Helper()
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(what string) {
		t.Helper()
		if _, err := sink.Deliver(t.Context(), payload(t, sink, 2, 1)); auditrelay.KindOf(err) != auditrelay.Misconfigured {
			t.Errorf("%s: %v", what, err)
		}
	}
	write(t, path, append(read(t, path), "other\n"...))
	refused("another wrote to the file")
	free()
	if err := os.Symlink(path+".other", path); err != nil {
		t.Fatal(err)
	}
	refused("a link is in its place")
	free()
	deliver(t, sink, payload(t, sink, 2, 1))
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	_, _ = sink.Deliver(t.Context(), payload(t, sink, 3, 1)) // the attempt that finds the folder gone
	deliver(t, sink, payload(t, sink, 3, 1))
	if got, want := string(read(t, path)), "{\"n\":3}\n"; got != want {
		t.Errorf("the file holds %q, want %q", got, want)
	}
}

func TestALostStateLosesNoRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.ndjson")
	sink := newSink(t, file.Options{Path: path})
	deliver(t, sink, payload(t, sink, 1, 1))
	sink.Close()
	if err := os.Remove(path + ".state"); err != nil {
		t.Fatal(err)
	}
	deliver(t, sink, payload(t, sink, 2, 1))
	wantNumbers(t, path, 2)
}

func TestManifestsStandBesideTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.ndjson")
	sink := newSink(t, file.Options{Path: path})
	deliver(t, sink, payload(t, sink, 1, 1))
	m, err := sink.RenderManifest(auditrelay.Manifest{Callback: "archive", Journal: "j.1", Number: 2, From: 1, To: 2})
	if err != nil {
		t.Fatal(err)
	}
	deliver(t, sink, m)
	if receipt := deliver(t, sink, m); !receipt.Duplicate {
		t.Error("the manifest's second delivery is no duplicate")
	}
	got := string(read(t, filepath.Join(filepath.Dir(path), "audit.manifests.ndjson")))
	if got != string(m.Body) {
		t.Errorf("the manifests' file holds %q", got)
	}
	wantNumbers(t, path, 1)
}

func TestManyPayloadsRewriteTheState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.ndjson")
	sink := newSink(t, file.Options{Path: path})
	const n = 4096 + 50
	for i := range n {
		deliver(t, sink, payload(t, sink, uint64(i+1), 1))
	}
	sink.Close()
	for i := n - 100; i < n; i++ {
		if receipt := deliver(t, sink, payload(t, sink, uint64(i+1), 1)); !receipt.Duplicate {
			t.Fatalf("payload %d was forgotten", i+1)
		}
	}
	wantNumbers(t, path, n)
}

func TestOptionsAreRefusedAllAtOnce(t *testing.T) {
	_, err := file.New(file.Options{
		Rotate: file.Rotate{Bytes: -1, Age: -1}, Keep: file.Keep{Files: -1, Age: -1},
	})
	var paths []string
	for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
		option, ok := errors.AsType[*auditrelay.OptionError](e)
		if !ok {
			t.Fatalf("%v is no *OptionError", e)
		}
		paths = append(paths, option.Path)
	}
	if diff := cmp.Diff([]string{"path", "rotate.bytes", "rotate.age", "keep.files", "keep.age"}, paths); diff != "" {
		t.Error(diff)
	}
	for _, path := range []string{"dir/", "..", "a\x00b"} {
		if _, err := file.New(file.Options{Path: path}); err == nil {
			t.Errorf("the path %q was taken", path)
		}
	}
}

func TestAFolderInTheWayIsMisconfigured(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.ndjson")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	sink := newSink(t, file.Options{Path: path + "/sub.ndjson"})
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	write(t, path, nil)
	if _, err := sink.Deliver(t.Context(), payload(t, sink, 1, 1)); auditrelay.KindOf(err) != auditrelay.Misconfigured {
		t.Errorf("a file where a folder should be: %v", err)
	}
}

func TestProbeLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	if err := newSink(t, file.Options{Path: filepath.Join(dir, "audit.ndjson")}).Probe(t.Context()); err != nil {
		t.Error(err)
	}
	if left := names(t, dir); len(left) != 0 {
		t.Errorf("Probe left %v", left)
	}
	err := newSink(t, file.Options{Path: filepath.Join(dir, "new", "audit.ndjson")}).Probe(t.Context())
	if !errors.Is(err, auditrelay.ErrNotChecked) {
		t.Errorf("a folder to be made: %v", err)
	}
}
