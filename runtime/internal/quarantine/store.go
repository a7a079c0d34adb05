package quarantine

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"auditrelay"
	"auditrelay/runtime/internal/journal"
	"auditrelay/runtime/internal/shares"
)

// Options limit a Store.
type Options struct {
	Bytes     int64 // all items as stored; default 256 MiB
	Items     int   // default 100,000
	ItemBytes int64 // data of one item; default 16 MiB, at most 128 MiB
}

const (
	defaultBytes     = 256 << 20
	defaultItems     = 100_000
	defaultItemBytes = 16 << 20
	maxItemBytes     = 128 << 20 // the limit of a transaction is 256 MiB
)

func (o Options) withDefaults() Options {
	if o.Bytes <= 0 {
		o.Bytes = defaultBytes
	}
	if o.Items <= 0 {
		o.Items = defaultItems
	}
	if o.ItemBytes <= 0 {
		o.ItemBytes = defaultItemBytes
	}
	o.ItemBytes = min(o.ItemBytes, maxItemBytes)
	return o
}

// ErrTooLarge: Put got an item whose data exceeds Options.ItemBytes.
var ErrTooLarge = errors.New("larger than one item in quarantine may be")

// ErrNoItem: no item has this number.
var ErrNoItem = errors.New("no such item in quarantine")

// FullError: there is no room for the items.
type FullError struct {
	Items, MostItems int
	Bytes, MostBytes int64
	Share            bool // only the sender's share is used up
}

func (e *FullError) Error() string {
	if e.Share {
		return fmt.Sprintf("the sender has its share of the last quarter of the quarantine: %d of %d items, %v of %v are in use; replay or delete items, or raise ingest.quarantine",
			e.Items, e.MostItems, auditrelay.ByteSize(e.Bytes), auditrelay.ByteSize(e.MostBytes))
	}
	return fmt.Sprintf("the quarantine is full: %d of %d items, %v of %v; auditrelay quarantine list shows it; replay or delete items, or raise ingest.quarantine",
		e.Items, e.MostItems, auditrelay.ByteSize(e.Bytes), auditrelay.ByteSize(e.MostBytes))
}

// Store is the quarantine of one journal. Its changes are made one at a time, and each is
// durable before the next. Reads run in parallel. It is safe for concurrent use.
type Store struct {
	journal *journal.Journal
	options Options

	changing chan struct{} // contains one token; its holder may change the store
	next     uint64        // guarded by changing, like the next fields
	known    map[[16]byte]uint64
	total    int64

	itemShares, byteShares shares.Last // the senders' shares

	items, bytes atomic.Int64 // for readers
	full         atomic.Bool
}

