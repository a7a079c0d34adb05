package runtime

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"auditrelay/internal/proof"
	"auditrelay/internal/verify"
	"auditrelay/runtime/internal/delivery"
	"auditrelay/runtime/internal/journal"

	"golang.org/x/mod/sumdb/tlog"
)

// ErrLocked: another process, such as a relay, uses the journal.
var ErrLocked = journal.ErrLocked

// VerifyJournal checks a closed journal, or a backup's journal, against its own checkpoints. It compares
// every accepted event and every log entry with its leaf, and every log with its last signed checkpoint. It
// also reads everything else: receipts, dead letters, payloads. dir is a data directory or a backup.
// VerifyJournal works on a copy beside dir, or in the directory for temporary files if that disk is full,
// and removes the copy.
//
// Errors: ErrNoKey or ErrWrongKey for an encrypted journal; ErrLocked while a relay uses it; an error that
// prevents the check, such as a full disk. The report contains the faults of the journal.
func VerifyJournal(dir string, e Encryption, o verify.Options) (report *verify.Report, err error) {
	place := JournalIn(dir)
	if place == "" {
		return nil, fmt.Errorf("%s is neither a data directory nor a backup: %w", dir, os.ErrNotExist)
	}
	for _, in := range []string{filepath.Dir(filepath.Clean(dir)), os.TempDir()} {
		report, err = verifyCopy(dir, place, in, e, o)
		if !errors.Is(err, syscall.ENOSPC) {
			break
		}
		err = fmt.Errorf("verify %s: no space for a copy, neither beside it nor in %s (set TMPDIR): %w", dir, os.TempDir(), err)
	}
	return report, err
}

// verifyCopy is VerifyJournal with the copy in a given directory.
func verifyCopy(dir, place, in string, e Encryption, o verify.Options) (report *verify.Report, err error) {
	beside, err := os.MkdirTemp(in, ".auditrelay-verify-*")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(beside)) }()
	report = &verify.Report{Outcomes: map[string]uint64{}}
	checkFiles(report, dir)
	copied := filepath.Join(beside, "journal")
	options := journal.Options{Encryption: e.options(), Reserve: -1}
	if err := journal.Restore(place, copied, options); err != nil {
		return report, unreadable(report, dir, err)
	}
	j, err := journal.Open(copied, options)
	if err != nil {
		return report, unreadable(report, dir, err)
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	v := &journalVerifier{journal: j, report: report, options: o, dir: dir}
	return report, v.all()
}

// VerifyPostgres is VerifyJournal for the journal of a closed relay on Postgres. It works on the journal
// itself. Meanwhile it takes the journal over, but it changes nothing in it.
func VerifyPostgres(p JournalPlace, o verify.Options) (report *verify.Report, err error) {
	report = &verify.Report{Outcomes: map[string]uint64{}}
	const name = "the journal on Postgres"
	s, err := p.opener()()
	if err != nil {
		return report, err
	}
	j, err := journal.OpenShared(s, "", journal.Options{Encryption: p.Encryption.options()})
	if err != nil {
		return report, unreadable(report, name, err)
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	v := &journalVerifier{journal: j, report: report, options: o, dir: name}
	return report, v.all()
}

// JournalIn returns the path of the journal in a data directory or a backup, or "" if dir is neither.
func JournalIn(dir string) string {
	for _, place := range []string{dir, journalDir(dir)} {
		for _, name := range []string{"HEAD", "ANCHOR", digestsName} { // one of them may be missing
			if _, err := os.Stat(filepath.Join(place, name)); err == nil {
				return place
			}
		}
	}
	return ""
}

// checkFiles compares the files of a backup with its digests.
func checkFiles(report *verify.Report, dir string) {
	dir = filepath.Clean(dir)
	if JournalIn(dir) != dir || filepath.Base(dir) == filepath.Base(journalDir(dir)) && !isBackup(dir) {
		return // dir is a data directory, or the journal in one
	}
	err := checkBackup(dir, func(c verify.Category, name string, err error) {
		report.Fault(verify.Fault{Category: c, Object: name, What: err.Error()})
	})
	if err != nil && !errors.Is(err, ErrUnverified) {
		report.Fault(verify.Fault{Category: verify.Altered, Object: digestsName, What: err.Error()})
	}
}

func isBackup(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, digestsName))
	return err == nil
}

