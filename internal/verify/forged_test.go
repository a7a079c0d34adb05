package verify

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"auditrelay/internal/proof"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/mod/sumdb/note"
)

var writeForged = flag.Bool("write-forged", false, "write the corpus of forged bundles anew")

// forger has a valid bundle, the record that it states, and another key.
type forger struct {
	t              *testing.T
	signer, other  note.Signer
	public, theirs string
	signing        string // the forger's own
	entries        [][]byte
}

// genuine is the record of the corpus, and its object.
var genuine = []byte(`{"id":"e1","action":"created"}`)

func newForger(t *testing.T) *forger {
	t.Helper()
	f := &forger{t: t}
	signing, public, err := note.GenerateKey(rand.Reader, "relay.example")
	if err != nil {
		t.Fatal(err)
	}
	f.public = public
	if f.signing, f.theirs, err = note.GenerateKey(rand.Reader, "relay.example"); err != nil {
		t.Fatal(err)
	}
	if f.signer, err = proof.Signer(signing); err != nil {
		t.Fatal(err)
	}
	if f.other, err = proof.Signer(f.signing); err != nil {
		t.Fatal(err)
	}
	f.entries = [][]byte{
		proof.Begin{First: 1}.Append(nil),
		proof.Payload{Number: 1, Records: 1, Digest: sha256.Sum256(append(bytes.Clone(genuine), '\n')), Key: "k"}.Append(nil),
		proof.Outcome{Outcome: 1, Delivered: proof.Record, Sequence: 1, Digest: sha256.Sum256(genuine)}.Append(nil),
		proof.Clock{Time: 1769860800, Floor: 2}.Append(nil),
	}
	return f
}

func leavesOf(entries [][]byte) (tile []byte) {
	for _, e := range entries {
		leaf := proof.LeafHash(e)
		tile = append(tile, leaf[:]...)
	}
	return tile
}

// bundle returns a bundle of entries and a tile with a given checkpoint.
func (f *forger) bundle(signed []byte, entries [][]byte, tile []byte, more ...proof.BundleFile) []byte {
	f.t.Helper()
	files := append([]proof.BundleFile{{Name: proof.CheckpointName, Data: signed}}, more...)
	files = append(files, proof.BundleFile{Name: proof.EntriesPath(0, len(entries)), Data: proof.AppendEntries(nil, entries...)},
		proof.BundleFile{Name: proof.TilePath(0, 0, len(tile)/len(zero)), Data: tile})
	b, err := proof.AppendBundle(nil, files)
	if err != nil {
		f.t.Fatal(err)
	}
	return b
}

func (f *forger) signed(signer note.Signer, entries [][]byte, size uint64) []byte {
	f.t.Helper()
	var leaves []proof.Hash
	for _, e := range entries {
		leaves = append(leaves, proof.LeafHash(e))
	}
	signed, err := proof.Checkpoint{Origin: proof.Origin("0011223344556677", "8899aabbccddeeff", "archive"), Size: size, Root: rootOf(leaves)}.Sign(signer)
	if err != nil {
		f.t.Fatal(err)
	}
	return signed
}

