// Package verify checks delivered data against the signed logs stored beside it, offline and
// without the relay. It shares only the formats of package proof with the code that wrote them.
package verify

import (
	"fmt"
	"io"
	"math/bits"
	"slices"
	"strings"

	"auditrelay/internal/proof"
	"auditrelay/internal/witness"

	"golang.org/x/mod/sumdb/note"
)

// Files is a place with delivered data: a folder, or a bucket's prefix.
type Files interface {
	// List returns the names of all files, relative to the place, with slashes.
	List() ([]string, error)
	// Open opens a file for one read from its beginning.
	Open(name string) (io.ReadCloser, error)
}

// Options are the expectations.
type Options struct {
	// Keys are the trusted public keys, in the format of c2sp.org/signed-note. Keys that
	// replaced these are trusted too.
	Keys []string
	// Former also trusts the keys that were replaced by one of Keys, according to records
	// signed by both. Then every owner of a former key can sign.
	Former bool
	// Pins are earlier signed checkpoints. The logs must contain them.
	Pins [][]byte
	// Witnesses are public keys of witnesses. Each of Pins needs a cosignature of each witness.
	Witnesses []string
	// Saved are pins that an earlier run on this machine verified. They need no cosignature.
	Saved [][]byte
	// From is the first sequence whose records must exist. Earlier ones may have been deleted
	// on purpose. 0 means all.
	From uint64
}

// Category is the kind of a fault.
type Category string

// The categories, the most serious first.
const (
	Forged     Category = "forged"     // not signed by a trusted key, or the log contradicts a signed checkpoint
	Altered    Category = "altered"    // the content differs from the log
	Truncated  Category = "truncated"  // the log ends before a pinned checkpoint
	Missing    Category = "missing"    // stated by the log but absent
	Added      Category = "added"      // present, but not stated by a log that is complete for that range
	Reordered  Category = "reordered"  // present, in another order
	Unreadable Category = "unreadable" // cannot be checked
)

// Categories are all categories, the most serious first.
var Categories = []Category{Forged, Altered, Truncated, Missing, Added, Reordered, Unreadable}

// Fault is one fault.
type Fault struct {
	Category Category `json:"category"`
	Object   string   `json:"object"`         // a file, a log or a pin
	Line     int      `json:"line,omitempty"` // in the file's content, from 1
	Sequence uint64   `json:"sequence,omitempty"`
	What     string   `json:"what"`
}

func (f Fault) String() string {
	at := f.Object
	if f.Line > 0 {
		at += fmt.Sprintf(", line %d", f.Line)
	}
	if f.Sequence > 0 {
		at += fmt.Sprintf(", sequence %d", f.Sequence)
	}
	return fmt.Sprintf("%s: %s: %s", f.Category, at, f.What)
}

// Log is the summary of one log.
type Log struct {
	Origin string `json:"origin"`
	Size   uint64 `json:"size"`  // of its last valid checkpoint
	First  uint64 `json:"first"` // complete from this sequence
	Last   uint64 `json:"last"`  // to this one; less than First: no complete range
	// Withheld are parts of the range, each from its first to its last sequence, whose entries
	// nobody can read any more, such as those of an erased period.
	Withheld    [][2]uint64 `json:"withheld,omitempty"`
	Checkpoint  string      `json:"checkpoint"`
	SignedUntil int64       `json:"signed_until"` // Unix seconds

	leaves []proof.Hash // of the entries checked here; nil: stored elsewhere
}

// Consistency proves that the log contains its own earlier size, as in RFC 6962, section 2.1.2.
func (l *Log) Consistency(from uint64) ([]proof.Hash, error) {
	if from == 0 || from > uint64(len(l.leaves)) {
		return nil, fmt.Errorf("%s: no consistency proof from size %d: the log has %d leaves", l.Origin, from, len(l.leaves))
	}
	return consistency(from, l.leaves, true), nil
}

