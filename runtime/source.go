package runtime

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/runtime/internal/journal"
)

// Position returns a source's stored position, or nil if there is none.
func (r *Runtime) Position(source string) ([]byte, error) {
	v, _, err := r.journal.Get(positionKey(source))
	return v, err
}

// SetPosition stores a source's position. It is durable when SetPosition returns nil. Call it only when
// every event before the position is accepted or in quarantine. Errors are those of Submit.
func (r *Runtime) SetPosition(_ context.Context, source string, position []byte) error {
	r.accepting.RLock()
	defer r.accepting.RUnlock()
	if r.ctx.Err() != nil {
		return ErrClosed
	}
	tx := new(journal.Tx)
	tx.Set(positionKey(source), position)
	if _, err := r.journal.Commit(tx); err != nil {
		return unavailable(fmt.Errorf("keep the position of %s: %w", source, err))
	}
	return nil
}

func positionKey(source string) journal.Key { return journal.MetaKey("position/" + source) }

// Find returns the sequences of a namespace's events with these ids, in the order of ids, and 0 for an id
// that is not stored. An empty namespace means auditrelay.NamespaceLiteLLM. Find searches the whole journal
// in one pass.
func (r *Runtime) Find(ctx context.Context, namespace string, ids []string) ([]uint64, error) {
	return r.find(ctx, namespace, ids, true)
}

// FindEarlier is Find for events that have left the duplicate window (JournalOptions.Window), so that
// Submit no longer recognises them. It is for sources that may read an event again after any time.
func (r *Runtime) FindEarlier(ctx context.Context, namespace string, ids []string) ([]uint64, error) {
	return r.find(ctx, namespace, ids, false)
}

func (r *Runtime) find(ctx context.Context, namespace string, ids []string, window bool) ([]uint64, error) {
	namespace = cmp.Or(namespace, auditrelay.NamespaceLiteLLM)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// A filter before the journal may have replaced an id by its digest.
	both := append(make([]string, 0, 2*len(ids)), ids...)
	for _, id := range ids {
		both = append(both, r.idDigest(auditrelay.Event{Namespace: namespace, ID: id}))
	}
	found, err := r.journal.Lookups(namespace, both, window)
	if err != nil {
		return nil, err
	}
	for i := range ids {
		found[i] = max(found[i], found[len(ids)+i])
	}
	return found[:len(ids)], nil
}

// Same reports whether the event stored under sequence equals data (see document.Equal).
// It is false if the stored event was erased.
func (r *Runtime) Same(_ context.Context, sequence uint64, data []byte) (bool, error) {
	e, err := r.journal.Event(sequence)
	if errors.Is(err, ErrErased) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if e.Ingest != nil {
		return e.Ingest.Digest == r.receivedDigest(data), nil
	}
	return document.Equal(e.Data, data), nil
}
