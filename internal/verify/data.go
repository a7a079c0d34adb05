package verify

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"auditrelay/internal/proof"
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

// possible reports whether the payload may be there, and need not.
func (p *payload) possible() bool { return p.Flags&proof.FlagPossible != 0 }

func (p *payload) expected() []expected {
	out := make([]expected, 0, len(p.outcomes))
	for i := range p.outcomes {
		o := &p.outcomes[i]
		out = append(out, expected{sequence: o.Sequence, digest: o.Digest,
			tombstone: o.Delivered == proof.Tombstone || o.Delivered == proof.PossibleTombstone})
	}
	return out
}

// checkObjects checks a bucket: a payload is an object.
func (v *verifier) checkObjects(names []string, stated []*payload) {
	place := places(names, stated)
	taken := map[string]*payload{}
	possible := map[string][]*payload{}
	for _, p := range stated {
		if name, ok := place(p.Key); ok && p.possible() && p.Digest != zero { // otherwise any content would do
			possible[name] = append(possible[name], p)
		}
	}
	for _, p := range stated {
		if p.possible() {
			continue
		}
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
		v.checkObject(name, p, possible[name]...)
	}
	for _, name := range slices.Sorted(maps.Keys(possible)) {
		if taken[name] == nil {
			v.Objects++
			taken[name] = possible[name][0]
			v.checkObject(name, possible[name][0], possible[name][1:]...)
		}
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

// checkObject checks one object against its payload, or against one of others that may
// stand in its place.
func (v *verifier) checkObject(name string, p *payload, others ...*payload) {
	o, err := v.hashed(v.files, name)
	if err != nil {
		v.Fault(Fault{Unreadable, name, 0, p.first(), err.Error()})
		return
	}
	for _, other := range others {
		if p.Digest != o.sum && other.Digest == o.sum {
			p = other
		}
	}
	if p.possible() {
		v.GivenUp = append(v.GivenUp, name)
	}
	same := o.sum == p.Digest || p.Digest == zero
	if p.Records == 0 || len(p.outcomes) < int(p.Records) {
		if same {
			v.ValidObjects++
		} else {
			v.Fault(Fault{Altered, name, 0, 0, "its content is not what was delivered"})
		}
		return
	}
	faults, size := v.checkRecords(o, p, same)
	if !same && len(faults) == 0 {
		faults = append(faults, lineFault{category: Altered, what: "its stored bytes are not what was delivered, although its records are"})
	}
	for _, f := range faults {
		v.Fault(Fault{f.category, name, f.line, f.sequence, f.what})
	}
	if len(faults) == 0 {
		v.ValidObjects++
		v.count(p.outcomes, size)
	}
}

// checkRecords holds the lines of an object against what its payload states. same: its
// stored bytes are what was delivered; the lines of another one are compared so far only
// as helps to see what was done to it.
func (v *verifier) checkRecords(o *object, p *payload, same bool) (faults []lineFault, size int64) {
	unreadable := func(err error) []lineFault {
		if errors.Is(err, errCompressed) || errors.Is(err, errLongLine) {
			return []lineFault{{Altered, 0, p.first(), err.Error(), -1}}
		}
		return []lineFault{{Unreadable, 0, p.first(), err.Error(), -1}}
	}
	r, err := o.content()
	if err != nil {
		return unreadable(err), 0
	}
	defer r.Close()
	most, lines := int64(maxContent), len(p.outcomes)+maxFaults
	if !same {
		most = maxGuessed
	}
	sums, whole := make([]proof.Hash, 0, len(p.outcomes)), true
	err = v.eachLine(io.LimitReader(r, most+1), false, func(l *textLine) bool {
		sums, size = append(sums, l.sum), size+l.bytes
		whole = size <= most && len(sums) <= lines
		return whole
	})
	switch {
	case err != nil:
		return unreadable(err), size
	case !whole:
		return []lineFault{{Altered, 0, p.first(), "its content is much larger than what was delivered", -1}}, size
	}
	return compare(p.expected(), sums), size
}

func (v *verifier) count(outcomes []proof.Outcome, bytes int64) {
	v.Records += uint64(len(outcomes))
	v.Bytes += bytes
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
		if !p.possible() {
			v.Objects++
		}
		if p.Flags&proof.FlagManifest != 0 {
			manifests = append(manifests, expected{digest: p.Digest, payload: p, possible: p.possible()})
			continue
		}
		for _, e := range p.expected() {
			e.payload, e.possible = p, p.possible()
			data = append(data, e)
		}
	}
	open := v.open(name)
	lines, whole := v.lines(set.ordered(set.data), false, len(data)+maxStrange)
	v.compareFile(name, data, lines, whole, open)
	lines, whole = v.lines(set.ordered(set.manifests), true, len(manifests)+maxStrange)
	v.compareFile(name+".manifests", manifests, lines, whole, open)
	for _, p := range stated {
		switch {
		case p.possible():
			if p.arrived {
				v.GivenUp = append(v.GivenUp, name+", payload "+p.Key)
			}
		case !p.faulty:
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

// lines reads the lines of files, not many more than most. ended: their digests are with
// the line feed. readable: every file could be read to its end.
func (v *verifier) lines(names []string, ended bool, most int) (out []fileLine, readable bool) {
	readable = true
	for _, name := range names {
		r, err := v.files.Open(name)
		if err == nil {
			r, err = decompress(r)
		}
		n, full := 0, false
		if err == nil {
			err = v.eachLine(r, ended, func(l *textLine) bool {
				if full = len(out) == most; full {
					return false
				}
				n++
				v.Bytes += l.bytes
				out = append(out, fileLine{name, n, l.sum, !l.ended, isTest(l.text)})
				return true
			})
			err = errors.Join(err, r.Close())
		}
		switch {
		case err != nil:
			readable = false
			category := Unreadable
			if errors.Is(err, errCompressed) || errors.Is(err, errLongLine) {
				category = Altered
			}
			v.Fault(Fault{category, name, n, 0, err.Error()})
		case full:
			v.Fault(Fault{Added, name, n + 1, 0, fmt.Sprintf("it goes on after %d lines more than logs state: the rest was not looked at", maxStrange)})
			return out, false
		}
	}
	return out, readable
}

// compareFile holds the lines of a file and its rotated ones against what was delivered.
// If a file was not readable, a missing line cannot be ruled out. open: see compareSums.
func (v *verifier) compareFile(file string, want []expected, got []fileLine, readable bool, open []openLog) {
	same := 0 // lines from the beginning, the common case without maps
	for same < len(want) && same < len(got) && !want[same].possible && (want[same].digest == got[same].sum || want[same].digest == zero) {
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
	var newer []int
	defer func() { v.newer(newer, got) }()
	for _, f := range compareSums(want, sums, open) {
		object, line := file, 0
		if f.line > 0 {
			object, line = got[f.line-1].name, got[f.line-1].line
		}
		if f.category == "" {
			newer = append(newer, f.line-1)
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

// newer says which lines are newer than their log: all from one on, or some between others.
func (v *verifier) newer(lines []int, all []fileLine) {
	for len(lines) > 0 {
		from, n := all[lines[0]], 1
		for n < len(lines) && lines[n] == lines[0]+n && all[lines[n]].name == from.name {
			n++
		}
		to := all[lines[n-1]]
		switch {
		case lines[n-1] == len(all)-1:
			v.Unattested = append(v.Unattested, fmt.Sprintf("%s, from line %d on", from.name, from.line))
		case n == 1:
			v.Unattested = append(v.Unattested, fmt.Sprintf("%s, line %d", from.name, from.line))
		default:
			v.Unattested = append(v.Unattested, fmt.Sprintf("%s, lines %d to %d", from.name, from.line, to.line))
		}
		lines = lines[n:]
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
