package runtime

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"auditrelay/runtime/internal/delivery"
	"auditrelay/runtime/internal/journal"
)

// Texts stores texts that decide about events, such as policies, by the digests in receipts and own
// records. It is part of the journal: backups contain it. A text stays while it is in force or a receipt
// from its time exists. Texts is safe for concurrent use.
//
// Call Keep before a text decides about any event, and InForce afterwards. Then no crash leaves a receipt
// without its text. A text must not contain secrets: it is stored unencrypted, and everyone who may see
// receipts may read it.
type Texts struct {
	journal *journal.Journal
	mu      sync.Mutex      // held during a change
	kept    map[string]Text // all texts, without their content
	bytes   map[string]int  // size of each text
	total   int             // size of all texts

	most, mostBytes int // MaxTexts, MaxTextBytes
}

// The limits of Texts. If there are more than MaxTexts, or all together exceed MaxTextBytes, the texts that
// have been out of force for the longest time are deleted early.
const (
	MaxTexts     = 10_000
	MaxTextBytes = 256 << 20 // all texts together
	MaxOneText   = 16 << 20  // one text
)

// Text is one text by its digest.
type Text struct {
	// Digest is the digest in receipts and own records: lower-case hexadecimal.
	Digest string `json:"digest"`
	Kind   string `json:"kind"` // such as policy
	// Name names the object that used the text, such as a filter. If there were several, it is the first.
	Name  string    `json:"name"`
	Since time.Time `json:"since"` // when it was first stored
	// Until is when the text was last in force; zero if it still is. Head is the next sequence at that
	// time: receipts that name the text are about earlier events.
	Until time.Time `json:"until,omitzero"`
	Head  uint64    `json:"head,omitempty"`
	Text  string    `json:"text"`
}

// Errors of Texts.
var (
	// ErrNoText: no stored text has this digest.
	ErrNoText = errors.New("no such text is kept")
	// ErrTextPrefix: several texts have a digest with this prefix.
	ErrTextPrefix = errors.New("several digests begin like this")
)

// openTexts reads the list of stored texts.
func openTexts(j *journal.Journal) (*Texts, error) {
	t := &Texts{journal: j, kept: map[string]Text{}, bytes: map[string]int{}, most: MaxTexts, mostBytes: MaxTextBytes}
	from, to := journal.All(journal.KindText)
	err := j.Scan(from, to, func(_ journal.Key, v []byte) error {
		var one Text
		if err := json.Unmarshal(v, &one); err != nil {
			return fmt.Errorf("a text's record: %w", err)
		}
		t.note(one)
		return nil
	})
	return t, err
}

// note adds a text to the list.
func (t *Texts) note(one Text) {
	t.total += len(one.Text) - t.bytes[one.Digest]
	t.bytes[one.Digest] = len(one.Text)
	one.Text = ""
	t.kept[one.Digest] = one
}

func (t *Texts) drop(digest string) {
	t.total -= t.bytes[digest]
	delete(t.bytes, digest)
	delete(t.kept, digest)
}

// Keep stores the texts that are not stored yet. The caller sets Digest, Kind, Name and Text; Keep sets the
// other fields. When Keep returns nil, the texts are durable.
func (t *Texts) Keep(texts ...Text) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now().UTC()
	tx := new(journal.Tx)
	var fresh []Text
	for _, one := range texts {
		if len(one.Text) > MaxOneText {
			return fmt.Errorf("keep the text of %s %s: %d bytes, at most %d", one.Kind, one.Name, len(one.Text), MaxOneText)
		}
		old, ok := t.kept[one.Digest]
		if ok && old.Until.IsZero() {
			continue
		}
		one.Since, one.Until, one.Head = now, time.Time{}, 0
		if ok {
			one.Name, one.Since = old.Name, old.Since
		}
		if err := set(tx, one); err != nil {
			return err
		}
		fresh = append(fresh, one)
	}
	if tx.Empty() {
		return nil
	}
	if _, err := t.journal.Commit(tx); err != nil {
		return fmt.Errorf("keep texts: %w", err)
	}
	for _, one := range fresh {
		t.note(one)
	}
	return nil
}

func set(tx *journal.Tx, one Text) error {
	value, err := json.Marshal(one)
	if err == nil {
		tx.Set(journal.TextKey(one.Digest), value)
	}
	return err
}

