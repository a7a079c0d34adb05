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

// checkData compares all files with what the logs state: files of a file sink with the logs
// next to them, all others with the logs of buckets.
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
	stated := map[string][]*payload{} // by set; "" is for buckets
	logs := v.sorted()
	// Of two equal records the first one belongs to the older log.
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

// possible reports whether the payload may exist but need not.
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

// checkObjects checks a bucket, in which each payload is an object.
func (v *verifier) checkObjects(names []string, stated []*payload) {
	place := places(names, stated)
	taken := map[string]*payload{}
	possible := map[string][]*payload{}
	for _, p := range stated {
		if name, ok := place(p.Key); ok && p.possible() && p.Digest != zero { // otherwise any content would match
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
			v.Fault(Fault{Missing, p.Key, 0, p.first(), fmt.Sprintf("payload %d is missing: %d records", p.Number, p.Records)})
			continue
		}
		if before := taken[name]; before != nil && !before.redelivered(p) {
			v.Fault(Fault{Altered, name, 0, 0, fmt.Sprintf("payload %d was delivered there too: one replaced the other", p.Number)})
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

// redelivered reports whether another incarnation of the journal states the same payload. This
// happens if a backup was made during the delivery and the restored relay delivered the payload
// again.
func (p *payload) redelivered(by *payload) bool {
	return p.log != by.log && p.Key == by.Key && p.Digest == by.Digest && p.Digest != zero
}

// isBatch reports whether all data objects use the layout batch, whose names distinguish the
// relay's objects from others.
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

// checkObject checks one object against its payload, or against one of others that may replace
// it.
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
		faults = append(faults, lineFault{category: Altered, what: "its records are what was delivered, but its stored bytes differ"})
	}
	for _, f := range faults {
		v.Fault(Fault{f.category, name, f.line, f.sequence, f.what})
	}
	if len(faults) == 0 {
		v.ValidObjects++
		v.count(p.outcomes, size)
	}
}

// checkRecords compares the lines of an object with what its payload states. same: the stored
// bytes are what was delivered. The lines of any other object are compared only as far as it
// helps to see what was changed.
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

// batchName matches the name of an object in the layout batch.
var batchName = regexp.MustCompile(`^([0-9a-f]{16})\.([0-9a-f]{16})-(\d+)-(\d+)-[0-9a-f]{12}\.`)

// partition matches a folder of the layout batch. Query engines read everything in such a
// folder.
var partition = regexp.MustCompile(`(^|/)dt=[^/]*/`)

// unstated reports on a file that is in no log. batches: all objects use the layout batch.
func (v *verifier) unstated(name string, batches bool) {
	m := batchName.FindStringSubmatch(path.Base(name))
	switch {
	case m != nil:
	case batches && partition.MatchString(name):
		v.Fault(Fault{Added, name, 0, 0, "it is in no log, and its name is not one that the relay uses"})
		return
	default:
		v.Unattested = append(v.Unattested, name)
		return
	}
	from, err := strconv.ParseUint(m[3], 10, 64)
	to, err2 := strconv.ParseUint(m[4], 10, 64)
	if err != nil || err2 != nil || from >= to {
		v.Fault(Fault{Added, name, 0, 0, "it is in no log, and its name is not one that the relay uses"})
		return
	}
	ours := false
	for _, l := range v.logs {
		journal, incarnation, _, err := proof.ParseOrigin(l.origin)
		if err != nil || journal != m[1] || incarnation != m[2] {
			continue
		}
		if ours = true; l.covers(from) && l.covers(to-1) {
			v.Fault(Fault{Added, name, 0, 0, "it is in no log, and the log is complete there"})
			return
		}
	}
	if !ours {
		v.Fault(Fault{Added, name, 0, 0, fmt.Sprintf("it belongs to journal %s, incarnation %s, but that has no signed log here", m[1], m[2])})
		return
	}
	v.Unattested = append(v.Unattested, name)
}

// fileSet is what a file sink wrote: the file and its rotated files, oldest first.
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

// fileOf returns, by name, the set that a file of the sink file belongs to and its part in the
// set. An empty set means none. The proofs of a set are in a folder next to it.
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

// checkFiles checks what the sink file wrote: its payloads one after another.
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

// ordered puts the file itself after its rotated files.
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
	test bool // it claims to be a record of sink test
}

// isTest reports whether a record claims to be an operator's test of a destination. No log
// states such a record.
func isTest(text []byte) bool {
	const table = "auditrelay_test"
	var record struct {
		Table string `json:"table_name"`
	}
	return bytes.Contains(text, []byte(table)) && json.Unmarshal(text, &record) == nil && record.Table == table
}

// lines reads the lines of files, not many more than most. ended: digests include the line
// feed. readable: every file could be read to its end.
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
			v.Fault(Fault{Added, name, n + 1, 0, fmt.Sprintf("it has more than %d lines that are in no log: the rest was not checked", maxStrange)})
			return out, false
		}
	}
	return out, readable
}

// compareFile compares the lines of a file and its rotated files with what was delivered. If a
// file was not readable, a missing line is not reported. open: see compareSums.
func (v *verifier) compareFile(file string, want []expected, got []fileLine, readable bool, open []openLog) {
	same := 0 // number of equal lines at the start: the common case without maps
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
			continue // the unreadable file is reported instead
		}
		v.Fault(Fault{f.category, object, line, f.sequence, f.what})
	}
}

// newer reports which lines are newer than their log: all from one on, or some between others.
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

// withoutTests removes the records of sink tests that no log states, and reports them, because
// anybody can add a line that claims to be a test.
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
