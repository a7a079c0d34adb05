package verify

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"auditrelay/internal/proof"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// The bounds of one file, as stored and decompressed.
const (
	maxObject  = 1 << 30
	maxContent = 4 << 30
)

// checkData holds all files against what the logs state: what a sink file wrote against
// the logs that stand beside it, all else against those of buckets.
func (v *verifier) checkData(names []string) {
	files := map[string]*fileSet{}
	for set := range v.sets {
		files[set] = &fileSet{}
	}
	var objects []string
	for _, name := range names {
		if set, part := v.fileOf(name); set != "" {
			files[set].add(part, name)
			continue
		}
		objects = append(objects, name)
	}
	stated := map[string][]*payload{} // by set; that of buckets is ""
	logs := v.sorted()
	// Of two equal records the one that came first is of the older log.
	slices.SortStableFunc(logs, func(a, b *log) int { return cmp.Compare(a.since, b.since) })
	for _, l := range logs {
		for _, p := range l.payloads {
			if v.options.From == 0 || p.Flags&proof.FlagManifest != 0 || p.first() >= v.options.From {
				stated[l.set] = append(stated[l.set], p)
			}
		}
	}
	for _, set := range slices.Sorted(maps.Keys(files)) {
		v.checkFiles(set, files[set], stated[set])
	}
	v.checkObjects(objects, stated[""])
}

func (p *payload) first() uint64 {
	if len(p.outcomes) == 0 {
		return 0
	}
	return p.outcomes[0].Sequence
}

func (p *payload) expected() []expected {
	out := make([]expected, 0, len(p.outcomes))
	for i := range p.outcomes {
		o := &p.outcomes[i]
		out = append(out, expected{sequence: o.Sequence, digest: o.Digest, tombstone: o.Delivered == proof.Tombstone})
	}
	return out
}

// checkObjects checks a bucket: a payload is an object.
func (v *verifier) checkObjects(names []string, stated []*payload) {
	place := places(names, stated)
	taken := map[string]*payload{}
	for _, p := range stated {
		v.Objects++
		name, ok := place(p.Key)
		if !ok {
			v.Fault(Fault{Missing, p.Key, 0, p.first(), fmt.Sprintf("payload %d is not there: %d records", p.Number, p.Records)})
			continue
		}
		if before := taken[name]; before != nil && !before.redelivered(p) {
			v.Fault(Fault{Altered, name, 0, 0, fmt.Sprintf("payload %d was delivered there as well: it stands in the place of another", p.Number)})
			continue
		}
		taken[name] = p
		v.checkObject(name, p)
	}
	batches := isBatch(stated)
	for _, name := range names {
		if taken[name] == nil {
			v.unstated(name, batches)
		}
	}
}

// redelivered reports whether another life of the journal states the same payload: a backup
// was made while it was under way, and the restored relay delivered it once more.
func (p *payload) redelivered(by *payload) bool {
	return p.log != by.log && p.Key == by.Key && p.Digest == by.Digest && p.Digest != zero
}

// isBatch reports whether all data objects are of the layout batch, whose names tell
// the relay's from others'.
func isBatch(stated []*payload) bool {
	found := false
	for _, p := range stated {
		if p.Flags&proof.FlagManifest == 0 {
			if found = batchName.MatchString(path.Base(p.Key)); !found {
				return false
			}
		}
	}
	return found
}

// checkObject checks one object against its payload.
func (v *verifier) checkObject(name string, p *payload) {
	stored, err := v.files.Read(name, maxObject)
	if err != nil {
		v.Fault(Fault{Unreadable, name, 0, p.first(), err.Error()})
		return
	}
	same := sha256.Sum256(stored) == p.Digest || p.Digest == zero
	if p.Records == 0 || len(p.outcomes) < int(p.Records) {
		if same {
			v.ValidObjects++
		} else {
			v.Fault(Fault{Altered, name, 0, 0, "its content is not what was delivered"})
		}
		return
	}
	content, err := decompress(name, stored)
	if err != nil {
		v.Fault(Fault{Altered, name, 0, p.first(), "it cannot be decompressed: " + err.Error()})
		return
	}
	faults := compare(p.expected(), content, false)
	if !same && len(faults) == 0 {
		faults = append(faults, lineFault{category: Altered, what: "its stored bytes are not what was delivered, although its records are"})
	}
	for _, f := range faults {
		v.Fault(Fault{f.category, name, f.line, f.sequence, f.what})
	}
	if len(faults) == 0 {
		v.ValidObjects++
		v.count(p.outcomes, len(content))
	}
}

func (v *verifier) count(outcomes []proof.Outcome, bytes int) {
	v.Records += uint64(len(outcomes))
	v.Bytes += int64(bytes)
	for i := range outcomes {
		if outcomes[i].Delivered == proof.Tombstone {
			v.Tombstones++
		}
	}
}

// batchName is the name of an object of the layout batch.
var batchName = regexp.MustCompile(`^([0-9a-f]{16})\.([0-9a-f]{16})-(\d+)-(\d+)-[0-9a-f]{12}\.`)

