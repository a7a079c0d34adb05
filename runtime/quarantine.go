package runtime

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"sync"
	"time"

	"auditrelay"
	"auditrelay/internal/ingest"
	"auditrelay/runtime/internal/journal"
	"auditrelay/runtime/internal/quarantine"
)

// QuarantineOptions limit the quarantine. It rejects an item over a limit. It never truncates or evicts
// items.
type QuarantineOptions struct {
	Bytes     auditrelay.ByteSize // all items together; default 256 MiB
	Items     int                 // default 100,000
	ItemBytes auditrelay.ByteSize // one item; default 16 MiB, at most 128 MiB
}

// Quarantined is invalid input on its way into quarantine.
type Quarantined struct {
	// Data is the complete input. Quarantine copies it.
	Data       []byte
	Provenance auditrelay.Provenance
	// Namespace is the namespace of the events in Data; see Submission.
	Namespace string
	// Reason is from a closed set of the caller, for example an EventError's reason or "conflict". It must
	// match [a-z0-9_]{1,64}, since it is a metric label.
	Reason string
	// Detail explains Reason without event data. It is cut after 512 bytes.
	Detail string
}

const maxDetail = 512

var quarantineReason = regexp.MustCompile(`^[a-z0-9_]{1,64}$`)

// quarantineRoom is the runtime's quarantine with its counts.
type quarantineRoom struct {
	store *quarantine.Store

	mu      sync.Mutex
	arrived map[QuarantineOrigin]uint64
	full    bool // the last logged state
}

// QuarantineOrigin is the key of the counts of arrivals in quarantine.
type QuarantineOrigin struct{ Source, Reason string }

// maxOrigins limits the number of metric labels.
const maxOrigins = 256

func (q *quarantineRoom) open(j *journal.Journal, o QuarantineOptions) (err error) {
	q.arrived = map[QuarantineOrigin]uint64{}
	q.store, err = quarantine.Open(j, quarantine.Options{Bytes: int64(o.Bytes), Items: o.Items, ItemBytes: int64(o.ItemBytes)})
	return err
}

func (q *quarantineRoom) count(items []quarantine.Item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range items {
		origin := QuarantineOrigin{items[i].Provenance.Source, items[i].Reason}
		if _, known := q.arrived[origin]; !known && len(q.arrived) >= maxOrigins {
			origin = QuarantineOrigin{"other", "other"}
		}
		q.arrived[origin]++
	}
}

// Quarantine stores invalid input until an operator replays or deletes it. When it returns nil, all items
// are durable. On any error except ErrNotKept none is. If the quarantine already has the same input from
// the same source with the same reason, it counts the repetition and stores nothing. Quarantine copies
// Data.
//
// Errors: *UnavailableError if a retry may succeed (shutting down, disk short, quarantine full);
// ErrQuarantineItem if an item is too large; ErrNotKept if filters run before the journal. With ErrNotKept
// only a digest of each item is durable, since the data would reach the disk unfiltered.
//
// Do not quarantine events that were rejected with ErrIngestFilter.
func (r *Runtime) Quarantine(ctx context.Context, items ...Quarantined) error {
	kept := make([]quarantine.Item, len(items))
	for i := range items {
		it := &items[i]
		if !quarantineReason.MatchString(it.Reason) {
			return errors.New("quarantine: the reason is not of the form a-z, 0-9, _, at most 64")
		}
		kept[i] = quarantine.Item{Provenance: it.Provenance, Namespace: it.Namespace, Reason: it.Reason, Detail: it.Detail,
			Size: int64(len(it.Data)), Digest: r.quarantineDigest(it), Data: it.Data}
		if len(it.Detail) > maxDetail {
			kept[i].Detail = it.Detail[:maxDetail] + "..."
		}
	}
	unlock, err := r.quarantine.store.Lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	r.accepting.RLock()
	defer r.accepting.RUnlock()
	if r.draining.Load() {
		return &UnavailableError{RetryAfter: blockedRetry, Err: ErrClosed}
	}
	bare := r.ingest.Load() != nil
	if bare {
		for i := range kept {
			// The detail may name a field, and the sender chose the field's name.
			kept[i].Bare, kept[i].Data, kept[i].Detail = true, nil, ""
		}
	}
	err = r.quarantine.store.Put(time.Now(), kept)
	r.tellFull()
	switch {
	case errors.Is(err, ErrQuarantineItem):
		return fmt.Errorf("quarantine: %w", err)
	case errors.Is(err, journal.ErrTooLarge):
		return fmt.Errorf("quarantine: %w: %w", ErrQuarantineItem, err)
	case errors.Is(err, journal.ErrClosed):
		return &UnavailableError{RetryAfter: blockedRetry, Err: ErrClosed}
	case err != nil:
		return &UnavailableError{RetryAfter: blockedRetry, Err: err}
	}
	r.quarantine.count(kept)
	if bare && len(items) > 0 {
		return ErrNotKept
	}
	return nil
}

