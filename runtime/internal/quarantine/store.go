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

// Options bound a Store.
type Options struct {
	Bytes     int64 // of all items, as stored; default 256 MiB
	Items     int   // default 100,000
	ItemBytes int64 // of one item's data; default 16 MiB, at most 128 MiB
}

const (
	defaultBytes     = 256 << 20
	defaultItems     = 100_000
	defaultItemBytes = 16 << 20
	maxItemBytes     = 128 << 20 // a transaction holds 256 MiB
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

// ErrTooLarge is returned by Put for an item whose data exceeds Options.ItemBytes.
var ErrTooLarge = errors.New("larger than one item in quarantine may be")

// ErrNoItem: there is no item of this number.
var ErrNoItem = errors.New("no such item in quarantine")

// FullError: there is no room for what was to be kept.
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

// Store is the quarantine of one journal. Its changes are made one at a time, each
// durable before the next; reading goes on beside them. It is safe for concurrent
// use.
type Store struct {
	journal *journal.Journal
	options Options

	changing chan struct{} // holds one token: whoever has it may change
	next     uint64        // guarded by changing, like what follows
	known    map[[16]byte]uint64
	total    int64

	itemShares, byteShares shares.Last // of senders

	items, bytes atomic.Int64 // for readers
	full         atomic.Bool
}

// Open reads what is in the quarantine of j.
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

// publish lets readers see the totals.
func (s *Store) publish() {
	s.items.Store(int64(len(s.known)))
	s.bytes.Store(s.total)
}

// Usage is how much is in quarantine. Full: something found no room since anything
// was last taken in or away.
type Usage struct {
	Items     int
	Bytes     int64
	MostItems int
	MostBytes int64
	Full      bool
}

// Usage returns how much there is.
func (s *Store) Usage() Usage {
	return Usage{Items: int(s.items.Load()), Bytes: s.bytes.Load(), MostItems: s.options.Items, MostBytes: s.options.Bytes, Full: s.full.Load()}
}

// Lock keeps others from changing the store until unlock is called. It waits for
// them, or returns ctx's error.
func (s *Store) Lock(ctx context.Context) (unlock func(), err error) {
	select {
	case <-s.changing:
		return func() { s.changing <- struct{}{} }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Put keeps items, all or none; when it returns nil they are durable. What is there
// already, by digest, is counted and not kept twice. The caller holds Lock, has set
// what the items say of themselves, and must not change their Data until Put returns;
// Number, times and counts are Put's.
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

// within reports whether a sender may add so much, and notes it.
func (s *Store) within(from auditrelay.Provenance, items int, bytes int64) bool {
	who := cmp.Or(from.Principal, from.Source)
	return s.itemShares.Take(who, int64(items), int64(len(s.known)), int64(s.options.Items)) &&
		s.byteShares.Take(who, bytes, s.total, s.options.Bytes)
}

// Taken returns which sender took how many bytes of the last quarter.
func (s *Store) Taken() map[string]int64 { return s.byteShares.Taken() }

func (s *Store) again(number uint64) (again, error) {
	key := journal.QuarantineKey(whatAgain, number)
	value, ok, err := s.journal.Get(key)
	if err != nil || !ok {
		return again{}, err
	}
	return decodeAgain(key, value)
}

// Delete has tx take an item away; once tx is committed Deleted has to be called. The
// caller holds Lock.
func (s *Store) Delete(tx *journal.Tx, number uint64) {
	tx.Delete(journal.QuarantineKey(whatItem, number))
	tx.Delete(journal.QuarantineKey(whatAgain, number))
}

// Deleted notes that an item, as Get gave it, is gone.
func (s *Store) Deleted(it *Item) {
	if s.known[it.Digest] != it.Number {
		return
	}
	delete(s.known, it.Digest)
	s.total -= int64(it.stored)
	s.full.Store(false)
	s.publish()
}

// Get returns one item, its Data included.
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

// List returns the items above after for which match is true, without their Data, at
// most limit.
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

// scan calls fn for the items above after; their Data is valid in fn only.
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
