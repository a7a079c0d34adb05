package verify

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"testing"

	"auditrelay/internal/proof"

	"github.com/klauspost/compress/gzip"
)

// delivered creates a place with objects of n records each, of 900 bytes, and their proofs.
func delivered(b *testing.B, objects, n int, compressed, oneFileSet bool) (files oneFile, public string, size int64) {
	b.Helper()
	signer, public := newSigner(b)
	files = oneFile{}
	entries := [][]byte{proof.Begin{First: 1}.Append(nil)}
	sequence := uint64(0)
	var all []byte
	for i := range objects {
		var content []byte
		outcomes := make([]proof.Outcome, n)
		for k := range outcomes {
			sequence++
			line := fmt.Appendf(nil, `{"id":"e%d","action":"created","updated_values":"%0840x"}`, sequence, sequence*0x9E3779B97F4A7C15)
			outcomes[k] = proof.Outcome{Outcome: 1, Delivered: proof.Record, Sequence: sequence, Digest: sha256.Sum256(line)}
			content = append(append(content, line...), '\n')
		}
		size += int64(len(content))
		stored := content
		if compressed {
			var z bytes.Buffer
			w := gzip.NewWriter(&z)
			if _, err := w.Write(content); err != nil || w.Close() != nil {
				b.Fatal(err)
			}
			stored = z.Bytes()
		}
		key := fmt.Sprintf("dt=1/0000000000000000.0000000000000001-%012d-%012d-000000000000.ndjson", sequence-uint64(n)+1, sequence+1)
		entries = append(entries, proof.Payload{Number: uint64(i + 1), Records: uint32(n), Digest: sha256.Sum256(stored), Key: key}.Append(nil))
		for k := range outcomes {
			entries = append(entries, outcomes[k].Append(nil))
		}
		if all = append(all, content...); !oneFileSet {
			files[key] = stored
		}
	}
	dir := "_proofs"
	if oneFileSet {
		dir, files["audit.ndjson"] = "audit.proofs", all
	}
	entries = append(entries, proof.Clock{Floor: sequence + 1}.Append(nil))
	for len(entries)%proof.TileWidth != 0 {
		entries = append(entries, proof.Clock{Floor: sequence + 1, Time: int64(len(entries))}.Append(nil))
	}
	const most = 1 << 15
	var s stack
	for from := 0; from < len(entries); from += most {
		to := min(from+most, len(entries))
		var parts []proof.BundleFile
		for at := from; at < to; at += proof.TileWidth {
			var hashes []byte
			for _, e := range entries[at : at+proof.TileWidth] {
				leaf := proof.LeafHash(e)
				s.push(leaf)
				hashes = append(hashes, leaf[:]...)
			}
			index := uint64(at / proof.TileWidth)
			parts = append(parts, proof.BundleFile{Name: proof.EntriesPath(index, proof.TileWidth), Data: proof.AppendEntries(nil, entries[at:at+proof.TileWidth]...)},
				proof.BundleFile{Name: proof.TilePath(0, index, proof.TileWidth), Data: hashes})
		}
		signed, err := proof.Checkpoint{Origin: proof.Origin("0000000000000000", "0000000000000001", "l"), Size: s.size, Root: s.root()}.Sign(signer)
		if err != nil {
			b.Fatal(err)
		}
		bundle, err := proof.AppendBundle(nil, append([]proof.BundleFile{{Name: proof.CheckpointName, Data: signed}}, parts...))
		if err != nil {
			b.Fatal(err)
		}
		files[fmt.Sprintf("%s/%012d.tar", dir, s.size)] = bundle
	}
	return files, public, size
}

// BenchmarkVerify verifies 115 MB of records with their proofs.
func BenchmarkVerify(b *testing.B) {
	for _, c := range []struct {
		name          string
		gzip, oneFile bool
	}{{"objects", false, false}, {"gzip", true, false}, {"file", false, true}} {
		b.Run(c.name, func(b *testing.B) {
			files, public, size := delivered(b, 128, 1000, c.gzip, c.oneFile)
			b.SetBytes(size)
			b.ResetTimer()
			for range b.N {
				r, err := Verify(files, Options{Keys: []string{public}})
				if err != nil || r.FaultCount > 0 || r.Records != 128000 {
					b.Fatalf("%s %v %v", r.Verdict(), r.Faults, err)
				}
			}
		})
	}
}