// unreadable reports a journal that does not open. It returns an error if the journal was not checked
// because the key or disk space is missing, or a relay uses the journal.
func unreadable(report *verify.Report, dir string, err error) error {
	if errors.Is(err, journal.ErrNoKey) || errors.Is(err, journal.ErrWrongKey) || errors.Is(err, journal.ErrLocked) || errors.Is(err, syscall.ENOSPC) {
		return err
	}
	report.Fault(verify.Fault{Category: verify.Unreadable, Object: dir, What: err.Error()})
	return nil
}

// journalVerifier is one call of VerifyJournal.
type journalVerifier struct {
	journal *journal.Journal
	report  *verify.Report
	options verify.Options
	dir     string
}

func (v *journalVerifier) all() error {
	known, err := verify.NewKeys(v.options.Keys)
	if err != nil {
		return err
	}
	rotations, _, err := v.journal.Get(delivery.RotationsKey)
	if err := v.unreadable("changes of the signing key", err); err != nil {
		return err
	}
	for _, err := range known.Rotate(rotations) {
		v.report.Fault(verify.Fault{Category: verify.Forged, Object: v.dir, What: err.Error()})
	}
	var signed []string
	from, to := journal.All(journal.KindMeta)
	checkpoints := map[string][]byte{}
	err = v.journal.Scan(from, to, func(k journal.Key, value []byte) error {
		if name, ok := delivery.CheckpointOf(k); ok {
			signed = append(signed, name)
			checkpoints[name] = append([]byte{}, value...)
		}
		return nil
	})
	if err := v.unreadable("signed checkpoints", err); err != nil {
		return err
	}
	for _, name := range signed {
		v.log(name, checkpoints[name], known)
	}
	if len(signed) == 0 {
		v.report.Fault(verify.Fault{Category: verify.Missing, Object: v.dir, What: "the journal holds no signed checkpoint: nothing can be verified"})
	}
	err = v.options.EachPin(func(object string, pin []byte, lacks []string) {
		v.report.Uncosigned(object, lacks)
		v.pin(object, pin, checkpoints, known)
	})
	if err != nil {
		return err
	}
	if err := v.events(); err != nil {
		return err
	}
	return v.journal.Check(func(what string, err error) { _ = v.unreadable(what, err) })
}

// unreadable reports a damaged part of the journal. It returns any other error.
func (v *journalVerifier) unreadable(what string, err error) error {
	if errors.Is(err, journal.ErrCorrupt) {
		v.report.Fault(verify.Fault{Category: verify.Unreadable, Object: v.dir, What: what + ": " + err.Error()})
		return nil
	}
	return err
}

// log checks a log's leaves against its checkpoint, and its entries against its leaves.
func (v *journalVerifier) log(name string, signed []byte, known *verify.Keys) {
	fault := func(c verify.Category, format string, args ...any) {
		v.report.Fault(verify.Fault{Category: c, Object: name, What: fmt.Sprintf(format, args...)})
	}
	v.report.Checkpoints++
	c, err := known.Open(signed)
	if err != nil {
		fault(verify.Forged, "%v", err)
		return
	}
	root, err := tlog.TreeHash(int64(c.Size), v.journal.TreeReader(name))
	if err != nil {
		fault(verify.Truncated, "its checkpoint is at %d: %v", c.Size, err)
		return
	}
	leaves, err := v.journal.TreeHashes(name, 0, 0, int(c.Size))
	if err != nil || root != c.Root || verify.Root(leaves) != c.Root {
		fault(verify.Forged, "its leaves do not match the root that its checkpoint signs, at size %d", c.Size)
		return
	}
	v.report.ValidCheckpoints++
	out := verify.Log{Origin: c.Origin, Size: c.Size, First: 1, Checkpoint: string(signed)}
	var entries [][]byte
	_, _, lane, _ := proof.ParseOrigin(c.Origin)
	if lane != "" {
		entries = make([][]byte, c.Size)
	}
	err = v.journal.Entries(name, 0, c.Size, func(index uint64, entry []byte) error {
		if entry == nil {
			return nil // the event was erased
		}
		if index == 0 {
			v.follows(name, entry)
		}
		v.report.Objects++
		if proof.LeafHash(entry) != leaves[index] {
			fault(verify.Altered, "entry %d does not match its leaf", index)
			return nil
		}
		v.report.ValidObjects++
		if lane != "" {
			entries[index] = bytes.Clone(entry)
		}
		return nil
	})
	if err != nil {
		fault(verify.Unreadable, "its entries: %v", err)
	} else if lane != "" {
		out.First, out.Last, out.Withheld = v.report.Interpret(c.Origin, entries, v.journal.Oldest(), v.before)
		out.SignedUntil = lastClock(entries)
	}
	v.report.Logs = append(v.report.Logs, out)
}