// InForce sets which texts of all kinds are in force. Every other text stays until retention removes the
// last receipt from its time.
func (t *Texts) InForce(digests ...string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, head := time.Now().UTC(), t.journal.Head().Next
	tx := new(journal.Tx)
	var changed []Text
	for digest, one := range t.kept {
		if !one.Until.IsZero() || slices.Contains(digests, digest) {
			continue
		}
		whole, err := t.read(digest)
		if err != nil {
			return err
		}
		whole.Until, whole.Head = now, head
		if err := set(tx, whole); err != nil {
			return err
		}
		changed = append(changed, whole)
	}
	dropped := t.excess()
	for _, digest := range dropped {
		tx.Delete(journal.TextKey(digest))
	}
	if tx.Empty() {
		return nil
	}
	if _, err := t.journal.Commit(tx); err != nil {
		return fmt.Errorf("mark texts that are no longer in force: %w", err)
	}
	for _, one := range changed {
		t.note(one)
	}
	for _, digest := range dropped {
		t.drop(digest)
	}
	return nil
}

// excess returns the digests of the texts beyond the limits, oldest first.
func (t *Texts) excess() (digests []string) {
	count, total := len(t.kept), t.total
	if count <= t.most && total <= t.mostBytes {
		return nil
	}
	for _, one := range t.sorted() {
		if count <= t.most && total <= t.mostBytes {
			break
		}
		if !one.Until.IsZero() {
			digests = append(digests, one.Digest)
			count, total = count-1, total-t.bytes[one.Digest]
		}
	}
	return digests
}

// sorted returns the texts without their content, by when they were last in force. Those still in force
// come last.
func (t *Texts) sorted() []Text {
	all := make([]Text, 0, len(t.kept))
	for _, one := range t.kept {
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b Text) int {
		if a.Until.IsZero() != b.Until.IsZero() {
			if a.Until.IsZero() {
				return 1
			}
			return -1
		}
		return cmp.Or(a.Until.Compare(b.Until), cmp.Compare(a.Digest, b.Digest))
	})
	return all
}

// List returns the stored texts without their content: first those that went out of force first, last those
// in force.
func (t *Texts) List() []Text {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sorted()
}

// Get returns the text whose digest begins with prefix. Errors: ErrNoText, ErrTextPrefix.
func (t *Texts) Get(prefix string) (Text, error) {
	var found []Text
	from, to := journal.TextsFrom(prefix)
	err := t.journal.Scan(from, to, func(_ journal.Key, v []byte) error {
		if len(found) > 1 {
			return nil
		}
		var one Text
		if err := json.Unmarshal(v, &one); err != nil {
			return fmt.Errorf("a text's record: %w", err)
		}
		found = append(found, one)
		return nil
	})
	switch {
	case err != nil:
		return Text{}, err
	case len(found) == 0:
		return Text{}, fmt.Errorf("%w: %.64s", ErrNoText, prefix)
	case len(found) > 1:
		return Text{}, fmt.Errorf("%w: %.64s", ErrTextPrefix, prefix)
	}
	return found[0], nil
}

func (t *Texts) read(digest string) (one Text, err error) {
	v, ok, err := t.journal.Get(journal.TextKey(digest))
	if err == nil && !ok {
		err = fmt.Errorf("%w: %.64s", ErrNoText, digest)
	}
	if err != nil {
		return one, err
	}
	return one, json.Unmarshal(v, &one)
}

// forget deletes the texts that no receipt can name any more.
func (t *Texts) forget(states []*delivery.State) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	retired := slices.DeleteFunc(t.sorted(), func(one Text) bool { return one.Until.IsZero() })
	if len(retired) == 0 {
		return nil
	}
	oldest, err := oldestReceipt(t.journal, states)
	if err != nil {
		return err
	}
	tx := new(journal.Tx)
	var gone []string
	for _, one := range retired {
		if one.Head <= oldest {
			tx.Delete(journal.TextKey(one.Digest))
			gone = append(gone, one.Digest)
		}
	}
	if tx.Empty() {
		return nil
	}
	if _, err := t.journal.Commit(tx); err != nil {
		return fmt.Errorf("forget texts that no receipt names: %w", err)
	}
	for _, digest := range gone {
		t.drop(digest)
	}
	return nil
}

// oldestReceipt returns the first sequence of the oldest receipts of any callback. Receipts of replayed
// dead letters are removed together with the receipts of their time.
func oldestReceipt(j *journal.Journal, states []*delivery.State) (uint64, error) {
	oldest := uint64(math.MaxUint64)
	for _, s := range states {
		k, ok, err := j.FirstKey(journal.AllOf(journal.KindFrame, s.ID, 0))
		if err != nil {
			return 0, err
		}
		if ok {
			_, _, from, _ := k.Split()
			oldest = min(oldest, from)
		}
	}
	return oldest, nil
}
