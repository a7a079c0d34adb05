package pgstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"auditrelay"
	"auditrelay/runtime/internal/journal"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Options say where the journal is. URL is required.
type Options struct {
	// URL is the connection string of the server itself, since a pooler cannot hold a lock.
	// With several hosts add target_session_attrs=read-write.
	URL auditrelay.Secret
	// Schema is the schema for the tables. It must contain nothing else. Open creates it if it
	// is missing and the role may do so. Default: auditrelay.
	Schema string
	// Logger receives warnings; nil discards them.
	Logger *slog.Logger
	// Lock is how long a relay that stopped responding keeps the journal. It proves five times
	// as often that it is alive. Default: 15 s.
	Lock time.Duration
	// LockWait is how long Open waits for another relay to release the journal. Default: Lock
	// and 5 s.
	LockWait time.Duration
	// Wait is how long a commit or a read waits for a server that is gone, restarts or fails
	// over. Then it fails. Default: 60 s.
	Wait time.Duration
	// Attempt is the maximum duration of one attempt of a commit or a read. Default: 30 s.
	Attempt time.Duration
	// PartBytes is the size at which a new partition starts. Default: 1 GiB.
	PartBytes int

	// Member has waited for the journal (Member.Await) as one relay of a fleet. Nil: the relay
	// is alone, and Open waits.
	Member *Member

	// UnsafeNoSync and UnsafeNoFence remove guarantees of the store. They are only for tests
	// that show that they detect the loss.
	UnsafeNoSync, UnsafeNoFence bool

	leastVersion int // for tests; in the form of server_version_num
}

const (
	// DefaultSchema is the default of Options.Schema.
	DefaultSchema = "auditrelay"

	defaultLock    = 15 * time.Second
	defaultWait    = time.Minute
	defaultAttempt = 30 * time.Second
	defaultPart    = 1 << 30
)

func (o Options) withDefaults() Options {
	o.Schema = cmp.Or(o.Schema, DefaultSchema)
	o.Lock = cmp.Or(o.Lock, defaultLock)
	o.LockWait = cmp.Or(o.LockWait, o.Lock+5*time.Second)
	o.Wait = cmp.Or(o.Wait, defaultWait)
	o.Attempt = cmp.Or(o.Attempt, defaultAttempt)
	o.PartBytes = cmp.Or(o.PartBytes, defaultPart)
	o.leastVersion = cmp.Or(o.leastVersion, leastVersion)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Store is an open store. It implements journal.Shared.
type Store struct {
	options Options
	config  *pgx.ConnConfig
	names   names
	pool    *pgxpool.Pool // for readers

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	work   sync.WaitGroup

	// Used only by the writer, since Commit is called from one goroutine at a time.
	conn    *pgx.Conn // nil if it must be opened
	pid     uint32    // process of conn's last session, which may still run
	commits int64
	partAt  int // bytes written to the newest partition
	trimmed int64

	epoch  int64
	held   holding
	lost   atomic.Pointer[error]     // why the store can never commit again
	absent atomic.Pointer[time.Time] // when the server was first found gone; nil if it is available

	parts  parts
	frames frames
	size   size
}

var _ journal.Shared = (*Store)(nil)

// ErrFenced: another relay has the journal now.
var ErrFenced = errors.New("another relay has taken the journal over")

// Open takes over the journal in a schema and creates its tables if there are none. ctx limits
// only Open.
//
// Errors: journal.ErrLocked if another relay has it; journal.ErrFormat if a newer program
// created it; an error about the server, its settings or rights. No error contains the
// password.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Member != nil {
		o.Lock = o.Member.s.options.Lock
	}
	o = o.withDefaults()
	s := &Store{options: o}
	if err := s.configure(); err != nil {
		return nil, fmt.Errorf("journal.postgres.url: %w", err)
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("journal on Postgres, %s: %w", s.place(), err), s.Close())
	}
	return s, nil
}

func (s *Store) open(ctx context.Context) error {
	lock, err := s.takeLock(ctx)
	if err != nil {
		return err
	}
	if err := s.prepare(ctx, lock); err != nil {
		closeConn(lock)
		return err
	}
	s.work.Go(func() { s.keepLock(lock) })
	if s.pool, err = s.openPool(); err != nil {
		return err
	}
	if err := s.load(ctx); err != nil {
		return explain(err)
	}
	s.work.Go(s.measure)
	return nil
}

// load reads the journal's progress.
func (s *Store) load(ctx context.Context) error {
	err := s.pool.QueryRow(ctx, "SELECT commits, events_from, index_from FROM "+s.names.journal).
		Scan(&s.commits, &s.frames.eventsFrom, &s.frames.indexFrom)
	if err != nil {
		return err
	}
	s.trimmed = s.frames.eventsFrom
	return s.loadParts(ctx)
}

// Close releases the journal. Running work fails.
func (s *Store) Close() error {
	s.cancel()
	s.work.Wait()
	if s.conn != nil {
		closeConn(s.conn)
		s.conn = nil
	}
	s.release()
	if s.pool != nil {
		s.pool.Close()
	}
	return nil
}

// Err returns why the store accepts nothing: another relay took it over, or the server has been
// gone for a second.
func (s *Store) Err() error {
	if err := s.lost.Load(); err != nil {
		return fmt.Errorf("%w %w", journal.ErrFailed, *err)
	}
	if since := s.absent.Load(); since != nil && time.Since(*since) > time.Second {
		return fmt.Errorf("the journal's server, %s, takes no commit", s.place())
	}
	return nil
}

// lose ends all writing permanently.
func (s *Store) lose(err error) error {
	err = fmt.Errorf("on Postgres, %s: %w", s.place(), err)
	s.lost.CompareAndSwap(nil, &err)
	return *s.lost.Load()
}

// there records whether the server accepted a commit.
func (s *Store) there(failed error) {
	now := time.Now() // monotonic, since the wall clock may be set
	if failed == nil {
		if since := s.absent.Swap(nil); since != nil {
			s.options.Logger.Info("journal: the server takes commits again", "server", s.place(), "after", now.Sub(*since).Round(time.Millisecond))
		}
	} else if s.absent.CompareAndSwap(nil, &now) {
		s.options.Logger.Warn("journal: the server takes no commit; everything waits for it", "server", s.place(), "at_most", s.options.Wait, "error", explain(failed).Error())
	}
}

// size is the size of the schema.
type size struct {
	measured, since atomic.Int64
}

const measureEvery = 10 * time.Second

// Size implements journal.Store. It returns a measurement of the last ten seconds and the bytes
// written since.
func (s *Store) Size() (used, owed int64) { return s.size.measured.Load() + s.size.since.Load(), 0 }

func (s *Store) measure() {
	tick := time.NewTicker(measureEvery)
	defer tick.Stop()
	for {
		var n int64
		err := s.pool.QueryRow(s.ctx, "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class WHERE relnamespace = $1::text::regnamespace AND relkind = 'r'",
			s.names.schema).Scan(&n)
		if err == nil {
			s.size.since.Store(0)
			s.size.measured.Store(n)
		}
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		}
	}
}