// partition is a folder of the layout batch. Query engines read all that is in one.
var partition = regexp.MustCompile(`(^|/)dt=[^/]*/`)

// unstated judges a file that is in no log. batches: all objects are of the
// layout batch.
func (v *verifier) unstated(name string, batches bool) {
	m := batchName.FindStringSubmatch(path.Base(name))
	switch {
	case m != nil:
	case batches && partition.MatchString(name):
		v.Fault(Fault{Added, name, 0, 0, "no log states it, and it is not named as the relay names its objects"})
		return
	default:
		v.Unattested = append(v.Unattested, name)
		return
	}
	from, err := strconv.ParseUint(m[3], 10, 64)
	to, err2 := strconv.ParseUint(m[4], 10, 64)
	if err != nil || err2 != nil || from >= to {
		v.Fault(Fault{Added, name, 0, 0, "no log states it, and the relay names no object like that"})
		return
	}
	ours := false
	for _, l := range v.logs {
		journal, incarnation, _, err := proof.ParseOrigin(l.origin)
		if err != nil || journal != m[1] || incarnation != m[2] {
			continue
		}
		if ours = true; l.covers(from) && l.covers(to-1) {
			v.Fault(Fault{Added, name, 0, 0, "no log states it, and the log is complete there"})
			return
		}
	}
	if !ours {
		v.Fault(Fault{Added, name, 0, 0, fmt.Sprintf("it belongs to journal %s, incarnation %s, which has no signed log here", m[1], m[2])})
		return
	}
	v.Unattested = append(v.Unattested, name)
}

// places returns what finds a payload's file by its key: the place may be a copy of a
// part of the bucket, or have the bucket in a folder.
func places(names []string, stated []*payload) func(key string) (string, bool) {
	exists := make(map[string]bool, len(names))
	byBase := map[string][]string{}
	for _, name := range names {
		exists[name] = true
		byBase[path.Base(name)] = append(byBase[path.Base(name)], name)
	}
	type shift struct{ key, name string }
	votes := map[shift]int{}
	for i, p := range stated {
		if i == 1000 {
			break
		}
		for _, name := range byBase[path.Base(p.Key)] {
			k, n := p.Key, name
			for k != "" && n != "" && k[len(k)-1] == n[len(n)-1] {
				k, n = k[:len(k)-1], n[:len(n)-1]
			}
			// Back to where a folder begins in both.
			common := p.Key[len(k):]
			if i := strings.IndexByte(common, '/'); (k != "" && k[len(k)-1] != '/' || n != "" && n[len(n)-1] != '/') && i >= 0 {
				k, n = k+common[:i+1], n+common[:i+1]
			}
			votes[shift{k, n}]++
		}
	}
	var best shift
	most := 0
	for s, n := range votes {
		if n > most || n == most && s.key+s.name < best.key+best.name {
			best, most = s, n
		}
	}
	return func(key string) (string, bool) {
		rest, ok := strings.CutPrefix(key, best.key)
		return best.name + rest, ok && exists[best.name+rest]
	}
}

// fileSet is what a file sink wrote: the file and its rotated ones, oldest first.
type fileSet struct {
	data, manifests []string
}

func (s *fileSet) add(part, name string) {
	switch part {
	case "manifests":
		s.manifests = append(s.manifests, name)
	case "data":
		s.data = append(s.data, name)
	}
}

var rotatedName = regexp.MustCompile(`-\d{8}T\d{6}\.\d{3}Z(-\d+)?$`)

// fileOf returns the set that a file of the sink file belongs to, by its name, and which
// part of it; empty: it is of none. Proofs of a set stand in a folder beside it.
func (v *verifier) fileOf(name string) (set, part string) {
	base := strings.TrimSuffix(name, ".gz")
	for _, ext := range []string{".state", ".state.new", ".lock"} {
		if own, ok := strings.CutSuffix(base, ext); ok {
			base, part = own, "own"
		}
	}
	stem := rotatedName.ReplaceAllString(strings.TrimSuffix(base, path.Ext(base)), "")
	stem, manifest := strings.CutSuffix(stem, ".manifests")
	switch {
	case !v.sets[stem]:
		return "", ""
	case part != "":
	case manifest:
		part = "manifests"
	default:
		part = "data"
	}
	return stem, part
}

// checkFiles checks what the sink file wrote: its payloads stand one after the other.
func (v *verifier) checkFiles(name string, set *fileSet, stated []*payload) {
	var data, manifests []expected
	for _, p := range stated {
		v.Objects++
		if p.Flags&proof.FlagManifest != 0 {
			manifests = append(manifests, expected{digest: p.Digest, payload: p})
			continue
		}
		for _, e := range p.expected() {
			e.payload = p
			data = append(data, e)
		}
	}
	lines, whole := v.lines(set.ordered(set.data), false)
	v.compareFile(name, data, lines, whole)
	lines, whole = v.lines(set.ordered(set.manifests), true)
	v.compareFile(name+".manifests", manifests, lines, whole)
	for _, p := range stated {
		if !p.faulty {
			v.ValidObjects++
			if p.Flags&proof.FlagManifest == 0 {
				v.count(p.outcomes, 0)
			}
		}
	}
}

