package verify

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"auditrelay/internal/proof"
)

// Rows is a store with delivered records and the bundles of proofs stored beside them.
type Rows interface {
	// Bundles calls fn for every bundle. Names are file names.
	Bundles(fn func(name string, bundle []byte) error) error
	// Rows calls fn for every record. It may be called twice.
	Rows(fn func(r Row) error) error
	// Check returns the faults that the database finds in itself.
	Check() ([]string, error)
}

// Row is one record in a store.
type Row struct {
	Position  int64  // identifies the row
	Journal   string // identity and incarnation, joined by a dot
	Sequence  uint64
	Data      []byte // as delivered
	Tombstone bool   // the row is marked as a tombstone
	Damaged   bool   // the data does not match the digest stored with it
}

// bundles implements Files in memory.
type bundles map[string][]byte

func (b bundles) List() ([]string, error) { return slices.Collect(maps.Keys(b)), nil }

func (b bundles) Open(name string) (io.ReadCloser, error) {
	data, ok := b[name]
	if !ok {
		return nil, os.ErrNotExist
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

// Store checks a store. An error means that the check could not run; all faults of the store
// are in the report, with rows as its objects.
func Store(store Rows, o Options) (*Report, error) {
	files := bundles{}
	v, err := newVerifier(files, o)
	if err != nil {
		return nil, err
	}
	if err := store.Bundles(func(name string, bundle []byte) error { files[name] = bundle; return nil }); err != nil {
		v.Fault(Fault{Unreadable, "proofs", 0, 0, err.Error()})
	}
	if _, err := v.readLogs(); err != nil {
		return nil, err
	}
	s := &storeVerifier{verifier: v, stated: map[rowPlace]*statedRow{}}
	s.state()
	if err := store.Rows(s.row); err != nil {
		v.Fault(Fault{Unreadable, "records", 0, 0, err.Error()})
	} else if err := s.elsewhere(store); err != nil {
		v.Fault(Fault{Unreadable, "records", 0, 0, err.Error()})
	} else {
		s.missing() // after a failed read nobody knows
	}
	wrong, err := store.Check()
	if err != nil {
		v.Fault(Fault{Unreadable, "database", 0, 0, err.Error()})
	}
	for _, what := range wrong {
		v.Fault(Fault{Altered, "database", 0, 0, what})
	}
	v.finish()
	return &v.Report, nil
}

// rowPlace is the key of a row.
type rowPlace struct {
	journal  string
	sequence uint64
}

// statedRow is a row stated by logs.
type statedRow struct {
	records []statedRecord // the row is one of them
	certain bool           // the row must exist
	seen    bool
	until   int64 // the last clock of the logs that state it, in Unix seconds
}

// statedRecord is one permitted content of a row.
type statedRecord struct {
	digest    proof.Hash // zero: any content
	tombstone bool
}

// is returns the fault of a row whose document has the digest sum. Empty means no fault.
func (s *statedRow) is(sum proof.Hash, tombstone bool) (wrong string) {
	wrong = fmt.Sprintf("its record is not what was delivered until %s; if a replay has delivered it again since then, verify again after the next checkpoint", time.Unix(s.until, 0).UTC().Format(time.RFC3339))
	for _, r := range s.records {
		switch {
		case r.digest != sum && r.digest != zero:
		case r.tombstone == tombstone:
			return ""
		case tombstone:
			wrong = "it is marked as a tombstone, but is a record"
		default:
			wrong = "it is marked as a record, but is a tombstone"
		}
	}
	return wrong
}

// rowState is the state of a row according to one log.
type rowState struct {
	certain, record bool
	digest          proof.Hash
	possible        []statedRecord // may have been stored after it
}

// then applies the next leaf of the row. A store keeps one row for each place: the last record,
// or a tombstone only if there never was a record.
func (s *rowState) then(o *proof.Outcome) {
	if o.Digest == zero && o.IsPossible() {
		return // unknown content: any content matches
	}
	switch o.Delivered {
	case proof.Record:
		*s = rowState{certain: true, record: true, digest: o.Digest}
	case proof.Tombstone:
		if !s.record {
			s.certain, s.digest = true, o.Digest
		}
	case proof.PossibleRecord:
		s.possible = append(s.possible, statedRecord{o.Digest, false})
	case proof.PossibleTombstone:
		if !s.record {
			s.possible = append(s.possible, statedRecord{o.Digest, true})
		}
	}
}

type storeVerifier struct {
	*verifier
	stated map[rowPlace]*statedRow
	unseen int // number of rows that no log covers
}

// notStored reports that the row's own digest shows a change.
const notStored = "its content does not match the digest that was stored with it"

// state collects what the logs state as stored.
func (v *storeVerifier) state() {
	for _, l := range v.sorted() {
		journal, incarnation, _, err := proof.ParseOrigin(l.origin)
		if err != nil {
			continue
		}
		rows := map[uint64]*rowState{}
		for _, p := range l.payloads {
			for i := range p.outcomes {
				o := &p.outcomes[i]
				if o.Delivered == proof.Nothing {
					continue
				}
				if rows[o.Sequence] == nil {
					rows[o.Sequence] = &rowState{}
				}
				rows[o.Sequence].then(o)
			}
		}
		for sequence, state := range rows {
			if !state.certain && len(state.possible) == 0 {
				continue
			}
			at := rowPlace{journal + "." + incarnation, sequence}
			if v.stated[at] == nil {
				v.stated[at] = &statedRow{}
			}
			s := v.stated[at]
			s.until = max(s.until, l.clock)
			s.records = append(s.records, state.possible...)
			if state.certain {
				s.records, s.certain = append(s.records, statedRecord{state.digest, !state.record}), true
			}
		}
	}
}

// row compares one row with the logs.
func (v *storeVerifier) row(r Row) error {
	name := fmt.Sprintf("row %d", r.Position)
	stated := v.stated[rowPlace{r.Journal, r.Sequence}]
	sum := proof.Hash(sha256.Sum256(r.Data))
	switch {
	case stated == nil:
		v.extra(name, &r)
		return nil
	case stated.seen:
		v.Fault(Fault{Added, name, 0, r.Sequence, "it is there twice"})
		return nil
	default:
		stated.seen = true
	}
	wrong := stated.is(sum, r.Tombstone)
	switch {
	case r.Damaged:
		v.Fault(Fault{Altered, name, 0, r.Sequence, notStored})
	case wrong != "":
		v.Fault(Fault{Altered, name, 0, r.Sequence, wrong})
	default:
		if !stated.certain {
			v.GivenUp = append(v.GivenUp, name)
		}
		v.ValidObjects++
		v.Records++
		v.Bytes += int64(len(r.Data))
	}
	return nil
}

// extra handles a row that no log states.
func (v *storeVerifier) extra(name string, r *Row) {
	for _, l := range v.logs {
		journal, incarnation, _, err := proof.ParseOrigin(l.origin)
		if err == nil && journal+"."+incarnation == r.Journal && l.covers(r.Sequence) {
			v.Fault(Fault{Added, name, 0, r.Sequence, "only the store has it: it is in no log, and the log is complete there"})
			return
		}
	}
	if r.Damaged {
		v.Fault(Fault{Altered, name, 0, r.Sequence, notStored})
		return
	}
	if v.unseen++; v.unseen <= maxFaults {
		v.Unattested = append(v.Unattested, fmt.Sprintf("%s, journal %s, sequence %d", name, r.Journal, r.Sequence))
	}
}

// elsewhere looks for the records whose place is empty. The store identifies a repeated event
// by its id, and an event of a restored journal by its place.
func (v *storeVerifier) elsewhere(store Rows) error {
	wanted := map[proof.Hash][]*statedRow{}
	bySequence := map[rowPlace]bool{} // with the identity only
	for at, s := range v.stated {
		identity, _, _ := strings.Cut(at.journal, ".")
		if s.seen {
			bySequence[rowPlace{identity, at.sequence}] = true
			continue
		}
		if !s.certain {
			continue
		}
		for _, r := range s.records {
			wanted[r.digest] = append(wanted[r.digest], s)
		}
	}
	for at, s := range v.stated {
		identity, _, _ := strings.Cut(at.journal, ".")
		if s.certain && !s.seen && bySequence[rowPlace{identity, at.sequence}] {
			s.seen = true
			v.ValidObjects++
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	return store.Rows(func(r Row) error {
		for _, s := range wanted[sha256.Sum256(r.Data)] {
			if !s.seen {
				s.seen = true
				v.ValidObjects++
			}
		}
		return nil
	})
}

// missing reports the missing rows and joins neighbours.
func (v *storeVerifier) missing() {
	var gone []rowPlace
	for at, s := range v.stated {
		if at.sequence < v.options.From || !s.certain && !s.seen {
			continue
		}
		if v.Objects++; !s.seen {
			gone = append(gone, at)
		}
	}
	slices.SortFunc(gone, func(a, b rowPlace) int {
		return cmp.Or(strings.Compare(a.journal, b.journal), cmp.Compare(a.sequence, b.sequence))
	})
	for len(gone) > 0 {
		n := 1
		for n < len(gone) && gone[n].journal == gone[0].journal && gone[n].sequence == gone[n-1].sequence+1 {
			n++
		}
		what := "its row is missing"
		if n > 1 {
			what = fmt.Sprintf("the rows of sequences %d to %d are missing", gone[0].sequence, gone[n-1].sequence)
		}
		v.Fault(Fault{Missing, "journal " + gone[0].journal, 0, gone[0].sequence, what + "; if keep deleted them, verify with --from"})
		gone = gone[n:]
	}
}
