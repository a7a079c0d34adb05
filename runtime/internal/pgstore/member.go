package pgstore

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"auditrelay/runtime/internal/journal"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// View is the last state of a fleet that one of its relays saw.
type View struct {
	Relays []Relay
	Leader *Relay // one of Relays; nil if no relay has the lease
	Secret string // known to everyone who can read the tables
	Epoch  int64
	Err    error // why the view is not newer; nil if there is no error
}

// Member is one relay of a fleet. It proves that it is alive, observes the other relays, and
// waits for the journal. It is safe for concurrent use.
type Member struct {
	s        *Store // configured but not open
	instance string
	me       Relay

	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup
	heard  map[string]sign // last sign of each relay, by instance; only for run
	told   time.Time       // when a failure to read the fleet was last logged; zero while it can be read; only for run

	mu      sync.Mutex
	view    View
	lease   leaseState
	still   time.Time // since when the lease has not changed, by this process's clock
	server  time.Time // start time of the server that showed the lease; it distinguishes servers
	absent  bool      // the tables do not exist yet
	joined  bool
	changed chan struct{} // closed and replaced with each view
	lock    *pgx.Conn     // from Await to Open
	taken   leaseState    // the free lease that Await found
	leads   bool
	yield   chan struct{} // closed when the leader must give the lease up
	yielded bool
}

// sign is a relay's last sign of life.
type sign struct {
	seen time.Time // by the server's clock, which may be set; used only to distinguish signs
	at   time.Time // by this process's clock
}

// aliveFor is how long a relay counts as alive after its last sign.
const aliveFor = 5 * time.Second

const (
	defaultFleetLock = 5 * time.Second
	recently         = "seen BETWEEN now() - interval '5 seconds' AND now() + interval '5 seconds'" // as far as the server's clock is right
	failedFor        = "interval '10 minutes'"
	keptFor          = "interval '1 day'"
)

// errNoFleet: no relay has opened the journal yet.
var errNoFleet = errors.New("the fleet's tables are not there yet")

// Join adds this process to the fleet of o, that is, all relays on one schema that call Join.
// It returns at once. Close leaves the fleet. me must have name, address, version and digest.
func Join(o Options, me Relay) (*Member, error) {
	o.Lock = cmp.Or(o.Lock, defaultFleetLock)
	o = o.withDefaults()
	s := &Store{options: o}
	if err := s.configure(); err != nil {
		return nil, fmt.Errorf("journal.postgres.url: %w", err)
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	me.Instance = rand.Text()
	m := &Member{s: s, instance: me.Instance, me: me, heard: map[string]sign{}, changed: make(chan struct{}), yield: make(chan struct{}), still: time.Now()}
	m.view.Err = errNoFleet
	m.ctx, m.cancel = s.ctx, s.cancel
	m.work.Go(m.run)
	return m, nil
}

// Instance returns the name of this process in View.
func (m *Member) Instance() string { return m.instance }

// View returns the last seen state of the fleet.
func (m *Member) View() View {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.view
}

// Changed returns a channel that is closed when View returns a newer state.
func (m *Member) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

// Yield returns a channel that is closed when this relay, which leads, must give the lease up
// for another relay. Retire replaces the channel.
func (m *Member) Yield() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.yield
}

// Retire says that this relay has closed the journal and may wait for it again.
func (m *Member) Retire() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.yielded {
		m.yield = make(chan struct{})
	}
	m.leads, m.yielded = false, false
}

// awaited returns the lease that Await found.
func (m *Member) awaited() leaseState {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.taken
}

// Close leaves the fleet.
func (m *Member) Close() error {
	m.cancel()
	m.work.Wait()
	m.mu.Lock()
	lock := m.lock
	m.lock = nil
	m.mu.Unlock()
	if lock != nil {
		closeConn(lock)
	}
	return nil
}

// every returns how often a relay reads the fleet's state.
func (m *Member) every() time.Duration { return min(m.s.options.Lock/10, time.Second) }

// run proves regularly that this relay is alive, and reads the other relays' signs.
func (m *Member) run() {
	var db *pgx.Conn
	defer func() {
		if db != nil {
			m.leave(db)
			closeConn(db)
		}
	}()
	for m.ctx.Err() == nil {
		ctx, cancel := context.WithTimeout(m.ctx, m.s.options.Lock/2)
		var err error
		if db == nil {
			db, err = m.session(ctx)
		}
		if err == nil {
			err = m.look(ctx, db)
		}
		cancel()
		if err != nil {
			if db != nil && !missingTable(err) {
				closeConn(db)
				db = nil
			}
			m.failed(err)
		}
		m.tell(err)
		m.s.sleep(m.every())
	}
}

// tellAgain is how often a lasting failure to read the fleet is logged.
const tellAgain = time.Minute