// ordered puts the file itself behind its rotated ones.
func (s *fileSet) ordered(names []string) []string {
	var out, last []string
	for _, name := range names {
		base := strings.TrimSuffix(name, ".gz")
		switch stem := strings.TrimSuffix(base, path.Ext(base)); {
		case rotatedName.MatchString(strings.TrimSuffix(stem, ".manifests")), rotatedName.MatchString(stem):
			out = append(out, name)
		default:
			last = append(last, name)
		}
	}
	return append(out, last...)
}

type fileLine struct {
	name string
	line int
	sum  proof.Hash
	cut  bool // it has no line feed
	test bool // it is what sink test sends, by its own words
}

// isTest reports whether a record says that it is a test of a destination by an operator:
// no log states one.
func isTest(text []byte) bool {
	const table = "auditrelay_test"
	var record struct {
		Table string `json:"table_name"`
	}
	return bytes.Contains(text, []byte(table)) && json.Unmarshal(text, &record) == nil && record.Table == table
}

// lines reads the lines of files. ended: their digests are with the line feed. readable:
// every file could be read.
func (v *verifier) lines(names []string, ended bool) (out []fileLine, readable bool) {
	readable = true
	for _, name := range names {
		stored, err := v.files.Read(name, maxObject)
		if err != nil {
			readable = false
			v.Fault(Fault{Unreadable, name, 0, 0, err.Error()})
			continue
		}
		content, err := decompress(name, stored)
		if err != nil {
			v.Fault(Fault{Altered, name, 0, 0, "it cannot be decompressed: " + err.Error()})
			continue
		}
		n := 0
		for line := range bytes.Lines(content) {
			n++
			v.Bytes += int64(len(line))
			text, whole := bytes.CutSuffix(line, []byte("\n"))
			if !ended {
				line = text
			}
			out = append(out, fileLine{name, n, sha256.Sum256(line), !whole, isTest(text)})
		}
	}
	return out, readable
}

// compareFile holds the lines of a file and its rotated ones against what was delivered.
// If a file was not readable, a missing line cannot be ruled out.
func (v *verifier) compareFile(file string, want []expected, got []fileLine, readable bool) {
	same := 0 // lines from the beginning, the common case without maps
	for same < len(want) && same < len(got) && (want[same].digest == got[same].sum || want[same].digest == zero) {
		if l := &got[same]; l.cut {
			want[same].payload.faulty = true
			v.Fault(Fault{Altered, l.name, l.line, want[same].sequence, "its line feed is missing: the file was cut"})
		}
		same++
	}
	want, got = want[same:], v.withoutTests(want[same:], got[same:])
	sums := make([]proof.Hash, len(got))
	for i := range got {
		sums[i] = got[i].sum
	}
	newer := 0
	for _, f := range compareSums(want, sums, true) {
		object, line := file, 0
		if f.line > 0 {
			object, line = got[f.line-1].name, got[f.line-1].line
		}
		if f.category == "" {
			if newer++; newer == 1 {
				v.Unattested = append(v.Unattested, fmt.Sprintf("%s, from line %d on", object, line))
			}
			continue
		}
		if f.at >= 0 && f.at < len(want) {
			p := want[f.at].payload
			if p.faulty = true; f.line == 0 {
				object += ", payload " + p.Key
			}
		}
		if f.category == Missing && !readable {
			continue // the file is named
		}
		v.Fault(Fault{f.category, object, line, f.sequence, f.what})
	}
}

// withoutTests leaves out the records of sink tests that no log states, and says which they
// are: anybody can add a line that calls itself a test.
func (v *verifier) withoutTests(want []expected, got []fileLine) []fileLine {
	if !slices.ContainsFunc(got, func(l fileLine) bool { return l.test }) {
		return got
	}
	stated := map[proof.Hash]bool{}
	for i := range want {
		stated[want[i].digest] = true
	}
	return slices.DeleteFunc(got, func(l fileLine) bool {
		if !l.test || stated[l.sum] {
			return false
		}
		v.Unattested = append(v.Unattested, fmt.Sprintf("%s, line %d: a test of the sink", l.name, l.line))
		return true
	})
}

// decompress undoes the compression that the name or the content tells.
func decompress(name string, stored []byte) ([]byte, error) {
	var r io.Reader
	switch {
	case bytes.HasPrefix(stored, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(bytes.NewReader(stored))
		if err != nil {
			return nil, err
		}
		r = z
	case bytes.HasPrefix(stored, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(bytes.NewReader(stored), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<30))
		if err != nil {
			return nil, err
		}
		defer z.Close()
		r = z
	default:
		return stored, nil
	}
	content, err := io.ReadAll(io.LimitReader(r, maxContent+1))
	if err == nil && len(content) > maxContent {
		err = fmt.Errorf("its content is over %d bytes", int64(maxContent))
	}
	return content, err
}
