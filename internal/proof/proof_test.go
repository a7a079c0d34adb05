package proof

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func hash(b byte) (h Hash) {
	h[0] = b
	return h
}

// The formats, byte by byte. A change here is a new format.
func TestEntriesAreWhatTheyWere(t *testing.T) {
	zeros := strings.Repeat("00", 31)
	for name, c := range map[string]struct {
		entry interface{ Append(dst []byte) []byte }
		want  string
	}{
		"begin":    {Begin{First: 7, Previous: "a/b", PreviousSize: 2, PreviousRoot: hash(9)}, "01" + "0000000000000007" + "0000000000000002" + "09" + zeros + "0003" + "612f62"},
		"accepted": {Accepted{Sequence: 8, Received: 5, Commitment: hash(4)}, "02" + "0000000000000008" + "0000000000000005" + "04" + zeros},
		"payload":  {Payload{Number: 3, Flags: FlagManifest, Records: 2, Digest: hash(1), Key: "k"}, "03" + "01" + "0000000000000003" + "00000002" + "01" + zeros + "0001" + "6b"},
		"outcome":  {Outcome{Outcome: 1, Delivered: Record, Sequence: 8, Accepted: hash(1), Digest: hash(2), Receipt: hash(3)}, "04" + "01" + "01" + "0000000000000008" + "01" + zeros + "02" + zeros + "03" + zeros},
		"range":    {Range{Outcome: 5, From: 1, To: 9}, "05" + "05" + "0000000000000001" + "0000000000000009"},
		"clock":    {Clock{Time: 1, Floor: 2, First: 3, AcceptedSize: 4, AcceptedRoot: hash(5)}, "06" + "0000000000000001" + "0000000000000002" + "0000000000000003" + "0000000000000004" + "05" + zeros},
	} {
		got := c.entry.Append(nil)
		if hex.EncodeToString(got) != c.want {
			t.Errorf("%s: %x", name, got)
		}
		back, err := ParseEntry(got)
		if err != nil || !cmp.Equal(back, any(c.entry)) {
			t.Errorf("%s: %+v, %v", name, back, err)
		}
	}
}

func TestHashesAreThoseOfRFC6962(t *testing.T) {
	for n := range 300 {
		entry := bytes.Repeat([]byte{7}, n)
		if LeafHash(entry) != tlog.RecordHash(entry) {
			t.Fatalf("an entry of %d bytes", n)
		}
	}
	if NodeHash(hash(1), hash(2)) != tlog.NodeHash(hash(1), hash(2)) {
		t.Error("a node")
	}
}

func TestPathsOfTiles(t *testing.T) {
	for want, got := range map[string]string{
		"tile/0/000":             TilePath(0, 0, 256),
		"tile/0/000.p/1":         TilePath(0, 0, 1),
		"tile/3/x001/x234/067":   TilePath(3, 1234067, 256),
		"tile/entries/x001/000":  EntriesPath(1000, 256),
		"tile/entries/999.p/255": EntriesPath(999, 255),
	} {
		if got != want {
			t.Errorf("%s, expected %s", got, want)
		}
	}
}

func TestOriginsNameOneLog(t *testing.T) {
	seen := map[string]string{}
	for _, lane := range []string{"", "archive", "siem+2", "siem@r1", "a/b", "a%2Fb", "ä", "accepted"} {
		origin := Origin("0011223344556677", "8899aabbccddeeff", lane)
		if strings.ContainsAny(origin, " +\n") || seen[origin] != "" {
			t.Errorf("%q has origin %q", lane, origin)
		}
		seen[origin] = lane + "."
		if _, _, back, err := ParseOrigin(origin); err != nil || back != lane {
			t.Errorf("%q: %q, %v", origin, back, err)
		}
	}
}

func TestARotationNeedsBothKeys(t *testing.T) {
	before, _, _ := note.GenerateKey(rand.Reader, "a")
	after, _, _ := note.GenerateKey(rand.Reader, "a")
	record, err := Rotation(before, after)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := OpenRotation(record); err != nil {
		t.Fatal(err)
	}
	text, signatures, _ := bytes.Cut(record, []byte("\n\n"))
	for i := range 2 {
		lines := bytes.SplitAfter(signatures, []byte("\n"))
		one := bytes.Join([][]byte{text, []byte("\n\n"), lines[i]}, nil)
		if _, _, err := OpenRotation(one); err == nil {
			t.Errorf("a rotation with signature %d alone is taken", i)
		}
	}
}

