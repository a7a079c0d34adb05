package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"auditrelay"
	"auditrelay/runtime/internal/journal"
)

// Begun is an act with an effect outside the journal. It has two own records: the first is durable before
// the act takes effect, and the second reports the result. After a crash between them, Open determines the
// result and writes the second. Begun is not safe for concurrent use.
type Begun struct {
	r      *Runtime
	id     string
	change Change
}

// unfinished is the durable state of an act that has begun, in addition to its own record.
type unfinished struct {
	Change  Change `json:"change"`
	Journal string `json:"journal"`         // identity and incarnation of the journal when the act began
	Probe   string `json:"probe,omitempty"` // shows whether the act took effect: a path, or a period's number
}

const actPrefix = "act/"

func actKey(id string) journal.Key { return journal.MetaKey(actPrefix + id) }

// begin records that an act is about to start. If begin fails, the caller must not do the act.
func (r *Runtime) begin(c Change, probe string) (*Begun, error) {
	r.accepting.RLock()
	defer r.accepting.RUnlock()
	if r.ctx.Err() != nil {
		return nil, ErrClosed
	}
	b := &Begun{r: r, id: newRecordID(), change: c}
	e, err := c.eventWith(b.id, outcomeBegun, "")
	if err != nil {
		return nil, err
	}
	value, err := json.Marshal(unfinished{Change: c, Journal: r.journal.Identity().String(), Probe: probe})
	if err != nil {
		return nil, err
	}
	tx := new(journal.Tx)
	c.appendEvent(tx, e)
	tx.Set(actKey(b.id), value)
	if _, err := r.journal.Commit(tx); err != nil {
		return nil, unavailable(err)
	}
	return b, nil
}

// Begin records that an act with an effect outside the journal is about to start, such as reading contents
// or repairing events. If Begin fails, the caller must not do the act. End records the result. After a
// crash in between, the second record says done and interrupted: true, since a part of the act may have
// happened.
func (r *Runtime) Begin(c Change) (*Begun, error) { return r.begin(c, "") }

// End records the result of the act: it failed if failure is not nil. If after is not nil, it replaces the
// change's After. The record may use the reserved disk space.
func (b *Begun) End(after any, failure error) error {
	b.r.accepting.RLock()
	defer b.r.accepting.RUnlock()
	return b.r.end(b.id, b.change, after, failure == nil)
}

func (r *Runtime) end(id string, c Change, after any, done bool) error {
	if after != nil {
		c.After = after
	}
	outcome := outcomeDone
	if !done {
		outcome = outcomeFailed
	}
	e, err := c.eventWith(newRecordID(), outcome, id)
	if err != nil {
		return err
	}
	tx := new(journal.Tx)
	tx.MakesRoom() // this record completes an act that is already on record
	tx.Append(e)
	tx.Delete(actKey(id))
	if _, err := r.journal.Commit(tx); err != nil {
		return fmt.Errorf("record the end of %s of %s: %w", c.Act, c.Table, unavailable(err))
	}
	return nil
}

// resolve writes the missing second records of acts that a crash interrupted.
func (r *Runtime) resolve() error {
	acts := map[string]unfinished{}
	from, to := journal.All(journal.KindMeta)
	err := r.journal.Scan(from, to, func(k journal.Key, value []byte) error {
		_, name, _, _ := k.Split()
		id, ok := strings.CutPrefix(name, actPrefix)
		if !ok {
			return nil
		}
		var u unfinished
		if err := json.Unmarshal(value, &u); err != nil {
			return fmt.Errorf("the record of an act that had begun: %w", err)
		}
		acts[id] = u
		return nil
	})
	if err != nil {
		return err
	}
	var errs []error
	for id, u := range acts {
		done := r.happened(&u)
		r.log.Warn("an act was interrupted; its outcome is recorded now", "act", u.Change.Act, "table", u.Change.Table, "object", u.Change.Object, "done", done)
		errs = append(errs, r.end(id, u.Change, map[string]any{"interrupted": true}, done))
	}
	return errors.Join(errs...)
}

// happened reports whether an interrupted act took effect.
func (r *Runtime) happened(u *unfinished) bool {
	switch u.Change.Table {
	case tableKeyring:
		for _, p := range r.journal.Periods() {
			if fmt.Sprint(p.Number) == u.Probe {
				return p.Erased()
			}
		}
		return true // the keyring forgot the period, which happens only after its erasure
	case tableBackup:
		if u.Journal != r.journal.Identity().String() {
			return true // this journal was restored from that backup
		}
		_, err := os.Lstat(u.Probe)
		return err == nil
	}
	return true // a part of the act may have happened
}

// keptName is a file in a data directory. It contains own records of acts on the closed directory. The next
// Open moves them to the journal.
const keptName = "own-records.json"

// kept is an own record that waits for the journal. Its id makes it one event, even if Open is interrupted
// several times.
type kept struct {
	ID     string            `json:"id"`
	Time   time.Time         `json:"time"`
	Action auditrelay.Action `json:"action"`
	By     string            `json:"by"`
	Data   json.RawMessage   `json:"data"`
}

// keep writes the change's own record to a closed data directory that has none. The caller must sync the
// directory.
func (c *Change) keep(dataDir string) error {
	e, err := c.event()
	if err != nil {
		return err
	}
	text, err := json.Marshal(kept{ID: e.ID, Time: e.Time, Action: e.Action, By: c.By.Principal, Data: e.Data})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dataDir, keptName), append(text, '\n'), 0o600)
}

// recordKept moves the own record of the file to the journal.
func (r *Runtime) recordKept(dataDir string) error {
	if dataDir == "" {
		return nil
	}
	name := filepath.Join(dataDir, keptName)
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var k kept
	if err := json.Unmarshal(text, &k); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	tx := new(journal.Tx)
	tx.MakesRoom()
	tx.Append(auditrelay.Event{Namespace: auditrelay.NamespaceRelay, ID: k.ID, Time: k.Time, Action: k.Action,
		Provenance: auditrelay.Provenance{Source: "relay", Principal: k.By}, Data: k.Data})
	if _, err := r.journal.Commit(tx); err != nil {
		return fmt.Errorf("record what was done to the closed data directory: %w", err)
	}
	if err := os.Remove(name); err != nil {
		return err
	}
	return syncDir(dataDir)
}
