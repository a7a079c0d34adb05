package runtime

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"auditrelay"
	"auditrelay/runtime/internal/journal"
)

// Modules stores uploaded WebAssembly modules by digest, and the module that each filter runs. A stored
// module never changes. The store is part of the journal: backups contain it, and a crash leaves a module
// complete or absent. The transaction of each change contains its own record. Modules is safe for
// concurrent use.
//
// Modules does not validate a module: load a module before you store it.
type Modules struct {
	journal *journal.Journal
	mu      sync.Mutex // held during a change
}

// The limits of the store.
const (
	MaxModules     = 256
	MaxModuleBytes = 256 << 20 // one module
	MaxStoredBytes = 1 << 30   // all modules together

	pieceBytes = 1 << 20
)

// StoredModule is the record of an uploaded module.
type StoredModule struct {
	SHA256  string    `json:"sha256"`
	Name    string    `json:"name"` // the name given to Put
	Size    int64     `json:"size"`
	Pushed  time.Time `json:"pushed"`
	By      string    `json:"by"`                // the user
	Version string    `json:"version,omitempty"` // from the module's manifest
}

// Selection is the uploaded module that a filter runs instead of the configured one.
type Selection struct {
	Filter   string    `json:"filter"`
	SHA256   string    `json:"sha256"`             // empty: the configured module
	Previous string    `json:"previous,omitempty"` // the previous module; empty: the configured one
	At       time.Time `json:"at"`
	By       string    `json:"by"` // the user
	// Configured is the digest of the configured module at the time of the selection, or empty if none was
	// configured. The selection applies only while the configuration names that module.
	Configured string `json:"configured,omitempty"`
	// From is the first sequence that the module processed, by callback.
	From map[string]uint64 `json:"from,omitempty"`
}

// Errors of Modules.
var (
	// ErrNoModule: no uploaded module has this digest.
	ErrNoModule = errors.New("no such module")
	// ErrModuleInUse: a filter runs the module or can return to it.
	ErrModuleInUse = errors.New("the module is in use")
	// ErrModulesFull: the store is at one of its limits.
	ErrModulesFull = errors.New("no room for more modules")
)

// Put stores a module. by is the user. If the module is already stored, nothing changes and added is false.
// ErrModulesFull: there is no room.
func (m *Modules) Put(name, version string, wasm []byte, by By) (stored StoredModule, added bool, err error) {
	sum := sha256.Sum256(wasm)
	digest := hex.EncodeToString(sum[:])
	m.mu.Lock()
	defer m.mu.Unlock()
	all, err := m.List()
	if err != nil {
		return stored, false, err
	}
	total := int64(len(wasm))
	for _, other := range all {
		if other.SHA256 == digest {
			return other, false, nil
		}
		total += other.Size
	}
	if len(wasm) > MaxModuleBytes || len(all) >= MaxModules || total > MaxStoredBytes {
		return stored, false, fmt.Errorf("%w: %d are kept, and with this one they take %d bytes; at most %d in %d bytes, %d bytes each: delete some that no filter uses",
			ErrModulesFull, len(all), total, MaxModules, int64(MaxStoredBytes), int64(MaxModuleBytes))
	}
	for at := 0; at < len(wasm); at += pieceBytes {
		tx := new(journal.Tx)
		tx.FromOutside()
		tx.Set(journal.PieceKey(digest, uint64(at/pieceBytes)), wasm[at:min(at+pieceBytes, len(wasm))])
		if _, err := m.journal.Commit(tx); err != nil {
			return stored, false, fmt.Errorf("keep module %s: %w", digest[:12], unavailable(err))
		}
	}
	stored = StoredModule{SHA256: digest, Name: name, Version: version, Size: int64(len(wasm)), Pushed: time.Now().UTC(), By: by.Principal}
	// The record is written last: a module without a record does not exist.
	return stored, true, m.write(journal.ModuleKey(digest), stored, Change{
		By: by, Act: "push", Action: auditrelay.ActionCreated, Table: "auditrelay_module", Object: digest, After: stored})
}

// write commits a value together with its own record. If v is nil, it deletes the value.
func (m *Modules) write(k journal.Key, v any, c Change) error {
	tx := new(journal.Tx)
	if v == nil {
		tx.Delete(k)
	} else {
		text, err := json.Marshal(v)
		if err != nil {
			return err
		}
		tx.Set(k, text)
	}
	if err := c.append(tx); err != nil {
		return err
	}
	if _, err := m.journal.Commit(tx); err != nil {
		return fmt.Errorf("record %s of %s: %w", c.Action, c.Table, unavailable(err))
	}
	return nil
}

// List returns all modules, newest first.
func (m *Modules) List() ([]StoredModule, error) {
	var all []StoredModule
	from, to := journal.All(journal.KindModule)
	err := m.journal.Scan(from, to, func(k journal.Key, v []byte) error {
		var s StoredModule
		if err := json.Unmarshal(v, &s); err != nil {
			return fmt.Errorf("a module's record: %w", err)
		}
		all = append(all, s)
		return nil
	})
	slices.SortFunc(all, func(a, b StoredModule) int {
		return cmp.Or(b.Pushed.Compare(a.Pushed), cmp.Compare(a.SHA256, b.SHA256))
	})
	return all, err
}