// The input is untrusted. Nothing in it causes a panic, and accepted input is written again
// unchanged.
func FuzzParse(f *testing.F) {
	signing, _, _ := note.GenerateKey(rand.Reader, "a")
	signer, _ := Signer(signing)
	signed, _ := Checkpoint{Origin: Origin("0", "1", "l"), Size: 3}.Sign(signer)
	bundle, _ := AppendBundle(nil, []BundleFile{{CheckpointName, signed}, {"tile/0/000.p/1", make([]byte, 32)}})
	file := File{Extra: []byte{1}, Index: 4, Hashes: []Hash{{}}, Checkpoint: signed}
	rotation, _ := Rotation(signing, signing)
	for _, seed := range [][]byte{signed, bundle, file.Text(), rotation} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if c, err := ParseCheckpoint(string(in)); err == nil && c.Text() != string(in) {
			t.Fatal("checkpoint")
		}
		if file, err := ParseFile(in); err == nil && !bytes.Equal(file.Text(), in) {
			t.Fatal("file")
		}
		if files, err := ReadBundle(in); err == nil {
			if again, err := AppendBundle(nil, files); err != nil || !bytes.Equal(again, in) {
				t.Fatal("bundle")
			}
		}
		_, _, _ = OpenRotation(in)
		_, _ = PublicKey(string(in))
		if _, _, _, err := ParseOrigin(string(in)); err == nil && strings.ContainsRune(string(in), '+') {
			t.Fatal("origin")
		}
	})
}

// FuzzEntry parses one entry, and the entries of a bundle.
func FuzzEntry(f *testing.F) {
	for _, seed := range [][]byte{Outcome{}.Append(nil), Begin{Previous: "x"}.Append(nil), Accepted{Sequence: 1}.Append(nil),
		Payload{Key: "k"}.Append(nil), Range{From: 1, To: 2}.Append(nil), Clock{}.Append(nil), AppendEntries(nil, []byte("a"), nil)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if entry, err := ParseEntry(in); err == nil {
			again, ok := entry.(interface{ Append(dst []byte) []byte })
			if !ok || !bytes.Equal(again.Append(nil), in) {
				t.Fatalf("entry %+v", entry)
			}
		}
		if entries, err := SplitEntries(in); err == nil && !bytes.Equal(AppendEntries(nil, entries...), in) {
			t.Fatal("entries")
		}
	})
}

// FuzzEvidence parses the extra data of a proof, and the head of an event in it.
func FuzzEvidence(f *testing.F) {
	e := Evidence{Entry: Outcome{}.Append(nil), Statement: []byte{1}, Trail: []byte{2}, Head: []byte{1, 3, 0, 0, 2}, AcceptedHashes: []Hash{{}}, AcceptedHead: []byte("x")}
	f.Add(e.Append(nil))
	f.Add(e.Head)
	f.Fuzz(func(t *testing.T, in []byte) {
		if e, err := ParseEvidence(in); err == nil {
			if !bytes.Equal(e.Append(nil), in) {
				t.Fatal("evidence")
			}
			_, _ = ParseHead(e.Head)
		}
		head, err := SplitBody(in)
		if err == nil && !bytes.HasPrefix(in, head) {
			t.Fatal("head")
		}
		if h, err := ParseHead(in); err == nil && len(h.Namespace)+len(h.ID)+len(h.Action)+len(h.Source)+len(h.Principal)+len(h.Address) > len(in) {
			t.Fatalf("%d bytes give %+v", len(in), h)
		}
	})
}

// FuzzReceipt parses a receipt whose trail matches its statement, as a forger with the key could
// write it. No number in it makes the parser allocate more than its input's size.
func FuzzReceipt(f *testing.F) {
	trail := []byte("\x01c\x01\x01f\x06redact\x02aa\x01v\x01\x01p\x04mask\x02")
	f.Add([]byte("\x01\x01\x00\x00\x00\x00"), trail)
	f.Add([]byte("\x01\x03\x05panic\x01f\x01r\x02"), append(bytes.Clone(trail[:2]), 0xff, 0xff, 0xff, 0xff, 0x0f))
	f.Fuzz(func(t *testing.T, statement, trail []byte) {
		_, _ = ParseReceipt(statement, trail)
		sum := sha256.Sum256(trail)
		r, err := ParseReceipt(append(append(bytes.Clone(statement), make([]byte, 32)...), sum[:]...), trail)
		if err != nil {
			return
		}
		edits := 0
		for _, one := range r.Filters {
			edits += len(one.Edits)
		}
		if len(r.Filters) > len(trail) || edits > len(trail) || len(r.Cause)+len(r.Filter)+len(r.Reason) > len(statement) {
			t.Fatalf("%d and %d bytes give %+v", len(statement), len(trail), r)
		}
	})
}
