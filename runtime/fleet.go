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

// Fleet makes this process one of several relays on one journal on Postgres. One relay leads: it owns the
// journal and runs all callbacks. The others wait for the lease. Await returns when this relay may lead;
// then pass the Fleet to Open in JournalOptions.Postgres. Fleet is safe for concurrent use.
type Fleet struct {
	*fleetMember
	store *pgstore.Store // the store of the open journal; Open sets it
}

// fleetMember hides the exported name of the type that Fleet embeds.
type fleetMember = pgstore.Member

// FleetRelay is one relay of a fleet. FleetView is the last state of all relays that one relay saw.
type (
	FleetRelay = pgstore.Relay
	FleetView  = pgstore.View
)

// JoinFleet adds this process to the fleet on the schema of o.Postgres. It returns at once. Close leaves
// the fleet. me must have name, address, version and the digest of the configuration.
func JoinFleet(o JournalOptions, me FleetRelay, log *slog.Logger) (*Fleet, error) {
	p := o.Postgres
	m, err := pgstore.Join(pgstore.Options{URL: p.URL, Schema: p.Schema, Lock: p.Takeover, Logger: log,
		UnsafeNoSync: o.UnsafeNoSync, UnsafeNoFence: o.UnsafeNoFence}, me)
	if err != nil {
		return nil, fmt.Errorf("join the fleet: %w", err)
	}
	return &Fleet{fleetMember: m}, nil
}

// SetFile stores a small file that follows the journal from relay to relay. Files returns all such files.
// The journal must be open. SetFile fails once another relay leads.
func (f *Fleet) SetFile(name string, content []byte) error {
	if f.store == nil {
		return ErrClosed
	}
	return f.store.SetFile(name, content)
}

// OutOfTurn reports whether Open failed because another relay of the fleet got the journal first. Call
// Await again.
func (f *Fleet) OutOfTurn(err error) bool { return errors.Is(err, journal.ErrLocked) }

// Passing reports whether Open failed for a temporary reason on the server, rather than for an error in
// this relay's configuration.
func (f *Fleet) Passing(err error) bool { return pgstore.Passing(err) }

// leasePause is how often a delivery checks whether the lease is valid again.
const leasePause = 50 * time.Millisecond

// errLapsed: the relay cannot renew its lease of the journal.
var errLapsed = errors.New("the lease of the journal has lapsed; the delivery is broken off")

// inLease calls f with a context that ends with ctx or when the journal's lease lapses. Without a lease
// nothing may be sent, so inLease first waits for one.
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