// forgeries returns bundles by name. A name begins with the category that Verify must report;
// "whole" means none.
func (f *forger) forgeries() map[string][]byte {
	n := uint64(len(f.entries))
	signed, tile := f.signed(f.signer, f.entries, n), leavesOf(f.entries)
	with := func(change func(o *proof.Outcome)) [][]byte {
		entry, _ := proof.ParseEntry(f.entries[2])
		o, _ := entry.(proof.Outcome)
		change(&o)
		all := slices.Clone(f.entries)
		all[2] = o.Append(nil)
		return all
	}
	filtered := with(func(o *proof.Outcome) { o.Outcome, o.Delivered, o.Digest = 2, proof.Nothing, zero })
	swapped := slices.Clone(f.entries)
	swapped[1], swapped[2] = swapped[2], swapped[1]
	withheld := slices.Clone(f.entries)
	withheld[2] = nil
	text, _, _ := bytes.Cut(signed, []byte("\n\n"))
	flipped := bytes.Clone(tile)
	flipped[2*len(zero)] ^= 1
	whole := f.bundle(signed, f.entries, tile)
	other := f.signed(f.other, filtered, n)
	alone, _ := note.Sign(&note.Note{Text: "auditrelay key rotation\n" + f.public + "\n" + f.theirs + "\n"}, f.other)
	rotations, _ := json.Marshal([]string{string(alone)})
	header := bytes.Clone(whole)
	header[100]++ // the mode
	return map[string][]byte{
		"whole-genuine":                      whole,
		"whole-withheld":                     f.bundle(signed, withheld, tile),
		"forged-another-key":                 f.bundle(f.signed(f.other, f.entries, n), f.entries, tile),
		"forged-another-key-another-outcome": f.bundle(other, filtered, leavesOf(filtered)),
		"forged-unsigned":                    f.bundle(append(text, "\n\n"...), f.entries, tile),
		"forged-another-root":                f.bundle(signed, filtered, leavesOf(filtered)),
		"forged-swapped-leaves":              f.bundle(signed, swapped, leavesOf(swapped)),
		"forged-a-larger-size":               f.bundle(bytes.Replace(signed, []byte("\n4\n"), []byte("\n5\n"), 1), append(slices.Clone(f.entries), f.entries[3]), leavesOf(append(slices.Clone(f.entries), f.entries[3]))),
		"forged-rotation-by-the-new-key":     f.bundle(other, filtered, leavesOf(filtered), proof.BundleFile{Name: proof.RotationsName, Data: rotations}),
		"altered-entry":                      f.bundle(signed, filtered, tile),
		"altered-leaf":                       f.bundle(signed, f.entries, flipped),
		"altered-swapped-entries":            f.bundle(signed, swapped, tile),
		"altered-a-leaf-more":                f.bundle(signed, f.entries, append(bytes.Clone(tile), tile[:len(zero)]...)),
		"altered-a-foreign-file":             f.bundle(signed, f.entries, tile, proof.BundleFile{Name: "tile/0/x000/000", Data: tile}),
		"altered-header":                     header,
		"altered-trailing-bytes":             append(bytes.Clone(whole), make([]byte, 512)...),
		"altered-cut":                        whole[:len(whole)-512],
		"missing-a-leaf":                     f.bundle(signed, f.entries[:3], tile[:3*len(zero)]),
		"missing-all-leaves":                 f.bundle(signed, f.entries[:1], tile[:len(zero)]),
	}
}

