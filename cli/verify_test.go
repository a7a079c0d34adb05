package cli_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"auditrelay/cli"
	"auditrelay/internal/proof"
	"auditrelay/internal/test/s3test"

	"golang.org/x/mod/sumdb/note"
)

// TestVerifyABucket verifies objects of a real S3 store, and misses one that is gone.
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
