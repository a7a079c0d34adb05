package runtime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"auditrelay/runtime/internal/journal"
	"auditrelay/runtime/internal/pgstore"
)

// Fleet is this process as one of several relays on one journal on Postgres. One of them
// leads: it has the journal, and with it every callback. The others wait for its lease.
// Await returns when this one may lead; then give the Fleet to Open in
// JournalOptions.Postgres. It is safe for concurrent use.
type Fleet struct {
	*fleetMember
	store *pgstore.Store // of the open journal; Open sets it
}

// fleetMember hides the exported name of what Fleet embeds.
type fleetMember = pgstore.Member

// FleetRelay is one relay of a fleet, FleetView all of them as one relay last saw them.
type (
	FleetRelay = pgstore.Relay
	FleetView  = pgstore.View
)

// JoinFleet makes this process a relay of the fleet on the schema of o.Postgres. It returns
// at once; Close leaves. me has name, address, version and the digest of the configuration.
func JoinFleet(o JournalOptions, me FleetRelay, log *slog.Logger) (*Fleet, error) {
	p := o.Postgres
	m, err := pgstore.Join(pgstore.Options{URL: p.URL, Schema: p.Schema, Lock: p.Takeover, Logger: log,
		UnsafeNoSync: o.UnsafeNoSync, UnsafeNoFence: o.UnsafeNoFence}, me)
	if err != nil {
		return nil, fmt.Errorf("join the fleet: %w", err)
	}
	return &Fleet{fleetMember: m}, nil
}

// SetFile keeps a small file that follows the journal from relay to relay; Files returns
// all of them. The journal must be open. It fails once another relay leads.
func (f *Fleet) SetFile(name string, content []byte) error {
	if f.store == nil {
		return ErrClosed
	}
	return f.store.SetFile(name, content)
}

// OutOfTurn reports whether Open failed since another relay of the fleet was faster: wait
// again.
func (f *Fleet) OutOfTurn(err error) bool { return errors.Is(err, journal.ErrLocked) }

// Passing reports whether Open failed for something of the server that may pass by itself,
// and says nothing of this relay's configuration.
func (f *Fleet) Passing(err error) bool { return pgstore.Passing(err) }

// leasePause is how often a delivery looks whether there is a lease again.
const leasePause = 50 * time.Millisecond

// errLapsed: the relay cannot renew its lease of the journal.
var errLapsed = errors.New("the lease of the journal has lapsed; the delivery is broken off")

// inLease calls f with a context that ends with ctx, or where the lease of the journal
// lapses. Without a lease nothing may leave: it waits for one.
func (r *Runtime) inLease(ctx context.Context, f func(ctx context.Context)) error {
	lease := r.journal.Lease()
	for lease.Err() != nil {
		select {
		case <-time.After(leasePause):
		case <-ctx.Done():
			return ctx.Err()
		}
		lease = r.journal.Lease()
	}
	leased, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(lease, cancel)()
	f(leased)
	if lease.Err() != nil {
		return errLapsed
	}
	return nil
}