// TestWriteForgedBundles writes testdata/forged.
func TestWriteForgedBundles(t *testing.T) {
	if !*writeForged {
		t.Skip("only with -write-forged")
	}
	f := newForger(t)
	for name, bundle := range f.forgeries() {
		if err := os.WriteFile(filepath.Join("testdata/forged", name+".tar"), bundle, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile("testdata/forged/key", []byte(f.public+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestForgedBundlesAreNamed reads the committed corpus: a valid bundle, changed each time in
// one way of forgery. The record beside it is unchanged.
func TestForgedBundlesAreNamed(t *testing.T) {
	names, err := filepath.Glob("testdata/forged/*.tar")
	if err != nil || len(names) < 15 {
		t.Fatalf("%d forged bundles, %v", len(names), err)
	}
	key, err := os.ReadFile("testdata/forged/key")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		bundle, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Verify(oneFile{"_proofs/a.tar": bundle, "k": append(bytes.Clone(genuine), '\n')}, Options{Keys: []string{string(key)}})
		if err != nil {
			t.Fatal(err)
		}
		want, _, _ := strings.Cut(filepath.Base(name), "-")
		if want == "whole" {
			want = ""
		}
		if string(r.Worst()) != want {
			t.Errorf("%s: %s %v", name, r.Verdict(), r.Faults)
		}
		if want != "" && !strings.Contains(r.Verdict(), "complete nowhere") {
			t.Errorf("%s: %s", name, r.Verdict())
		}
		if strings.Contains(name, "withheld") && !strings.Contains(r.Verdict(), "but for 1 to 1, withheld") {
			t.Errorf("%s: %s", name, r.Verdict())
		}
	}
}

// FuzzBundle changes bundles of the corpus. Without the key, no change gives a bundle without
// faults that states more than the genuine one, or other logs.
func FuzzBundle(f *testing.F) {
	names, err := filepath.Glob("testdata/forged/*.tar")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		bundle, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(bundle)
	}
	key, err := os.ReadFile("testdata/forged/key")
	if err != nil {
		f.Fatal(err)
	}
	object := append(bytes.Clone(genuine), '\n')
	f.Fuzz(func(t *testing.T, bundle []byte) {
		r, err := Verify(oneFile{"_proofs/a.tar": bundle, "k": object}, Options{Keys: []string{string(key)}})
		if err != nil {
			t.Fatal(err)
		}
		if r.FaultCount == 0 && (len(r.Logs) != 1 || r.Logs[0].Size != 4 || r.Records > 1 || r.Outcomes["filtered"] > 0) {
			t.Fatalf("%s %+v", r.Verdict(), r.Logs)
		}
	})
}

// TestTheGravestOfManyFaultsIsTheVerdict: the list of faults is limited, but the verdict covers
// all of them.
func TestTheGravestOfManyFaultsIsTheVerdict(t *testing.T) {
	r := &Report{}
	for range maxFaults + 1 {
		r.Fault(Fault{Category: Missing})
	}
	r.Fault(Fault{Category: Altered})
	if r.Worst() != Altered || !strings.Contains(r.Verdict(), "1 altered, 1,001 missing") {
		t.Errorf("%s: %s", r.Worst(), r.Verdict())
	}
}

// unreadable is a place with a file that cannot be read.
type unreadable struct {
	oneFile
	name string
}

func (u unreadable) Open(name string) (io.ReadCloser, error) {
	if name == u.name {
		return nil, os.ErrPermission
	}
	return u.oneFile.Open(name)
}

// TestAnUnreadableFileHidesNothingAsMissing: the content of an unreadable file is unknown, so
// its records are not reported as missing.
func TestAnUnreadableFileHidesNothingAsMissing(t *testing.T) {
	f := newForger(t)
	bundle := f.bundle(f.signed(f.signer, f.entries, 4), f.entries, leavesOf(f.entries))
	place := oneFile{"a.proofs/1.tar": bundle, "a.ndjson": append(bytes.Clone(genuine), '\n')}
	r, err := Verify(place, Options{Keys: []string{f.public}})
	if err != nil || r.Worst() != "" || r.Records != 1 {
		t.Fatalf("%s %v, %v", r.Verdict(), r.Faults, err)
	}
	r, err = Verify(unreadable{place, "a.ndjson"}, Options{Keys: []string{f.public}})
	if err != nil || r.Worst() != Unreadable || r.FaultCount != 1 || r.ValidObjects != 0 {
		t.Errorf("%s %v, %v", r.Verdict(), r.Faults, err)
	}
}

// TestHostileFilesAreBounded: an attacker with write access can neither fill the verifier's
// memory nor keep it busy for long.
func TestHostileFilesAreBounded(t *testing.T) {
	f := newForger(t)
	bundle := f.bundle(f.signed(f.signer, f.entries, 4), f.entries, leavesOf(f.entries))
	bomb := func(line []byte, n int) []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		for range n {
			if _, err := z.Write(line); err != nil {
				t.Fatal(err)
			}
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	feeds, zeros := bytes.Repeat([]byte("\n"), 1<<20), make([]byte, 1<<20)
	lines, long := bomb(feeds, 8), bomb(zeros, 300)
	for name, c := range map[string]struct {
		place oneFile
		want  Category
		at    string
	}{
		"many lines in an object": {oneFile{"_proofs/a.tar": bundle, "k": lines}, Altered, "k"},
		"a long line in one":      {oneFile{"_proofs/a.tar": bundle, "k": long}, Altered, "k"},
		"many lines in a file":    {oneFile{"a.proofs/a.tar": bundle, "a.ndjson": lines}, Added, "a.ndjson"},
		"a long line in one file": {oneFile{"a.proofs/a.tar": bundle, "a.ndjson": long}, Altered, "a.ndjson"},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			r, err := Verify(c.place, Options{Keys: []string{f.public}})
			runtime.ReadMemStats(&after)
			if err != nil || !slices.ContainsFunc(r.Faults, func(f Fault) bool { return f.Category == c.want && f.Object == c.at }) {
				t.Errorf("%s %v, %v", r.Verdict(), r.Faults, err)
			}
			if took := after.TotalAlloc - before.TotalAlloc; took > 1<<30 {
				t.Errorf("it took %d MB", took>>20)
			}
		})
	}
	t.Run("copies of a bundle", func(t *testing.T) {
		place := oneFile{"k": append(bytes.Clone(genuine), '\n')}
		for i := range 100 {
			place[fmt.Sprintf("_proofs/%d.tar", i)] = bundle
		}
		v, err := newVerifier(place, Options{Keys: []string{f.public}})
		if err != nil {
			t.Fatal(err)
		}
		names, _ := place.List()
		slices.Sort(names)
		v.readBundles(names)
		held := 0
		for _, l := range v.logs {
			for _, b := range l.bundles {
				held += len(b.files)
			}
		}
		if held != 2 {
			t.Errorf("%d files of bundles are held", held)
		}
	})
}
