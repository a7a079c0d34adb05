package runtime

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"auditrelay"
	"auditrelay/internal/proof"
	"auditrelay/internal/verify"
	"auditrelay/runtime/internal/delivery"
	"auditrelay/runtime/internal/journal"
)

// VerifyReport is the result of a run of auditrelay verify, as its user reports it. The relay cannot repeat
// the run, but it compares the checkpoints with its own logs.
type VerifyReport struct {
	Place     string         // the verified bucket, folder or backup; at most MaxPlace bytes
	Records   uint64         // number of valid records
	Uncovered uint64         // number of files that no checkpoint covers
	Faults    map[string]int // number of faults by category of package verify; empty if there are none
	// Checkpoints are the newest signed checkpoints of the verified logs, at most MaxCheckpoints.
	Checkpoints []string
}

// Limits of a VerifyReport, and of the number of remembered places.
const (
	MaxPlace       = 512
	MaxCheckpoints = 256
	maxPlaces      = 64
	// maxOrigin limits a stored origin, which consists of two ids and a lane's name.
	maxOrigin = 256
	// maxVerified limits the stored reports of all places, in bytes of JSON. Beyond it, the places whose
	// verification is oldest are deleted.
	maxVerified = 1 << 20
)

// Verified is the last VerifyReport of one place.
type Verified struct {
	Place     string         `json:"place"`
	At        time.Time      `json:"at"` // when the relay got the report
	By        string         `json:"by"`
	Records   uint64         `json:"records"`
	Uncovered uint64         `json:"uncovered,omitempty"`
	Faults    map[string]int `json:"faults,omitempty"`
	Logs      []VerifiedLog  `json:"logs,omitempty"`
}

// VerifiedLog is one verified log, up to a checkpoint.
type VerifiedLog struct {
	Callback string `json:"callback,omitempty"` // empty for the log of accepted events, or for a log of another journal
	Origin   string `json:"origin"`
	Size     uint64 `json:"size"` // number of entries that the checkpoint covers
	// Fault says why this relay's log differs from the verified one; empty if they match.
	Fault string `json:"fault,omitempty"`
}

var verifiedKey = journal.MetaKey("verified")

// check returns what is wrong with a report, without any text of the report.
func (v *VerifyReport) check() error {
	expected := func(path, format string, args ...any) error {
		return &auditrelay.OptionError{Path: path, Err: fmt.Errorf("expected "+format, args...)}
	}
	switch {
	case v.Place == "" || len(v.Place) > MaxPlace || !utf8.ValidString(v.Place) || strings.ContainsFunc(v.Place, func(c rune) bool { return !unicode.IsPrint(c) }):
		return expected("place", "1 to %d bytes of printable text", MaxPlace)
	case len(v.Checkpoints) > MaxCheckpoints:
		return expected("checkpoints", "at most %d", MaxCheckpoints)
	}
	for category, n := range v.Faults {
		if n < 1 || !slices.Contains(verify.Categories, verify.Category(category)) {
			return expected("faults", "counts above 0 by category: %v", verify.Categories)
		}
	}
	return nil
}

// ReportVerified stores the result of a run of auditrelay verify as the last one of its place. The same
// write contains an own record. It compares each checkpoint with the relay's own log, and returns the
// differences. Errors: *auditrelay.OptionError says what is wrong with the report; others are those of
// Record.
func (r *Runtime) ReportVerified(_ context.Context, report VerifyReport, by By) (Verified, error) {
	out := Verified{Place: report.Place, At: time.Now().UTC(), By: by.Principal, Records: report.Records, Uncovered: report.Uncovered, Faults: report.Faults}
	if err := report.check(); err != nil {
		return out, fmt.Errorf("a report of verify: %w", err)
	}
	logs, err := r.logNames()
	if err != nil {
		return out, err
	}
	for _, signed := range report.Checkpoints {
		out.Logs = append(out.Logs, r.holdAgainst(signed, logs))
	}
	r.accepting.RLock()
	defer r.accepting.RUnlock()
	if r.ctx.Err() != nil {
		return out, ErrClosed
	}
	r.verifying.Lock()
	defer r.verifying.Unlock()
	all, err := r.Verifications()
	if err != nil {
		return out, err
	}
	all = slices.DeleteFunc(all, func(v Verified) bool { return v.Place == out.Place })
	all = append([]Verified{out}, all[:min(len(all), maxPlaces-1)]...)
	value, err := json.Marshal(all)
	for ; err == nil && len(value) > maxVerified && len(all) > 1; value, err = json.Marshal(all) {
		all = all[:len(all)-1]
	}
	if err != nil {
		return out, err
	}
	tx := new(journal.Tx)
	tx.Set(verifiedKey, value)
	change := Change{By: by, Act: "verify", Action: auditrelay.ActionUpdated, Table: "auditrelay_verification", Object: out.Place, Failed: len(out.Faults) > 0, After: out}
	if err := change.append(tx); err != nil {
		return out, err
	}
	if _, err := r.journal.Commit(tx); err != nil {
		return out, unavailable(err)
	}
	return out, nil
}

// Verifications returns the last reported verification of each place, newest first.
func (r *Runtime) Verifications() (all []Verified, err error) {
	value, ok, err := r.journal.Get(verifiedKey)
	if err != nil || !ok {
		return nil, err
	}
	if err := json.Unmarshal(value, &all); err != nil {
		return nil, fmt.Errorf("decode the reported verifications: %w", err)
	}
	return all, nil
}

// namedLog is a log of this journal.
type namedLog struct{ callback, name string }

// logNames returns the journal's logs by their origin.
func (r *Runtime) logNames() (map[string]namedLog, error) {
	id := r.journal.Identity()
	logs := map[string]namedLog{proof.Origin(id.ID, id.Incarnation, ""): {name: r.journal.Accepted().Name}}
	states, err := delivery.States(r.journal)
	for _, s := range states {
		if s.Log != "" {
			logs[proof.Origin(id.ID, s.Log, s.ID)] = namedLog{s.LaneName(), journal.DeliveredName(s.Log, s.ID)}
		}
	}
	return logs, err
}

// shownOrigin returns an origin in a form that is safe to store, since anyone may have written it.
func shownOrigin(origin string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.ContainsRune("/%._~-:@$=", c):
			return c
		}
		return '?'
	}, origin[:min(len(origin), maxOrigin)])
}

// holdAgainst compares a verified checkpoint with this journal's log.
func (r *Runtime) holdAgainst(signed string, logs map[string]namedLog) VerifiedLog {
	origin, _, _ := strings.Cut(signed, "\n")
	out := VerifiedLog{Origin: shownOrigin(origin)}
	if r.signing == nil {
		out.Fault = "this relay signs nothing"
		return out
	}
	c, err := r.signing.open([]byte(signed))
	if err != nil {
		out.Fault = "the checkpoint is not signed with this relay's key"
		return out
	}
	out.Size = c.Size
	log, known := logs[c.Origin]
	if !known {
		out.Fault = "it is a log of another journal, or of an earlier life of this one"
		return out
	}
	out.Callback = log.callback
	size, err := r.journal.TreeSize(log.name)
	if err != nil || c.Size > size {
		out.Fault = "this relay's log is shorter"
		return out
	}
	root, err := r.journal.TreeRoot(log.name, c.Size)
	if err != nil || root != c.Root {
		out.Fault = "this relay's log has other entries there"
	}
	return out
}