// Get returns a module's record by digest, or ErrNoModule.
func (m *Modules) Get(digest string) (StoredModule, error) {
	var s StoredModule
	v, ok, err := m.journal.Get(journal.ModuleKey(digest))
	if err == nil && !ok {
		err = fmt.Errorf("%w: %.64s", ErrNoModule, digest)
	}
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(v, &s)
}

// Bytes returns a module's bytes after checking their digest. The caller owns them. ErrNoModule: no module
// has this digest.
func (m *Modules) Bytes(digest string) ([]byte, error) {
	s, err := m.Get(digest)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, s.Size)
	first, end := journal.AllOf(journal.KindPiece, digest, 0)
	err = m.journal.Scan(first, end, func(_ journal.Key, v []byte) error {
		out = append(out, v...)
		return nil
	})
	if sum := sha256.Sum256(out); err == nil && hex.EncodeToString(sum[:]) != digest {
		err = fmt.Errorf("module %.12s: its bytes are not those that were pushed", digest)
	}
	if err != nil {
		return nil, err
	}
	return slices.Clip(out), nil
}

// Delete deletes a module that no filter runs or can return to. Errors: ErrNoModule, ErrModuleInUse.
func (m *Modules) Delete(digest string, by By) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	stored, err := m.Get(digest)
	if err != nil {
		return err
	}
	selections, err := m.Selections()
	if err != nil {
		return err
	}
	for _, s := range selections {
		if s.SHA256 == digest || s.Previous == digest {
			return fmt.Errorf("%w: filter %s runs it, or can go back to it", ErrModuleInUse, s.Filter)
		}
	}
	if o, err := loadRollout(m.journal); err != nil {
		return err
	} else if o != nil && o.State == RolloutRunning && o.Digest == digest {
		return fmt.Errorf("%w: it is rolled out as filter %s", ErrModuleInUse, o.Filter)
	}
	if err := m.write(journal.ModuleKey(digest), nil, Change{
		By: by, Act: "delete", Action: auditrelay.ActionDeleted, Table: "auditrelay_module", Object: digest, Before: stored, MakesRoom: true}); err != nil {
		return err
	}
	return m.dropPieces(digest)
}

func (m *Modules) dropPieces(digest string) error {
	tx := new(journal.Tx)
	tx.DeleteRange(journal.AllOf(journal.KindPiece, digest, 0))
	_, err := m.journal.Commit(tx)
	return err
}

// Select makes a filter use module s.SHA256, also after a restart. An empty SHA256 returns the filter to
// its configured module. Select does not load the module into a running filter. by is the user; its
// principal becomes s.By. ErrNoModule: no module has this digest.
func (m *Modules) Select(s Selection, by By) error {
	s.By = by.Principal
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.SHA256 != "" {
		if _, err := m.Get(s.SHA256); err != nil {
			return err
		}
	}
	type digest struct {
		SHA256 string            `json:"sha256"`
		From   map[string]uint64 `json:"from,omitempty"` // the first sequence, by callback
	}
	change := Change{By: by, Act: "use", Action: auditrelay.ActionUpdated, Table: "auditrelay_filter", Object: s.Filter,
		Before: digest{SHA256: cmp.Or(s.Previous, s.Configured)}, After: digest{cmp.Or(s.SHA256, s.Configured), s.From}}
	if s.SHA256 == "" && s.Previous == "" {
		return m.write(journal.SelectionKey(s.Filter), nil, change)
	}
	return m.write(journal.SelectionKey(s.Filter), s, change)
}

// Selection returns the selection of a filter. ok is false if there is none.
func (m *Modules) Selection(filter string) (s Selection, ok bool, err error) {
	v, ok, err := m.journal.Get(journal.SelectionKey(filter))
	if err != nil || !ok {
		return s, false, err
	}
	return s, true, json.Unmarshal(v, &s)
}

// Selections returns all selections, ordered by filter name.
func (m *Modules) Selections() ([]Selection, error) {
	var all []Selection
	from, to := journal.All(journal.KindSelection)
	err := m.journal.Scan(from, to, func(_ journal.Key, v []byte) error {
		var s Selection
		if err := json.Unmarshal(v, &s); err != nil {
			return fmt.Errorf("a filter's selection: %w", err)
		}
		all = append(all, s)
		return nil
	})
	return all, err
}

// sweep deletes pieces of modules whose Put or Delete was interrupted by a crash.
func (m *Modules) sweep() error {
	var orphans []string
	from, to := journal.All(journal.KindPiece)
	for {
		k, ok, err := m.journal.FirstKey(from, to)
		if err != nil || !ok {
			return errors.Join(err, m.drop(orphans))
		}
		_, digest, _, valid := k.Split()
		if !valid {
			return fmt.Errorf("sweep modules: a key of no module")
		}
		if _, err := m.Get(digest); errors.Is(err, ErrNoModule) {
			orphans = append(orphans, digest)
		} else if err != nil {
			return err
		}
		_, from = journal.AllOf(journal.KindPiece, digest, 0)
	}
}

func (m *Modules) drop(digests []string) error {
	for _, digest := range digests {
		if err := m.dropPieces(digest); err != nil {
			return err
		}
	}
	return nil
}