// consistency is SUBPROOF of RFC 6962. whole: the leaves begin the log.
func consistency(from uint64, leaves []proof.Hash, whole bool) []proof.Hash {
	n := uint64(len(leaves))
	if from == n {
		if whole {
			return nil
		}
		return []proof.Hash{rootOf(leaves)}
	}
	k := uint64(1) << (bits.Len64(n-1) - 1) // the largest power of two below n
	if from <= k {
		return append(consistency(from, leaves[:k], whole), rootOf(leaves[k:]))
	}
	return append(consistency(from-k, leaves[k:], false), rootOf(leaves[:k]))
}

// Report is the result of a check.
type Report struct {
	Checkpoints      int               `json:"checkpoints"`
	ValidCheckpoints int               `json:"valid_checkpoints"`
	Objects          int               `json:"objects"` // stated by the logs
	ValidObjects     int               `json:"valid_objects"`
	Records          uint64            `json:"records"` // valid ones, including tombstones
	Tombstones       uint64            `json:"tombstones"`
	Bytes            int64             `json:"bytes"` // of valid records
	Outcomes         map[string]uint64 `json:"outcomes"`
	Unattested       []string          `json:"unattested,omitempty"` // files covered by no checkpoint: newer, or not written by the relay
	GivenUp          []string          `json:"given_up,omitempty"`   // records that exist although the relay gave them up
	Logs             []Log             `json:"logs"`
	Faults           []Fault           `json:"faults,omitempty"`
	FaultCount       int               `json:"fault_count"`
	FaultCounts      map[Category]int  `json:"fault_counts,omitempty"` // of all faults, including unlisted ones
}

// maxFaults limits the listed faults. All are counted.
const maxFaults = 1000

// Fault adds a fault.
func (r *Report) Fault(f Fault) {
	if r.FaultCounts == nil {
		r.FaultCounts = map[Category]int{}
	}
	r.FaultCounts[f.Category]++
	if r.FaultCount++; len(r.Faults) < maxFaults {
		r.Faults = append(r.Faults, f)
	}
}

// Worst returns the most serious category, or empty if there is no fault.
func (r *Report) Worst() Category {
	for _, c := range Categories {
		if r.FaultCounts[c] > 0 {
			return c
		}
	}
	return ""
}

// maxWithheld limits the number of withheld parts of a log named in the verdict.
const maxWithheld = 8

// Verdict returns the result in two lines.
func (r *Report) Verdict() string {
	complete := "complete nowhere"
	var parts []string
	for _, l := range r.Logs {
		if l.Last > 0 && l.Last >= l.First { // sequences begin at 1
			part := fmt.Sprintf("from %s to %s", grouped(l.First), grouped(l.Last))
			for i, w := range l.Withheld {
				if i == maxWithheld {
					part += fmt.Sprintf(" and %d more, all withheld", len(l.Withheld)-i)
					break
				}
				part += fmt.Sprintf(" but for %s to %s, withheld", grouped(w[0]), grouped(w[1]))
			}
			if !slices.Contains(parts, part) {
				parts = append(parts, part)
			}
		}
	}
	if len(parts) > 0 {
		complete = "complete " + strings.Join(parts, " and ")
	}
	line := fmt.Sprintf("%d of %d checkpoints consistent; %s of %s objects valid; %s records; %s", r.ValidCheckpoints, r.Checkpoints,
		grouped(uint64(r.ValidObjects)), grouped(uint64(r.Objects)), grouped(r.Records), complete)
	if r.FaultCount == 0 {
		second := "verified"
		if n := len(r.Unattested); n > 0 {
			second += fmt.Sprintf("; no checkpoint covers %d files: newer ones, or not the relay's", n)
		}
		if n := len(r.GivenUp); n > 0 {
			second += fmt.Sprintf("; %d had arrived that the relay gave up", n)
		}
		return line + "\n" + second
	}
	var said []string
	for _, c := range Categories {
		if n := r.FaultCounts[c]; n > 0 {
			said = append(said, fmt.Sprintf("%s %s", grouped(uint64(n)), c))
		}
	}
	return line + "\nFAILED: " + strings.Join(said, ", ")
}

