package verify

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"io"
	"testing"

	"auditrelay/internal/proof"

	"golang.org/x/mod/sumdb/note"
)

type oneFile map[string][]byte

func (f oneFile) List() ([]string, error) {
	var names []string
	for name := range f {
		names = append(names, name)
	}
	return names, nil
}

func (f oneFile) Open(name string) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(f[name])), nil
}

// FuzzVerify lets a forger choose all of a bundle except the signature: the log's leaves, its
// tiles, and the data. Nothing panics, and data without faults has the records stated by the
// leaves.
func FuzzVerify(f *testing.F) {
	signer, public := newSigner(f)
	entries := proof.AppendEntries(nil, proof.Begin{First: 1}.Append(nil), proof.Payload{Records: 1, Key: "k"}.Append(nil),
		proof.Outcome{Outcome: 1, Sequence: 1, Delivered: 1}.Append(nil), proof.Clock{Floor: 2}.Append(nil))
	f.Add(entries, []byte("{}\n"), "tile/entries/000.p/4", []byte{})
	f.Add(entries, []byte{0x1f, 0x8b}, "tile/1/000.p/1", make([]byte, 32))
	f.Fuzz(func(t *testing.T, entries, data []byte, name string, tile []byte) {
		list, err := proof.SplitEntries(entries)
		if err != nil || len(list) == 0 || len(list) > 200 {
			return
		}
		var s stack
		var hashes []byte
		for _, e := range list {
			leaf := proof.LeafHash(e)
			s.push(leaf)
			hashes = append(hashes, leaf[:]...)
		}
		signed, err := proof.Checkpoint{Origin: proof.Origin("0", "1", "l"), Size: s.size, Root: s.root()}.Sign(signer)
		if err != nil {
			t.Fatal(err)
		}
		bundle, err := proof.AppendBundle(nil, []proof.BundleFile{{Name: proof.CheckpointName, Data: signed},
			{Name: proof.EntriesPath(0, len(list)), Data: entries}, {Name: proof.TilePath(0, 0, len(list)), Data: hashes}, {Name: name, Data: tile}})
		if err != nil {
			return // not a valid name in a tar file
		}
		report, err := Verify(oneFile{"_proofs/a.tar": bundle, "k": data}, Options{Keys: []string{public}, Pins: [][]byte{signed, tile}})
		if err != nil {
			t.Fatal(err)
		}
		_ = report.Verdict()
		if report.FaultCount == 0 {
			t.Fatal("a file that is none of a log went unnoticed")
		}
	})
}

func FuzzFile(f *testing.F) {
	f.Add([]byte("c2sp.org/tlog-proof@v1\nindex 0\n\n"), []byte("{}"))
	_, public, err := note.GenerateKey(rand.Reader, "a")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text, document []byte) {
		if p, err := File(text, FileOptions{Keys: []string{public}, Document: document}); err == nil {
			t.Fatalf("an unsigned proof is taken: %+v", p)
		}
	})
}

// oneStore is a store with one bundle and two rows.
type oneStore struct {
	name   string
	bundle []byte
	rows   []Row
}

func (s *oneStore) Bundles(fn func(string, []byte) error) error { return fn(s.name, s.bundle) }

func (s *oneStore) Rows(fn func(Row) error) error {
	for _, r := range s.rows {
		if err := fn(r); err != nil {
			return err
		}
	}
	return nil
}

func (s *oneStore) Check() ([]string, error) { return nil, nil }

// FuzzStore lets a forger choose the entries of a signed log and the rows of a store. Nothing
// panics, and a store without a fault contains what its log states.
func FuzzStore(f *testing.F) {
	signer, public := newSigner(f)
	data := []byte("{}")
	f.Add(proof.AppendEntries(nil, proof.Begin{First: 1}.Append(nil), proof.Payload{Records: 1, Key: "k"}.Append(nil),
		proof.Outcome{Outcome: 1, Sequence: 1, Delivered: 1, Digest: sha256.Sum256(data)}.Append(nil), proof.Clock{Floor: 2}.Append(nil)), data, data, uint64(1), uint64(2), "00.01")
	f.Fuzz(func(t *testing.T, entries, first, second []byte, a, b uint64, journal string) {
		list, err := proof.SplitEntries(entries)
		if err != nil || len(list) == 0 || len(list) > 200 {
			return
		}
		bundle, _ := bundleOf(t, signer, proof.Origin("00", "01", "l"), list...)
		store := &oneStore{"_proofs/a.tar", bundle, []Row{{1, "00.01", a, first, false, false}, {2, journal, b, second, false, false}}}
		r, err := Store(store, Options{Keys: []string{public}})
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Verdict()
		if r.FaultCount == 0 && r.ValidObjects != r.Objects {
			t.Fatalf("%d of %d rows are valid, and nothing is wrong", r.ValidObjects, r.Objects)
		}
	})
}