// tell logs that the fleet cannot be read, and that it can be read again.
func (m *Member) tell(err error) {
	switch {
	case m.ctx.Err() != nil, missingTable(err):
	case err == nil && !m.told.IsZero():
		m.told = time.Time{}
		m.s.options.Logger.Info("journal: the fleet can be read again", "server", m.s.place())
	case err != nil && time.Since(m.told) >= tellAgain:
		m.told = time.Now()
		m.s.options.Logger.Warn("journal: the fleet cannot be read; until it can, this relay neither takes the lead nor knows who has it", "server", m.s.place(), "error", explain(err).Error())
	}
}

func (m *Member) session(ctx context.Context) (*pgx.Conn, error) {
	db, err := m.s.connect(ctx, "fleet")
	if err != nil {
		return nil, err
	}
	// The row of a relay's sign need not reach a standby, since nothing depends on it.
	if _, err := db.Exec(ctx, "SET synchronous_commit = off"); err != nil {
		closeConn(db)
		return nil, err
	}
	return db, nil
}

// failed records that the fleet cannot be read. Until it can, this relay does not take the
// lease.
func (m *Member) failed(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.absent = missingTable(err)
	m.view.Err, m.joined = explain(err), false
	if m.absent {
		m.view, m.lease, m.server = View{Err: errNoFleet}, leaseState{}, time.Time{}
	}
	m.publish()
}

// publish must be called with mu held.
func (m *Member) publish() {
	close(m.changed)
	m.changed = make(chan struct{})
}

func missingTable(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (e.Code == "42P01" || e.Code == "3F000")
}

