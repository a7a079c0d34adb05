package cli_test

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"auditrelay/cli"
	"auditrelay/internal/proof"
	"auditrelay/internal/test/s3test"
	"auditrelay/internal/test/witnesstest"
	"auditrelay/internal/verify"

	"golang.org/x/mod/sumdb/note"
)

// TestVerifyABucket verifies objects of a real S3 store, and reports a missing one.
func TestVerifyABucket(t *testing.T) {
	server := s3test.Start(t, "audit")
	t.Setenv("AWS_ACCESS_KEY_ID", s3test.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", server.SecretKey)
	signing, public, err := note.GenerateKey(rand.Reader, "relay.example")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := proof.Signer(signing)
	if err != nil {
		t.Fatal(err)
	}
	record := []byte(`{"id":"e1"}`)
	object := append(bytes.Clone(record), '\n')
	var leaves []byte
	var hashes []proof.Hash
	entries := [][]byte{
		proof.Begin{First: 1}.Append(nil),
		proof.Payload{Number: 1, Records: 1, Digest: sha256.Sum256(object), Key: "logs/dt=1/one.ndjson"}.Append(nil),
		proof.Outcome{Outcome: 1, Delivered: proof.Record, Sequence: 1, Digest: sha256.Sum256(record)}.Append(nil),
		proof.Clock{Floor: 2}.Append(nil),
	}
	for _, e := range entries {
		h := proof.LeafHash(e)
		hashes, leaves = append(hashes, h), append(leaves, h[:]...)
	}
	root := proof.NodeHash(proof.NodeHash(hashes[0], hashes[1]), proof.NodeHash(hashes[2], hashes[3]))
	signed, err := proof.Checkpoint{Origin: proof.Origin("0011223344556677", "8899aabbccddeeff", "archive"), Size: 4, Root: root}.Sign(signer)
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := proof.AppendBundle(nil, []proof.BundleFile{{Name: proof.CheckpointName, Data: signed},
		{Name: proof.EntriesPath(0, 4), Data: proof.AppendEntries(nil, entries...)}, {Name: proof.TilePath(0, 0, 4), Data: leaves}})
	if err != nil {
		t.Fatal(err)
	}
	one := filepath.Join(server.Root, "audit/logs/dt=1/one.ndjson")
	for name, data := range map[string][]byte{one: object, filepath.Join(server.Root, "audit/logs/_proofs/archive/j/4.tar"): bundle} {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	verify := func() (int, string) {
		var out bytes.Buffer
		code := cli.Main([]string{"verify", "s3://audit/logs", "--key", public, "--endpoint", server.Endpoint}, cli.Options{Stdout: &out, Stderr: &out})
		return code, out.String()
	}
	if code, out := verify(); code != cli.ExitOK || !strings.Contains(out, "1 of 1 objects valid; 1 records; complete from 1 to 1") {
		t.Errorf("exit %d: %s", code, out)
	}
	if err := os.Remove(one); err != nil {
		t.Fatal(err)
	}
	if code, out := verify(); code != cli.ExitMissing || !strings.Contains(out, "missing: logs/dt=1/one.ndjson") {
		t.Errorf("exit %d: %s", code, out)
	}
}

// TestVerifyWatchesAndIsCosigned: verify --watch lets a witness cosign verified checkpoints,
// shows metrics, and detects data removed between two runs.
func TestVerifyWatchesAndIsCosigned(t *testing.T) {
	signing, public, err := note.GenerateKey(rand.Reader, "relay.example")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := proof.Signer(signing)
	if err != nil {
		t.Fatal(err)
	}
	w := witnesstest.Start(t, public)
	place, pins := t.TempDir(), t.TempDir()
	record := []byte(`{"id":"e1"}`)
	write := func(name string, data []byte) {
		t.Helper()
		name = filepath.Join(place, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bundle := func(clocks int) {
		t.Helper()
		entries := [][]byte{
			proof.Begin{First: 1}.Append(nil),
			proof.Payload{Number: 1, Records: 1, Digest: sha256.Sum256(append(bytes.Clone(record), '\n')), Key: "one.ndjson"}.Append(nil),
			proof.Outcome{Outcome: 1, Delivered: proof.Record, Sequence: 1, Digest: sha256.Sum256(record)}.Append(nil),
		}
		for i := range clocks {
			entries = append(entries, proof.Clock{Time: int64(i), Floor: 2}.Append(nil))
		}
		var leaves []byte
		var hashes []proof.Hash
		for _, e := range entries {
			h := proof.LeafHash(e)
			hashes, leaves = append(hashes, h), append(leaves, h[:]...)
		}
		signed, err := proof.Checkpoint{Origin: proof.Origin("0011223344556677", "8899aabbccddeeff", "archive"), Size: uint64(len(entries)), Root: verify.Root(hashes)}.Sign(signer)
		if err != nil {
			t.Fatal(err)
		}
		b, err := proof.AppendBundle(nil, []proof.BundleFile{{Name: proof.CheckpointName, Data: signed},
			{Name: proof.EntriesPath(0, len(entries)), Data: proof.AppendEntries(nil, entries...)}, {Name: proof.TilePath(0, 0, len(entries)), Data: leaves}})
		if err != nil {
			t.Fatal(err)
		}
		write("_proofs/a.tar", b)
	}
	write("one.ndjson", append(bytes.Clone(record), '\n'))
	bundle(2)

	run := func(more ...string) (int, string) {
		var out bytes.Buffer
		code := cli.Main(append([]string{"verify", place, "--key", public, "--witness-key", w.Key, "--save-pin", pins}, more...), cli.Options{Stdout: &out, Stderr: &out})
		return code, out.String()
	}
	if code, out := run("--witness", w.URL); code != cli.ExitOK {
		t.Fatalf("exit %d: %s", code, out)
	}
	saved, err := filepath.Glob(filepath.Join(pins, "*.checkpoint"))
	if err != nil || len(saved) != 1 {
		t.Fatal(saved, err)
	}
	if code, out := run("--pin", saved[0]); code != cli.ExitOK {
		t.Errorf("its own cosigned pin: exit %d: %s", code, out)
	}
	// Without the witness, the pin that run has just written has no cosignature.
	if code, out := run("--pin", saved[0]); code != cli.ExitForged || !strings.Contains(out, "no valid cosignature") {
		t.Errorf("a pin without cosignature: exit %d: %s", code, out)
	}
	bundle(3)
	if code, out := run("--witness", w.URL); code != cli.ExitOK {
		t.Fatalf("a longer log: exit %d: %s", code, out)
	}
	bundle(1)
	kept, err := os.ReadFile(saved[0])
	if err != nil {
		t.Fatal(err)
	}
	if code, out := run(); code != cli.ExitTruncated || !strings.Contains(out, "truncated: saved pin 1") {
		t.Errorf("an older state than the saved pin: exit %d: %s", code, out)
	}
	if now, err := os.ReadFile(saved[0]); err != nil || !bytes.Equal(now, kept) {
		t.Errorf("the newer pin was replaced, %v", err)
	}
	if code, out := run("--witness", w.URL); code != cli.ExitTruncated {
		t.Errorf("a log that was cut behind what the witness knows: exit %d: %s", code, out)
	}
	bundle(3)

	reader, writer := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		ended <- cli.Main([]string{"verify", place, "--key", public, "--save-pin", pins, "--watch", "5ms", "--metrics", "127.0.0.1:0"},
			cli.Options{Stdout: writer, Stderr: writer})
		writer.Close()
	}()
	lines := bufio.NewScanner(reader)
	address := ""
	until := func(text string) {
		t.Helper()
		for lines.Scan() {
			if at := strings.Index(lines.Text(), "http://"); at >= 0 {
				address = lines.Text()[at:]
			}
			if strings.Contains(lines.Text(), text) {
				return
			}
		}
		t.Fatal("never printed: ", text)
	}
	until(" verified")
	bundle(1)
	until("truncated: ")
	go func() { _, _ = io.Copy(io.Discard, reader) }()
	resp, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(body), `auditrelay_verify_faults{category="truncated"} 1`) || strings.Contains(string(body), "auditrelay_verify_last_verified_timestamp_seconds 0") {
		t.Errorf("%v %s", err, body)
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil { // no test runs beside this one
		t.Fatal(err)
	}
	if code := <-ended; code != cli.ExitOK {
		t.Errorf("exit %d", code)
	}
}
