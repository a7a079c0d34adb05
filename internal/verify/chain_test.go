package verify

import (
	"crypto/rand"
	"slices"
	"testing"

	"auditrelay/internal/proof"

	"golang.org/x/mod/sumdb/note"
)

// bundleOf makes the one bundle of a log.
func bundleOf(t testing.TB, signer note.Signer, origin string, entries ...[]byte) ([]byte, proof.Checkpoint) {
	t.Helper()
	var leaves []proof.Hash
	var hashes []byte
	for _, e := range entries {
		leaf := proof.LeafHash(e)
		leaves, hashes = append(leaves, leaf), append(hashes, leaf[:]...)
	}
	c := proof.Checkpoint{Origin: origin, Size: uint64(len(leaves)), Root: rootOf(leaves)}
	signed, err := c.Sign(signer)
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := proof.AppendBundle(nil, []proof.BundleFile{{Name: proof.CheckpointName, Data: signed},
		{Name: proof.EntriesPath(0, len(leaves)), Data: proof.AppendEntries(nil, entries...)}, {Name: proof.TilePath(0, 0, len(leaves)), Data: hashes}})
	if err != nil {
		t.Fatal(err)
	}
	return bundle, c
}

// A log that follows another one has to agree with it, as far as that was closed.
func TestALogFollowsTheOneBefore(t *testing.T) {
	signing, public, err := note.GenerateKey(rand.Reader, "a")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := proof.Signer(signing)
	if err != nil {
		t.Fatal(err)
	}
	first := proof.Origin("00", "01", "l")
	entries := [][]byte{proof.Begin{First: 1}.Append(nil), proof.Range{From: 1, To: 5}.Append(nil), proof.Clock{Floor: 5}.Append(nil)}
	bundle, head := bundleOf(t, signer, first, entries...)
	// The one before went on after the copy was made that the second log is of.
	longer, _ := bundleOf(t, signer, first, append(slices.Clone(entries), proof.Clock{Floor: 5, Time: 1}.Append(nil))...)
	second := func(b proof.Begin) []byte {
		bundle, _ := bundleOf(t, signer, proof.Origin("00", "02", "l"), b.Append(nil), proof.Clock{Floor: 5}.Append(nil))
		return bundle
	}
	good := proof.Begin{First: 5, Previous: first, PreviousSize: head.Size, PreviousRoot: head.Root}
	bad, shorter := good, good
	bad.PreviousRoot[0]++
	shorter.PreviousSize--
	for name, c := range map[string]struct {
		files oneFile
		want  Category
	}{
		"whole":                       {oneFile{"_proofs/1.tar": bundle, "_proofs/2.tar": second(good)}, ""},
		"the one before went on":      {oneFile{"_proofs/1.tar": longer, "_proofs/2.tar": second(good)}, ""},
		"the one before is elsewhere": {oneFile{"_proofs/2.tar": second(good)}, ""},
		"another root":                {oneFile{"_proofs/1.tar": bundle, "_proofs/2.tar": second(bad)}, Forged},
		"another size":                {oneFile{"_proofs/1.tar": bundle, "_proofs/2.tar": second(shorter)}, Forged},
	} {
		r, err := Verify(c.files, Options{Keys: []string{public}})
		if err != nil || r.Worst() != c.want {
			t.Errorf("%s: %s %v, %v", name, r.Verdict(), r.Faults, err)
		}
	}
}