// look writes this relay's sign and reads the fleet.
func (m *Member) look(ctx context.Context, db *pgx.Conn) error {
	if err := m.show(ctx, db); err != nil {
		return err
	}
	var v View
	var lease leaseState
	var holder string
	var server time.Time
	err := db.QueryRow(ctx, "SELECT epoch, beat, released, holder, secret, pg_postmaster_start_time() FROM "+m.s.names.lease).
		Scan(&lease.Epoch, &lease.Beat, &lease.Released, &holder, &v.Secret, &server)
	if err != nil {
		return err
	}
	v.Epoch = lease.Epoch
	var now time.Time
	if v.Relays, now, err = m.read(ctx, db); err != nil {
		return err
	}
	for i := range v.Relays {
		if r := &v.Relays[i]; r.Instance == holder && !lease.Released {
			r.Leads, v.Leader = true, r
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if lease != m.lease || !server.Equal(m.server) {
		// Measured from after the read, since the renewal was sent earlier. Another server,
		// such as a promoted standby, may lack a renewal that its holder relies on. The same
		// server has had no other renewal, even if it could not be read for a while.
		m.lease, m.server, m.still = lease, server, time.Now()
	}
	m.joined, m.absent, m.view = true, false, v
	if m.leads && !m.yielded && shouldYield(v.Relays, m.instance, now) {
		m.yielded = true
		close(m.yield)
	}
	m.publish()
	return nil
}

// show writes this relay's row.
func (m *Member) show(ctx context.Context, db *pgx.Conn) error {
	m.mu.Lock()
	me := m.me
	m.mu.Unlock()
	tag, err := db.Exec(ctx, "UPDATE "+m.s.names.relays+" SET seen = now(), gone = false WHERE instance = $1 AND digest = $2", m.instance, me.Digest)
	if err != nil || tag.RowsAffected() > 0 {
		return err
	}
	b := &pgx.Batch{}
	b.Queue("DELETE FROM " + m.s.names.relays + " WHERE seen < now() - " + keptFor)
	b.Queue("INSERT INTO "+m.s.names.relays+` AS r (instance, name, address, version, digest, since, joined, seen, gone, drained, failure)
		SELECT $1, $2, $3, $4, $5, coalesce((SELECT min(since) FROM `+m.s.names.relays+" WHERE digest = $5 AND NOT gone AND "+recently+`), now()), now(), now(), false, false, ''
		ON CONFLICT (instance) DO UPDATE SET digest = excluded.digest, since = excluded.since, seen = now()`, m.instance, me.Name, me.Address, me.Version, me.Digest)
	return db.SendBatch(ctx, b).Close()
}

func (m *Member) read(ctx context.Context, db *pgx.Conn) (all []Relay, now time.Time, err error) {
	rows, err := db.Query(ctx, "SELECT instance, name, address, version, digest, since, joined, extract(epoch FROM now() - seen)::float8, gone, drained, coalesce(failed > now() - "+failedFor+
		", false), failure, seen, now() FROM "+m.s.names.relays+" ORDER BY name, joined")
	if err != nil {
		return nil, now, err
	}
	defer rows.Close()
	for rows.Next() {
		var r Relay
		var seconds float64
		var seen time.Time
		if err := rows.Scan(&r.Instance, &r.Name, &r.Address, &r.Version, &r.Digest, &r.Since, &r.Joined, &seconds, &r.Gone, &r.Drained, &r.Failed, &r.Failure, &seen, &now); err != nil {
			return nil, now, err
		}
		r.Seen = time.Duration(seconds * float64(time.Second))
		r.Alive = m.hear(r.Instance, seen, r.Seen) && !r.Gone
		all = append(all, r)
	}
	maps.DeleteFunc(m.heard, func(instance string, _ sign) bool {
		return !slices.ContainsFunc(all, func(r Relay) bool { return r.Instance == instance })
	})
	return all, now, rows.Err()
}

// hear records a relay's last sign and reports whether the relay is alive. It uses this
// process's clock: the server's clock may be set, and a dead relay's last sign may be in the
// server's future. Only the first sign that this process sees may be as old as ago, its age on
// the server.
func (m *Member) hear(instance string, seen time.Time, ago time.Duration) bool {
	last, known := m.heard[instance]
	switch {
	case !known:
		last = sign{seen, time.Now().Add(-ago.Abs())}
	case !seen.Equal(last.seen):
		last = sign{seen, time.Now()}
	}
	m.heard[instance] = last
	return time.Since(last.at) < aliveFor
}

// leave writes that this relay is gone.
func (m *Member) leave(db *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, _ = db.Exec(ctx, "UPDATE "+m.s.names.relays+" SET gone = true WHERE instance = $1", m.instance) // otherwise its missing signs show it soon
}

// exec runs one statement about the fleet in a separate session.
func (m *Member) exec(ctx context.Context, sql string, args ...any) (changed int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, m.s.options.Lock)
	defer cancel()
	db, err := m.s.connect(ctx, "fleet")
	if err != nil {
		return 0, explain(err)
	}
	defer closeConn(db)
	tag, err := db.Exec(ctx, sql, args...)
	return tag.RowsAffected(), explain(err)
}

// Drain tells the relays with a name to give the lease up, and to take it again only if no
// other relay can. With undo, they may take it again. It returns the number of relays.
func (m *Member) Drain(ctx context.Context, name string, undo bool) (int64, error) {
	n, err := m.exec(ctx, "UPDATE "+m.s.names.relays+" SET drained = $2 WHERE name = $1 AND NOT gone AND "+recently, name, !undo)
	if err != nil {
		return 0, fmt.Errorf("drain relay %s: %w", name, err)
	}
	return n, nil
}

// Fail records that this relay cannot open the journal with its configuration. For ten minutes
// relays with another configuration have priority.
func (m *Member) Fail(ctx context.Context, cause error) error {
	_, err := m.exec(ctx, "UPDATE "+m.s.names.relays+" SET failed = now(), gone = true, failure = left($2, 500) WHERE instance = $1", m.instance, cause.Error())
	return err
}

// SetDigest changes the digest of this relay's configuration.
func (m *Member) SetDigest(digest string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.me.Digest = digest
}

// Others reports whether another living relay could take the lease.
func (m *Member) Others() bool {
	v := m.View()
	for _, k := range v.Relays {
		if k.Alive && k.Instance != m.instance && ranks(v.Relays)[k.Instance].usable > 0 {
			return true
		}
	}
	return false
}

// Await returns when this relay may take the journal with Open. The holder has then given it
// up, or has not renewed its lease for Options.Lock by this process's clock.
func (m *Member) Await(ctx context.Context) error {
	for {
		m.mu.Lock()
		changed, free, lease := m.changed, m.free(), m.lease
		m.mu.Unlock()
		if free {
			got, err := m.tryLock(ctx, lease)
			if err != nil {
				m.s.options.Logger.Warn("journal: cannot take the free lease", "server", m.s.place(), "error", explain(err).Error())
			}
			if got {
				return nil
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// free reports whether this relay may take the lease. The caller must hold mu.
func (m *Member) free() bool {
	switch {
	case m.absent:
		return true
	case !m.joined || !mayLead(m.view.Relays, m.instance):
		return false
	}
	return m.lease.Released || time.Since(m.still) >= m.s.options.Lock
}

// tryLock takes the journal's lock, which is free if the last holder's session is over.
func (m *Member) tryLock(ctx context.Context, lease leaseState) (bool, error) {
	lock, err := m.s.lockSession(ctx)
	if err != nil {
		return false, err
	}
	got, err := m.s.tryLock(ctx, lock)
	if got && err == nil {
		_, err = lock.Exec(ctx, fmt.Sprintf("SET idle_session_timeout = %d", openWithin.Milliseconds()))
	}
	if err != nil || !got {
		closeConn(lock)
		return false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lock, m.taken = lock, lease
	return true, nil
}

// openWithin is the maximum time between Await and Open.
const openWithin = 30 * time.Second

// takeLock passes the lock of Await to Open.
func (m *Member) takeLock(ctx context.Context) (*pgx.Conn, error) {
	m.mu.Lock()
	lock := m.lock
	m.lock, m.leads = nil, true
	m.mu.Unlock()
	if lock == nil {
		return nil, fmt.Errorf("%w: this relay has not waited for it", journal.ErrLocked)
	}
	if _, err := lock.Exec(ctx, fmt.Sprintf("SET idle_session_timeout = %d", m.s.options.Lock.Milliseconds())); err != nil {
		closeConn(lock)
		return nil, fmt.Errorf("%w: the session that waited for it is over: %w", journal.ErrLocked, explain(err))
	}
	return lock, nil
}
