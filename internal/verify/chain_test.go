package verify

import (
	"crypto/rand"
	"crypto/sha256"
	"slices"
	"strings"
	"testing"

	"auditrelay/internal/proof"

	"golang.org/x/mod/sumdb/note"
)

// bundleOf creates the only bundle of a log.
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

// newSigner returns a new key and its public key in the form for verify.
func newSigner(tb testing.TB) (note.Signer, string) {
	tb.Helper()
	signing, public, err := note.GenerateKey(rand.Reader, "a")
	if err != nil {
		tb.Fatal(err)
	}
	signer, err := proof.Signer(signing)
	if err != nil {
		tb.Fatal(err)
	}
	return signer, public
}

// A log must agree with its predecessor up to the point where that was closed.
func TestALogFollowsTheOneBefore(t *testing.T) {
	signer, public := newSigner(t)
	first := proof.Origin("00", "01", "l")
	entries := [][]byte{proof.Begin{First: 1}.Append(nil), proof.Range{From: 1, To: 5}.Append(nil), proof.Clock{Floor: 5}.Append(nil)}
	bundle, head := bundleOf(t, signer, first, entries...)
	// The predecessor continued after the copy that the second log belongs to.
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

// A callback and its replays write to one file, and each log is signed separately. The relay
// may end when one log states lines after others that the second log does not state yet. Such
// lines are newer than their log. Once the logs have continued, they are faults.
func TestOneLogIsBehindAnother(t *testing.T) {
	signer, public := newSigner(t)
	begin := func() [][]byte { return [][]byte{proof.Begin{First: 1}.Append(nil)} }
	delivered := func(entries [][]byte, number uint64, line string) [][]byte {
		return append(entries, proof.Payload{Number: number, Records: 1, Digest: sha256.Sum256([]byte(line + "\n")), Key: line}.Append(nil),
			proof.Outcome{Outcome: 1, Delivered: proof.Record, Sequence: number, Digest: sha256.Sum256([]byte(line))}.Append(nil))
	}
	clocked := func(entries [][]byte, minutes ...int64) [][]byte {
		for _, m := range minutes {
			entries = append(entries, proof.Clock{Time: 1769860800 + 60*m}.Append(nil))
		}
		return entries
	}
	a, c := delivered(begin(), 1, `"a"`), delivered(begin(), 1, `"c"`)
	for name, test := range map[string]struct {
		callback, replay [][]byte // content of the logs; the file is a, b, c
		faults           int
		newer            int
	}{
		"the callback's is behind":      {clocked(a, 0, 1), clocked(c, 1, 2), 0, 1},
		"the replay's is behind":        {delivered(clocked(a, 0, 1), 2, `"c"`), clocked(begin(), 0, 1), 0, 1},
		"both went on":                  {clocked(a, 0, 1, 2, 3, 4, 5, 6, 7), clocked(c, 1, 2, 3, 4, 5, 6, 7), 1, 0},
		"a replay delivered nothing":    {clocked(delivered(clocked(a, 0, 1), 2, `"c"`), 2, 3, 4, 5, 6, 7), clocked(begin(), 0, 1, 2, 3, 4, 5, 6, 7), 1, 0},
		"nothing is stated yet":         {clocked(begin(), 0, 1), clocked(begin(), 1), 0, 1},
		"both are whole":                {delivered(clocked(a, 0, 1), 2, `"b"`), clocked(c, 1, 2), 0, 0},
		"the replay ended long ago":     {clocked(delivered(clocked(a, 0, 1), 2, `"c"`), 2, 3, 100), clocked(begin(), 0, 1), 1, 0},
		"the callback tells of a later": {delivered(clocked(a, 0, 1), 2, `"d"`), clocked(c, 1, 2), 1, 0},
	} {
		callback, _ := bundleOf(t, signer, proof.Origin("00", "01", "l"), test.callback...)
		replay, _ := bundleOf(t, signer, proof.Origin("00", "01", "l@r"), test.replay...)
		lines := "\"a\"\n\"b\"\n\"c\"\n"
		if strings.HasSuffix(name, "later") {
			lines += "\"d\"\n"
		}
		r, err := Verify(oneFile{"f.proofs/1.tar": callback, "f.proofs/2.tar": replay, "f.ndjson": []byte(lines)}, Options{Keys: []string{public}})
		if err != nil || r.FaultCount != test.faults || len(r.Unattested) != test.newer {
			t.Errorf("%s: %s %v %v, %v", name, r.Verdict(), r.Faults, r.Unattested, err)
		}
	}
}

// TestWhatTheLogBeforeStates: a restored journal's log begins at the first event without an
// outcome. Later events may have their outcomes in the previous log, which may be elsewhere.
func TestWhatTheLogBeforeStates(t *testing.T) {
	signer, public := newSigner(t)
	outcome := func(sequence uint64) []byte { return proof.Outcome{Outcome: 2, Sequence: sequence}.Append(nil) }
	first, second := proof.Origin("00", "01", "l"), proof.Origin("00", "02", "l")
	earlier := [][]byte{proof.Begin{First: 1}.Append(nil), outcome(2), proof.Range{From: 3, To: 5}.Append(nil), proof.Clock{Floor: 1, Time: 1}.Append(nil)}
	whole, head := bundleOf(t, signer, first, earlier...)
	lacking, other := bundleOf(t, signer, first, earlier[0], outcome(2), proof.Clock{Floor: 1, Time: 1}.Append(nil))
	then := func(before proof.Checkpoint) []byte {
		b, _ := bundleOf(t, signer, second, proof.Begin{First: 1, Previous: first, PreviousSize: before.Size, PreviousRoot: before.Root}.Append(nil), outcome(1), outcome(5),
			proof.Clock{Floor: 6, Time: 2}.Append(nil))
		return b
	}
	for name, c := range map[string]struct {
		files oneFile
		want  Category
	}{
		"it has them":     {oneFile{"_proofs/1.tar": whole, "_proofs/2.tar": then(head)}, ""},
		"it lacks some":   {oneFile{"_proofs/1.tar": lacking, "_proofs/2.tar": then(other)}, Missing},
		"it is elsewhere": {oneFile{"_proofs/2.tar": then(head)}, ""},
	} {
		r, err := Verify(c.files, Options{Keys: []string{public}})
		if err != nil || r.Worst() != c.want {
			t.Errorf("%s: %s %v, %v", name, r.Verdict(), r.Faults, err)
		}
		if last := r.Logs[len(r.Logs)-1]; c.want == "" && (last.First != 1 || last.Last != 5 || (name == "it is elsewhere") != (len(last.Withheld) == 1)) {
			t.Errorf("%s: %+v", name, last)
		}
	}
}
