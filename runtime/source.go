package runtime

import (
	"context"
	"errors"
	"fmt"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/runtime/internal/journal"
)

// Position returns what a source keeps of how far it came, nil where it has kept
// nothing yet.
func (r *Runtime) Position(source string) ([]byte, error) {
	v, _, err := r.journal.Get(positionKey(source))
	return v, err
}

// SetPosition keeps how far a source came; when it returns nil that is durable. To be
// called once everything before the position is accepted or in quarantine. Errors are
// those of Submit.
func (r *Runtime) SetPosition(_ context.Context, source string, position []byte) error {
	r.accepting.RLock()
	defer r.accepting.RUnlock()
	if r.ctx.Err() != nil {
		return ErrClosed
	}
	tx := new(journal.Tx)
	tx.Set(positionKey(source), position)
	if _, err := r.journal.Commit(tx); err != nil {
		return r.unavailable(fmt.Errorf("keep the position of %s: %w", source, err))
	}
	return nil
}

func positionKey(source string) journal.Key { return journal.MetaKey("position/" + source) }

// Find returns the sequences under which events of LiteLLM's with these ids are
// stored, in the ids' order, 0 where none is. It looks at all that the journal keeps,
// in one pass.
func (r *Runtime) Find(ctx context.Context, ids []string) ([]uint64, error) {
	return r.find(ctx, ids, true)
}

// FindEarlier is Find for those events alone that Submit no longer compares with,
// since their ids have left the window: for sources that may read one again after any
// time.
func (r *Runtime) FindEarlier(ctx context.Context, ids []string) ([]uint64, error) {
	return r.find(ctx, ids, false)
}

func (r *Runtime) find(ctx context.Context, ids []string, window bool) ([]uint64, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// Filters before the journal may have left its digest in an id's place.
	both := append(make([]string, 0, 2*len(ids)), ids...)
	for _, id := range ids {
		both = append(both, r.idDigest(auditrelay.Event{Namespace: auditrelay.NamespaceLiteLLM, ID: id}))
	}
	found, err := r.journal.Lookups(auditrelay.NamespaceLiteLLM, both, window)
	if err != nil {
		return nil, err
	}
	for i := range ids {
		found[i] = max(found[i], found[len(ids)+i])
	}
	return found[:len(ids)], nil
}

// Same reports whether the event stored under sequence is the same as data, come by
// another way or again. One that is erased is the same as none.
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