// quarantineDigest identifies equal input. It is keyed, so that nobody can guess input that was not stored.
func (r *Runtime) quarantineDigest(it *Quarantined) (digest [16]byte) {
	mac := hmac.New(sha256.New, r.tombstoneKey)
	fmt.Fprintf(mac, "quarantine\x00%s\x00%s\x00", it.Reason, it.Provenance.Source)
	if it.Namespace != "" {
		fmt.Fprintf(mac, "in\x00%s\x00", it.Namespace)
	}
	mac.Write(it.Data)
	copy(digest[:], mac.Sum(nil))
	return digest
}

// tellFull logs once when the quarantine becomes full, and once when it has room again.
func (r *Runtime) tellFull() {
	q := &r.quarantine
	u := q.store.Usage()
	q.mu.Lock()
	changed := q.full != u.Full
	q.full = u.Full
	q.mu.Unlock()
	switch {
	case changed && u.Full:
		r.log.Error("the quarantine is full: invalid input is refused, and its sender is asked to retry",
			"items", u.Items, "of", u.MostItems, "bytes", u.Bytes, "of_bytes", u.MostBytes)
	case changed:
		r.log.Info("the quarantine has room again", "items", u.Items, "bytes", u.Bytes)
	}
}

// QuarantineItem is one item in quarantine.
type QuarantineItem struct {
	Number     uint64
	First      time.Time
	Last       time.Time
	Times      uint64 // number of times that this input arrived
	Provenance auditrelay.Provenance
	Namespace  string // the namespace of its events
	Reason     string
	Detail     string
	Bytes      int64  // size of the input
	Digest     string // keyed digest of reason, source and input
	Bare       bool   // only the digest was stored
	Data       []byte // owned by the caller; only from Runtime.QuarantineItem
}

func quarantineItem(it *quarantine.Item) QuarantineItem {
	return QuarantineItem{Number: it.Number, First: it.First, Last: it.Last, Times: it.Times, Provenance: it.Provenance, Namespace: cmp.Or(it.Namespace, auditrelay.NamespaceLiteLLM),
		Reason: it.Reason, Detail: it.Detail, Bytes: it.Size, Digest: hex.EncodeToString(it.Digest[:]), Bare: it.Bare, Data: it.Data}
}

// QuarantineQuery selects items by number above After and, if set, by reason and source.
type QuarantineQuery struct {
	After          uint64
	Reason, Source string
	Limit          int // 0, or more than 10,000, means 10,000
}

const maxQuarantineList = 10_000

// QuarantineItems returns the selected items by number, without Data.
func (r *Runtime) QuarantineItems(_ context.Context, q QuarantineQuery) ([]QuarantineItem, error) {
	if q.Limit <= 0 || q.Limit > maxQuarantineList {
		q.Limit = maxQuarantineList
	}
	found, err := r.quarantine.store.List(q.After, q.Limit, func(it *quarantine.Item) bool {
		return (q.Reason == "" || q.Reason == it.Reason) && (q.Source == "" || q.Source == it.Provenance.Source)
	})
	list := make([]QuarantineItem, len(found))
	for i := range found {
		list[i] = quarantineItem(&found[i])
	}
	return list, err
}