// Open reads the quarantine of j.
func Open(j *journal.Journal, o Options) (*Store, error) {
	s := &Store{journal: j, options: o.withDefaults(), changing: make(chan struct{}, 1), next: 1, known: map[[16]byte]uint64{}}
	value, ok, err := j.Get(headKey())
	if err == nil && ok {
		s.next, err = decodeHead(value)
	}
	if err != nil {
		return nil, fmt.Errorf("open the quarantine: %w", err)
	}
	err = s.scan(0, func(it *Item) error {
		s.known[it.Digest] = it.Number
		s.total += int64(it.stored)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("open the quarantine: %w", err)
	}
	s.publish()
	s.changing <- struct{}{}
	return s, nil
}

func headKey() journal.Key { return journal.QuarantineKey(whatHead, 0) }

func headRecord(next uint64) []byte {
	b := binary.AppendUvarint(make([]byte, 4, 16), next)
	binary.BigEndian.PutUint32(b, sum(headKey(), b[4:]))
	return b
}

func decodeHead(value []byte) (uint64, error) {
	if len(value) < 5 || binary.BigEndian.Uint32(value) != sum(headKey(), value[4:]) {
		return 0, fmt.Errorf("its head is damaged: %w", journal.ErrCorrupt)
	}
	r := reader{b: value[4:]}
	return r.uvarint(), nil
}

// publish makes the totals visible to readers.
func (s *Store) publish() {
	s.items.Store(int64(len(s.known)))
	s.bytes.Store(s.total)
}

// Usage is the size of the quarantine. Full: an item had no room, and nothing was stored or
// removed since.
type Usage struct {
	Items     int
	Bytes     int64
	MostItems int
	MostBytes int64
	Full      bool
}

// Usage returns the size of the quarantine.
func (s *Store) Usage() Usage {
	return Usage{Items: int(s.items.Load()), Bytes: s.bytes.Load(), MostItems: s.options.Items, MostBytes: s.options.Bytes, Full: s.full.Load()}
}

// Lock prevents changes by others until the caller calls unlock. It waits for a running change,
// or returns ctx's error if ctx ends first.
func (s *Store) Lock(ctx context.Context) (unlock func(), err error) {
	select {
	case <-s.changing:
		return func() { s.changing <- struct{}{} }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Put stores all items or none. When it returns nil, they are durable. An item that is already
// stored, by digest, is counted but not stored again. The caller must hold Lock. It sets the
// items' own fields, and must not change Data until Put returns. Put sets Number, times and
// counts.
//
// Errors: *FullError, ErrTooLarge, or the journal's.
func (s *Store) Put(now time.Time, items []Item) error {
	tx := new(journal.Tx)
	tx.FromOutside()
	next, total := s.next, s.total
	added := map[[16]byte]uint64{}
	repeats := map[uint64]uint64{}
	for i := range items {
		it := &items[i]
		if int64(len(it.Data)) > s.options.ItemBytes {
			return fmt.Errorf("%w: %d bytes, at most %v", ErrTooLarge, len(it.Data), auditrelay.ByteSize(s.options.ItemBytes))
		}
		number, ok := s.known[it.Digest]
		if !ok {
			number, ok = added[it.Digest]
		}
		if ok {
			repeats[number]++
			continue
		}
		it.Number, it.First = next, now
		key := journal.QuarantineKey(whatItem, next)
		value := seal(key, it)
		if total += int64(len(value)); total > s.options.Bytes || len(s.known)+len(added)+1 > s.options.Items {
			s.full.Store(true)
			return &FullError{Items: len(s.known), MostItems: s.options.Items, Bytes: s.total, MostBytes: s.options.Bytes}
		}
		tx.SetNow(key, value)
		added[it.Digest] = next
		next++
	}
	for number, n := range repeats {
		key := journal.QuarantineKey(whatAgain, number)
		before, err := s.again(number)
		if err != nil {
			return err
		}
		tx.Set(key, again{times: before.times + n, last: now}.record(key))
	}
	if len(added) > 0 {
		tx.Set(headKey(), headRecord(next))
	}
	if tx.Empty() {
		return nil
	}
	if len(added) > 0 && !s.within(items[0].Provenance, len(added), total-s.total) {
		return &FullError{Items: len(s.known), MostItems: s.options.Items, Bytes: s.total, MostBytes: s.options.Bytes, Share: true}
	}
	if _, err := s.journal.Commit(tx); err != nil {
		return err
	}
	for digest, number := range added {
		s.known[digest] = number
	}
	s.next, s.total = next, total
	if len(added) > 0 {
		s.full.Store(false)
	}
	s.publish()
	return nil
}

// within reports whether a sender may add so much, and counts it.
func (s *Store) within(from auditrelay.Provenance, items int, bytes int64) bool {
	who := cmp.Or(from.Principal, from.Source)
	return s.itemShares.Take(who, int64(items), int64(len(s.known)), int64(s.options.Items)) &&
		s.byteShares.Take(who, bytes, s.total, s.options.Bytes)
}

// Taken returns the bytes that each sender used of the last quarter.
func (s *Store) Taken() map[string]int64 { return s.byteShares.Taken() }

func (s *Store) again(number uint64) (again, error) {
	key := journal.QuarantineKey(whatAgain, number)
	value, ok, err := s.journal.Get(key)
	if err != nil || !ok {
		return again{}, err
	}
	return decodeAgain(key, value)
}

// Delete deletes an item in tx. Call Deleted once tx is committed. The caller must hold Lock.
func (s *Store) Delete(tx *journal.Tx, number uint64) {
	tx.Delete(journal.QuarantineKey(whatItem, number))
	tx.Delete(journal.QuarantineKey(whatAgain, number))
}

// Deleted records that an item, as Get returned it, is deleted.
func (s *Store) Deleted(it *Item) {
	if s.known[it.Digest] != it.Number {
		return
	}
	delete(s.known, it.Digest)
	s.total -= int64(it.stored)
	s.full.Store(false)
	s.publish()
}

// Get returns one item with its Data.
func (s *Store) Get(number uint64) (Item, error) {
	key := journal.QuarantineKey(whatItem, number)
	value, ok, err := s.journal.Get(key)
	if err == nil && !ok {
		err = fmt.Errorf("item %d: %w", number, ErrNoItem)
	}
	if err != nil {
		return Item{}, err
	}
	it, err := open(key, value)
	if err != nil {
		return Item{}, err
	}
	return it, s.addTimes(&it)
}

func (s *Store) addTimes(it *Item) error {
	more, err := s.again(it.Number)
	if err == nil && more.times > 0 {
		it.Times += more.times
		it.Last = more.last
	}
	return err
}

var errStop = errors.New("stop")

// List returns at most limit items above after for which match is true, without their Data.
func (s *Store) List(after uint64, limit int, match func(*Item) bool) ([]Item, error) {
	var list []Item
	err := s.scan(after, func(it *Item) error {
		if len(list) == limit {
			return errStop
		}
		if it.Data = nil; !match(it) {
			return nil
		}
		list = append(list, *it)
		return s.addTimes(&list[len(list)-1])
	})
	if err == errStop {
		err = nil
	}
	return list, err
}

// scan calls fn for the items above after. Their Data is valid only during fn.
func (s *Store) scan(after uint64, fn func(it *Item) error) error {
	if after == ^uint64(0) {
		return nil
	}
	from, to := journal.AllOf(journal.KindQuarantine, whatItem, after+1)
	return s.journal.Scan(from, to, func(k journal.Key, v []byte) error {
		it, err := open(k, v)
		if err != nil {
			return err
		}
		return fn(&it)
	})
}