func grouped(n uint64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// verifier is the state of one call of Verify.
type verifier struct {
	Report
	reading
	options Options
	files   Files
	keys    *Keys
	logs    map[string]*log // by origin
	held    map[heldHead]bool
	sets    map[string]bool // files written by file sinks: their names without extension
}

// Verify checks a place with delivered data. An error means that the check could not run; all
// faults of the data are in the report.
func Verify(files Files, o Options) (*Report, error) {
	v, err := newVerifier(files, o)
	if err != nil {
		return nil, err
	}
	data, err := v.readLogs()
	if err != nil {
		return nil, err
	}
	v.checkData(data)
	v.finish()
	return &v.Report, nil
}

// EachPin calls fn for all pins, with the pin's name and the names of the witnesses whose
// cosignature it lacks.
func (o *Options) EachPin(fn func(name string, pin []byte, lacks []string)) error {
	witnesses, err := o.witnesses()
	if err != nil {
		return err
	}
	for i, pin := range o.Pins {
		var lacks []string
		for _, key := range witnesses {
			if _, ok := witness.Time(pin, key); !ok {
				lacks = append(lacks, key.Name())
			}
		}
		fn(fmt.Sprintf("pin %d", i+1), pin, lacks)
	}
	for i, pin := range o.Saved {
		fn(fmt.Sprintf("saved pin %d", i+1), pin, nil)
	}
	return nil
}

func (o *Options) witnesses() ([]note.Verifier, error) {
	var keys []note.Verifier
	for _, text := range o.Witnesses {
		key, err := witness.NewVerifier(text)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func newVerifier(files Files, o Options) (*verifier, error) {
	v := &verifier{options: o, files: files, logs: map[string]*log{}, held: map[heldHead]bool{}, sets: map[string]bool{}}
	v.Outcomes = map[string]uint64{}
	var err error
	if v.keys, err = NewKeys(o.Keys); err != nil {
		return nil, err
	}
	v.keys.former = o.Former
	if _, err := o.witnesses(); err != nil {
		return nil, err
	}
	return v, nil
}

// readLogs reads and checks all logs, and returns the names of the other files.
func (v *verifier) readLogs() (data []string, err error) {
	names, err := v.files.List()
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	data = v.readBundles(names)
	for _, l := range v.sorted() {
		v.build(l)
		v.interpret(l)
	}
	for _, l := range v.sorted() {
		v.completeness(l, func(origin string) *log { return v.logs[origin] })
	}
	v.checkChain()
	return data, v.checkPins()
}

func (v *verifier) sorted() []*log {
	var all []*log
	for _, l := range v.logs {
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b *log) int { return strings.Compare(a.origin, b.origin) })
	return all
}

func (v *verifier) finish() {
	for _, l := range v.sorted() {
		out := Log{Origin: l.origin, Size: l.size(), Checkpoint: string(l.last), SignedUntil: l.clock}
		out.First, out.Last, out.Withheld = l.stated()
		out.leaves = l.leaves
		v.Logs = append(v.Logs, out)
	}
	if len(v.logs) == 0 {
		v.Fault(Fault{Missing, "proofs", 0, 0, "there is no valid checkpoint, so nothing can be verified; a relay publishes the first one about a minute after its first delivery"})
	}
	slices.SortStableFunc(v.Faults, func(a, b Fault) int { return strings.Compare(a.Object, b.Object) })
}

// isBundle reports whether a file's name is that of a bundle of proofs.
func isBundle(name string) bool {
	if !strings.HasSuffix(name, ".tar") {
		return false
	}
	parts := strings.Split(name, "/")
	for _, dir := range parts[:len(parts)-1] {
		if dir == "_proofs" || strings.HasSuffix(dir, ".proofs") {
			return true
		}
	}
	return false
}

// outcomeNames maps an outcome's number to its name.
var outcomeNames = map[byte]string{1: "delivered", 2: "filtered", 3: "dead_lettered", 4: "discarded", 5: "skipped"}

var zero proof.Hash