// QuarantineItem returns one item with its Data, or ErrNoQuarantineItem.
func (r *Runtime) QuarantineItem(_ context.Context, number uint64) (QuarantineItem, error) {
	it, err := r.quarantine.store.Get(number)
	return quarantineItem(&it), err
}

// QuarantineStats are figures about the quarantine.
type QuarantineStats struct {
	Items     int
	Bytes     int64
	MostItems int
	MostBytes auditrelay.ByteSize
	// Full: the quarantine rejected an item for lack of space, and has stored or deleted none since.
	Full bool
	// Arrived counts arrivals since start, repeats included.
	Arrived map[QuarantineOrigin]uint64
}

// Shares has the bytes that each sender used of the last quarter of a limited store. Senders beyond the
// first 1000 count under "".
type Shares struct{ Quota, Quarantine map[string]int64 }

// Shares returns the senders' use of the last quarters of Journal.Quota and of the quarantine. It is empty
// while less than three quarters are in use.
func (r *Runtime) Shares() Shares {
	return Shares{Quota: r.share.Taken(), Quarantine: r.quarantine.store.Taken()}
}

// QuarantineStats returns figures about the quarantine.
func (r *Runtime) QuarantineStats() QuarantineStats {
	u := r.quarantine.store.Usage()
	s := QuarantineStats{Items: u.Items, Bytes: u.Bytes, MostItems: u.MostItems, MostBytes: auditrelay.ByteSize(u.MostBytes), Full: u.Full,
		Arrived: map[QuarantineOrigin]uint64{}}
	r.quarantine.mu.Lock()
	defer r.quarantine.mu.Unlock()
	for origin, n := range r.quarantine.arrived {
		s.Arrived[origin] = n
	}
	return s
}

// tableQuarantine is the table_name of own records about the quarantine.
const tableQuarantine = "auditrelay_quarantine"

// quarantineRecord describes an item in own records. It contains none of the item's data.
type quarantineRecord struct {
	Source string    `json:"source"`
	Reason string    `json:"reason"`
	First  time.Time `json:"first"`
	Times  uint64    `json:"times"`
	Bytes  int64     `json:"bytes"`
	Digest string    `json:"hmac_sha256"`
	Bare   bool      `json:"bare,omitempty"`
}

func recordOf(it *quarantine.Item) quarantineRecord {
	return quarantineRecord{Source: it.Provenance.Source, Reason: it.Reason, First: it.First, Times: it.Times, Bytes: it.Size,
		Digest: hex.EncodeToString(it.Digest[:]), Bare: it.Bare}
}

// DeleteQuarantineItem deletes an item permanently. The same write contains an own record; by is its actor.
// Errors: ErrNoQuarantineItem; *NeedsApprovalError; those of Submit.
func (r *Runtime) DeleteQuarantineItem(ctx context.Context, by By, number uint64) error {
	if err := r.AskQuarantineDelete(by, number); err != nil {
		return err
	}
	unlock, err := r.quarantine.store.Lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	r.accepting.RLock()
	defer r.accepting.RUnlock()
	if r.ctx.Err() != nil {
		return ErrClosed
	}
	it, err := r.quarantine.store.Get(number)
	if err != nil {
		return err
	}
	tx := new(journal.Tx)
	r.quarantine.store.Delete(tx, number)
	change := Change{By: by, Act: "delete", Action: auditrelay.ActionDeleted, Table: tableQuarantine, Object: fmt.Sprint(number), Before: recordOf(&it), MakesRoom: true}
	if err := change.append(tx); err != nil {
		return err
	}
	if _, err := r.journal.Commit(tx); err != nil {
		return unavailable(err)
	}
	r.quarantine.store.Deleted(&it)
	r.tellFull()
	return nil
}