// before returns the entries of a log of an earlier incarnation, or nil if the journal has none.
func (v *journalVerifier) before(origin string) [][]byte {
	_, incarnation, lane, err := proof.ParseOrigin(origin)
	if err != nil || lane == "" {
		return nil
	}
	name := journal.DeliveredName(incarnation, lane)
	size, err := v.journal.TreeSize(name)
	if err != nil || size == 0 {
		return nil
	}
	entries := make([][]byte, size)
	err = v.journal.Entries(name, 0, size, func(index uint64, entry []byte) error {
		entries[index] = bytes.Clone(entry)
		return nil
	})
	if err != nil {
		return nil // log reports that where it checks this log
	}
	return entries
}

// lastClock returns the last time in the entries, in Unix seconds, or 0 if there is none.
func lastClock(entries [][]byte) int64 {
	for _, e := range slices.Backward(entries) {
		if entry, err := proof.ParseEntry(e); err == nil {
			if c, ok := entry.(proof.Clock); ok {
				return c.Time
			}
		}
	}
	return 0
}

// follows compares a log's first entry with the head at which the previous log was closed.
func (v *journalVerifier) follows(name string, entry []byte) {
	parsed, err := proof.ParseEntry(entry)
	begin, ok := parsed.(proof.Begin)
	if err != nil || !ok || begin.Previous == "" || begin.PreviousSize == 0 {
		return
	}
	_, incarnation, lane, err := proof.ParseOrigin(begin.Previous)
	before := journal.AcceptedName(incarnation)
	if lane != "" {
		before = journal.DeliveredName(incarnation, lane)
	}
	if err == nil {
		var root proof.Hash
		if root, err = tlog.TreeHash(int64(begin.PreviousSize), v.journal.TreeReader(before)); err == nil && root == begin.PreviousRoot {
			return
		}
	}
	v.report.Fault(verify.Fault{Category: verify.Forged, Object: name, What: fmt.Sprintf("it names the first %[2]d leaves of %[1]s as its predecessor, and they differ", begin.Previous, begin.PreviousSize)})
}

// events compares every stored event with its leaf.
func (v *journalVerifier) events() error {
	oldest, next := v.journal.Oldest(), v.journal.Head().Next
	for at := oldest; at < next; at++ {
		leaves, err := v.journal.AcceptedLeaves(at, at+1)
		if err == nil && leaves[0] == (proof.Hash{}) {
			continue // the event was accepted before there was a log
		}
		var p journal.ProvenEvent
		if err == nil {
			p, err = v.journal.Prove(at)
		}
		switch {
		case errors.Is(err, journal.ErrErased):
			continue
		case err != nil:
			v.report.Fault(verify.Fault{Category: verify.Unreadable, Object: v.dir, Sequence: at, What: err.Error()})
			continue
		}
		v.report.Objects++
		if p.Entry.Commitment != (proof.Hash{}) && proof.LeafHash(p.Entry.Append(nil)) != leaves[0] {
			v.report.Fault(verify.Fault{Category: verify.Altered, Object: v.dir, Sequence: at, What: "the event is not what was accepted"})
			continue
		}
		v.report.ValidObjects++
		v.report.Records++
		v.report.Bytes += int64(len(p.Body))
	}
	for i := range v.report.Logs {
		if _, _, lane, err := proof.ParseOrigin(v.report.Logs[i].Origin); err == nil && lane == "" {
			v.report.Logs[i].First, v.report.Logs[i].Last = oldest, next-1
		}
	}
	return nil
}

// pin compares the journal's log of that origin with an earlier checkpoint.
func (v *journalVerifier) pin(object string, pin []byte, checkpoints map[string][]byte, known *verify.Keys) {
	c, err := known.Open(pin)
	if err != nil {
		v.report.Fault(verify.Fault{Category: verify.Forged, Object: object, What: err.Error()})
		return
	}
	for name, signed := range checkpoints {
		have, err := known.Open(signed)
		if err != nil || have.Origin != c.Origin {
			continue
		}
		root, err := tlog.TreeHash(int64(c.Size), v.journal.TreeReader(name))
		switch {
		case have.Size < c.Size:
		case err != nil || root != c.Root:
			v.report.Fault(verify.Fault{Category: verify.Forged, Object: object, What: fmt.Sprintf("%s was replaced: its first %d leaves differ from before", c.Origin, c.Size)})
			return
		default:
			return
		}
	}
	v.report.Fault(verify.Fault{Category: verify.Truncated, Object: object, What: fmt.Sprintf("%s had %d leaves, and has fewer now", c.Origin, c.Size)})
}