// sourceQuarantine is the source of the second provenance of replayed events, in addition to the original
// one.
const sourceQuarantine = "quarantine"

// ReplayQuarantineItem accepts an item as events, with the item's provenance: all of its events or none.
// One write stores the events, deletes the item and records by. If data is not nil, it replaces the stored
// input.
//
// If an event is rejected again, the item stays and the error says why: an *EventError, ErrConflict,
// ErrIngestFilter, or an error of Submit. ErrNotKept: the item has no data and needs a replacement.
// ErrNoQuarantineItem: there is no such item. ErrReplaces: data differs from the stored input, and deleting
// items needs approvals.
func (r *Runtime) ReplayQuarantineItem(ctx context.Context, by By, number uint64, data []byte) ([]Result, error) {
	unlock, err := r.quarantine.store.Lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	it, err := r.quarantine.store.Get(number)
	if err != nil {
		return nil, err
	}
	replaced := data != nil
	if !replaced {
		if it.Bare {
			return nil, fmt.Errorf("item %d stays in quarantine: %w; give a replacement", number, ErrNotKept)
		}
		data = it.Data
	}
	// Other content gives up the stored input, like a deletion.
	digest := r.quarantineDigest(&Quarantined{Data: data, Reason: it.Reason, Provenance: it.Provenance, Namespace: it.Namespace})
	if replaced && digest != it.Digest && r.approves(ActDeleteQuarantine, by) {
		return nil, fmt.Errorf("item %d stays in quarantine: %w", number, ErrReplaces)
	}
	events, err := r.split(data, &it)
	if err != nil {
		return nil, fmt.Errorf("item %d stays in quarantine: %w", number, err)
	}
	results, err := r.submit(ctx, events, true, func(tx *journal.Tx, events []auditrelay.Event) error {
		for _, e := range events { // all are duplicates: only their provenance is stored
			e.Provenance = auditrelay.Provenance{Source: sourceQuarantine, Principal: by.Principal, Address: by.Address}
			tx.Append(e)
		}
		r.quarantine.store.Delete(tx, number)
		after := struct {
			Events   int  `json:"events"`
			Replaced bool `json:"replaced"`
			// Digest is the digest of the replacement, computed like the item's own.
			Digest string `json:"hmac_sha256,omitempty"`
		}{Events: len(events), Replaced: replaced}
		if replaced {
			after.Digest = hex.EncodeToString(digest[:])
		}
		change := Change{By: by, Act: "replay", Action: auditrelay.ActionUnblocked, Table: tableQuarantine, Object: fmt.Sprint(number), Before: recordOf(&it), After: after}
		return change.append(tx)
	})
	if err != nil {
		return nil, err
	}
	for i := range results {
		if err := results[i].Err; err != nil {
			return results, fmt.Errorf("item %d stays in quarantine: %w", number, err)
		}
	}
	r.quarantine.store.Deleted(&it)
	r.tellFull()
	return results, nil
}

// split parses the events of a body.
func (r *Runtime) split(body []byte, of *quarantine.Item) ([]Submission, error) {
	limits := r.limits
	limits.BodyBytes = int64(len(body)) + 1
	var events []Submission
	schema := r.schemaOf(of.Provenance)
	if schema.Unwraps() {
		limits.EventBytes = limits.BodyBytes
	}
	reader := ingest.NewReader(bytes.NewReader(body), "", "", limits)
	for {
		raw, err := reader.Next()
		switch {
		case err == io.EOF && len(events) == 0:
			return nil, &EventError{Kind: ingest.Unframeable, Reason: ingest.NoEvents, Message: "there is no event", Offset: -1}
		case err == io.EOF:
			return events, nil
		case err != nil:
			return nil, err
		}
		wrapped, err := schema.Unwrap(raw.Data, limits.Events-len(events))
		if err != nil {
			return nil, err
		}
		for _, data := range wrapped {
			events = append(events, Submission{Data: bytes.Clone(data), Provenance: of.Provenance, Namespace: of.Namespace, Schema: schema})
		}
	}
}
