package app

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"auditrelay"
	"auditrelay/cli/internal/api"
	"auditrelay/cli/internal/http"
	"auditrelay/cli/internal/ui"
	"auditrelay/config"
	"auditrelay/runtime"
)

// fleet is this process as one relay of a fleet: the state that it keeps from one term as
// leader to the next. The zero value has not joined; it may be alone.
type fleet struct {
	member           *runtime.Fleet // nil if it is alone
	name             string
	listener, socket *retained
	told             bool           // whether its listening was logged
	former           *http.Follower // of before this relay led; it may still have requests; nil if there is none
	unserve          func() error   // makes former accept nothing more; nil if it does not accept

	kept map[string][]byte // the small files as stored in the database
}

// errYield ends a term: another relay of the fleet must lead.
var errYield = errors.New("another relay of the fleet leads from now on")

// retained is a listener that outlives its servers. Between servers the system keeps new
// connections waiting.
type retained struct {
	net.Listener
	deadline func(time.Time) error
	last     atomic.Bool // no server follows
}

// Close ends Accept. If no server follows, the system refuses connections from then on, so that
// other relays know that nobody processes their requests here.
func (r *retained) Close() error {
	if r.last.Load() {
		return r.Listener.Close()
	}
	return r.deadline(time.Unix(1, 0))
}

func retain(l net.Listener) (*retained, error) {
	d, ok := l.(interface{ SetDeadline(time.Time) error })
	if !ok {
		return nil, fmt.Errorf("a listener of type %T cannot be kept", l)
	}
	return &retained{Listener: l, deadline: d.SetDeadline}, nil
}

// listen opens the relay's listeners. In a fleet it opens them once and reuses them for each
// server.
func (d *daemon) listen(ctx context.Context) (listener, socket net.Listener, err error) {
	f := d.fleet
	if f.listener != nil {
		err := f.listener.deadline(time.Time{})
		if f.socket == nil {
			return f.listener, nil, err
		}
		return f.listener, f.socket, errors.Join(err, f.socket.deadline(time.Time{}))
	}
	if listener, err = http.Listen(ctx, d.cfg); err != nil {
		return nil, nil, err
	}
	if socket, err = http.ListenSocket(ctx, d.cfg.Socket); err != nil {
		if listener != nil { // there is none if only the socket is used
			err = errors.Join(err, listener.Close())
		}
		return nil, nil, err
	}
	if !d.inFleet() {
		return listener, socket, nil
	}
	if listener == nil {
		return nil, nil, errors.Join(errors.New("listen none: a fleet needs an address, to which its relays send requests on"), socket.Close())
	}
	if f.listener, err = retain(listener); err == nil && socket != nil {
		f.socket, err = retain(socket)
	}
	if err != nil {
		return nil, nil, errors.Join(err, listener.Close())
	}
	return d.listen(ctx)
}

func (d *daemon) inFleet() bool { return d.cfg.Journal.Postgres.Fleet.On() }

// close leaves the fleet.
func (f *fleet) close() error {
	f.closeFormer()
	var errs []error
	for _, l := range f.listeners() {
		if err := l.Listener.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if f.member != nil {
		errs = append(errs, f.member.Close())
	}
	return errors.Join(errs...)
}

func (f *fleet) listeners() (all []*retained) {
	for _, l := range []*retained{f.listener, f.socket} {
		if l != nil {
			all = append(all, l)
		}
	}
	return all
}

// release frees the listeners, on which the follower serves until the journal is open.
func (f *fleet) release() error {
	if f.unserve == nil {
		return nil
	}
	err := f.unserve()
	f.unserve = nil
	return err
}

// relieve makes the server, which is ready, take over from the follower: its listeners, and the
// requests that wait for a leader.
func (d *daemon) relieve(ctx context.Context) error {
	former := d.fleet.former
	if former == nil {
		return nil
	}
	if err := d.fleet.release(); err != nil {
		return err
	}
	if _, _, err := d.listen(ctx); err != nil {
		return err
	}
	former.Lead(d.server.Handler())
	return nil
}

// closeFormer ends the requests that still wait for a leader.
func (f *fleet) closeFormer() {
	_ = f.release() // the former follower's requests end anyway
	if f.former != nil {
		f.former.Close()
	}
	f.former = nil
}

// join adds this process to the fleet, or tells the fleet its current configuration.
func (d *daemon) join() error {
	f := d.fleet
	digest := fleetDigest(d.cfg, d.options.Version)
	if f.member != nil {
		f.member.SetDigest(digest)
		return nil
	}
	c := d.cfg.Journal.Postgres.Fleet
	host, _ := os.Hostname() // if it fails, the configuration must have a name
	if f.name = cmp.Or(c.Name, host); f.name == "" {
		return errors.New("journal.postgres.fleet.name: this machine has no name; give the relay one")
	}
	var err error
	f.member, err = runtime.JoinFleet(runtime.JournalOptions{Postgres: postgresOf(d.cfg), UnsafeNoSync: unsafeNoSync(d.log), UnsafeNoFence: unsafeNoFence(d.log)},
		runtime.FleetRelay{Name: f.name, Address: c.Address, Version: d.options.Version.Version, Digest: digest}, d.log)
	return err
}

// fleetDigest distinguishes configurations and versions. It is keyed with the signing key and
// the tokens, which all relays have, so that nobody who sees a digest can guess secrets.
func fleetDigest(cfg *config.Config, v api.Version) string {
	key := sha256.New()
	fmt.Fprintf(key, "auditrelay fleet\x00%s\x00", cfg.Proofs.Key.Reveal())
	for _, t := range cfg.Tokens {
		fmt.Fprintf(key, "%s\x00", t.Token.Reveal())
	}
	sum := sha256.Sum256([]byte(cfg.FleetDigest(key.Sum(nil)) + "\x00" + v.Version + "\x00" + v.Revision))
	return hex.EncodeToString(sum[:8])
}

// follow serves requests while this relay does not lead, and returns when it may lead. The
// follower goes on until release. If ctx ended, follow returns its error.
func (d *daemon) follow(ctx context.Context) error {
	if err := d.join(); err != nil {
		return err
	}
	if err := d.fleet.release(); err != nil {
		return err
	}
	listener, socket, err := d.listen(ctx)
	if err != nil {
		return err
	}
	readStores, err := d.storesToRead(d.cfg)
	if err != nil {
		return err
	}
	readStores()
	follower, err := http.NewFollower(http.FollowerOptions{Config: d.cfg, Listener: listener, Socket: socket, Limits: limitsOf(d.cfg), Logger: d.log,
		Fleet: d, Leader: d.leader, Lives: d.lives, Away: ui.Away, Stores: &d.stores})
	if err != nil {
		return err
	}
	serving, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- follower.Run(serving) }()
	d.log.Info("waiting for the journal; requests go to the relay that leads the fleet", "relay", d.fleet.name, "address", follower.Address())
	d.tellListening(follower.Address())
	awaited := make(chan error, 1)
	go func() { awaited <- d.fleet.member.Await(serving) }()
	for {
		select {
		case err := <-served:
			stop()
			<-awaited //nolint:errcheck // it was stopped
			follower.Close()
			return cmp.Or(err, ctx.Err())
		case err := <-awaited:
			d.fleet.closeFormer()
			d.fleet.former, d.fleet.unserve = follower, func() error {
				stop()
				return <-served
			}
			return err
		case <-d.options.Reload:
			cfg, err := d.load()
			var readStores func()
			if err == nil {
				readStores, err = d.storesToRead(cfg)
			}
			if err == nil {
				err = follower.Use(cfg) // a revoked token must not work here either
			}
			if err != nil {
				d.log.Error("the configuration was not reloaded; the old one stays in force", "error", err)
			} else {
				readStores()
				d.fleet.member.SetDigest(fleetDigest(cfg, d.options.Version))
				d.log.Info("the configuration was read; it applies when this relay leads", "relay", d.fleet.name)
			}
		}
	}
}

// storesToRead returns a function that makes the stores of a configuration those that this
// relay reads while it follows.
func (d *daemon) storesToRead(cfg *config.Config) (read func(), err error) {
	all, serves, err := d.build.storesOf(cfg)
	return func() { d.stores.set(all, serves) }, err
}

// tellListening logs once that the relay listens.
func (d *daemon) tellListening(address string) {
	if d.fleet.told {
		return
	}
	d.fleet.told = true
	if d.options.AddressFile != "" {
		if err := WriteFile(d.options.AddressFile, []byte(address+"\n")); err != nil {
			d.log.Error("cannot write the address file", "error", err)
		}
	}
	if d.options.listening != nil {
		d.options.listening(address)
	}
	notifySupervisor("READY=1")
}

// term returns a context that ends with ctx, or when another relay of the fleet must lead.
func (d *daemon) term(ctx context.Context) (context.Context, context.CancelFunc) {
	term, end := context.WithCancelCause(ctx)
	yield := d.fleet.member.Yield()
	go func() {
		select {
		case <-yield:
			d.log.Info("giving the journal up: another relay of the fleet is to lead", "relay", d.fleet.name)
			end(errYield)
		case <-term.Done():
		}
	}()
	return term, func() { end(nil) }
}

// leader returns where to forward requests.
func (d *daemon) leader() (http.Leader, <-chan struct{}) {
	changed := d.fleet.member.Changed()
	v := d.fleet.member.View()
	own := d.fleet.member.Instance()
	if v.Leader == nil || v.Leader.Instance == own {
		return http.Leader{}, changed
	}
	alike := slices.ContainsFunc(v.Relays, func(r runtime.FleetRelay) bool { return r.Instance == own && r.Digest == v.Leader.Digest })
	return http.Leader{Address: v.Leader.Address, Secret: v.Secret, Alike: alike}, changed
}

// lives reports whether the relay at an address was heard of lately.
func (d *daemon) lives(address string) bool {
	return slices.ContainsFunc(d.fleet.member.View().Relays, func(r runtime.FleetRelay) bool { return r.Address == address && r.Alive })
}

// secret returns the shared secret by which the fleet's relays authenticate to each other.
func (d *daemon) secret() string { return d.fleet.member.View().Secret }

// Fleet returns the fleet as this relay last saw it.
func (d *daemon) Fleet() api.Fleet {
	v := d.fleet.member.View()
	out := api.Fleet{Relay: d.fleet.name, Epoch: v.Epoch, Agree: true, Relays: []api.FleetRelay{}}
	if v.Err != nil {
		out.Reason = v.Err.Error()
	}
	digest := ""
	for i := range v.Relays {
		r := &v.Relays[i]
		if replaced(v.Relays, r) {
			continue
		}
		state := "standby"
		switch {
		case r.Leads && r.Alive:
			state, out.Leader = "leads", r.Name
		case r.Failed:
			state = "failed"
		case !r.Alive:
			state = "gone"
		case r.Drained:
			state = "drained"
		}
		if r.Alive {
			out.Agree = out.Agree && (digest == "" || digest == r.Digest)
			digest = r.Digest
		}
		out.Relays = append(out.Relays, api.FleetRelay{Name: r.Name, State: state, Address: r.Address, Version: r.Version, Digest: r.Digest,
			Joined: r.Joined.UTC(), Seen: max(r.Seen, 0), Failure: r.Failure})
	}
	return out
}

// replaced reports whether the process of a relay ended and a later one has its name, such as
// after a restart: then there is no relay that is gone. A failure stays in the list.
func replaced(all []runtime.FleetRelay, r *runtime.FleetRelay) bool {
	return !r.Alive && !r.Failed && slices.ContainsFunc(all, func(other runtime.FleetRelay) bool {
		return other.Name == r.Name && other.Joined.After(r.Joined)
	})
}

// Drain makes a relay give the lease up, or allows it again with undo, and records that. It
// returns the fleet with the change, unless this relay cannot read it soon.
func (d *daemon) Drain(ctx context.Context, name string, undo bool, by runtime.By) (api.Fleet, error) {
	act := "drain"
	if undo {
		act = "undrain"
	}
	begun, err := d.rt.Begin(runtime.Change{By: by, Act: act, Action: auditrelay.ActionUpdated, Table: tableRelay, Object: name, After: map[string]any{"drained": !undo}})
	if err != nil {
		return api.Fleet{}, err
	}
	n, err := d.fleet.member.Drain(ctx, name, undo)
	if err == nil && n == 0 {
		err = refusal(404, api.ReasonNotFound, "auditrelay fleet lists them", "no relay that lives has the name %.64q", name)
	}
	if ended := begun.End(nil, err); err != nil || ended != nil {
		return api.Fleet{}, cmp.Or(err, ended)
	}
	soon, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	for changed := d.fleet.member.Changed(); !drained(d.fleet.member.View().Relays, name, undo); changed = d.fleet.member.Changed() {
		select {
		case <-changed:
		case <-soon.Done():
			return d.Fleet(), nil
		}
	}
	return d.Fleet(), nil
}

// drained reports whether all living relays with a name are to be drained or, with undo, are
// allowed to lead. A relay that has just joined may not be seen yet.
func drained(all []runtime.FleetRelay, name string, undo bool) bool {
	seen := false
	for i := range all {
		if r := &all[i]; r.Name == name && r.Alive {
			if r.Drained == undo {
				return false
			}
			seen = true
		}
	}
	return seen
}

// fleetFiles are the small files of the data directory that follow the journal from relay to
// relay: the last recorded states, the selected policies, and the saved searches.
func fleetFiles() []string {
	return []string{"digest.key", redactionFile, "config.digest", "policies.json", "detectors.json", "keys.json", policiesFile, searchesFile}
}

// fetchFiles writes the fleet's files into the data directory. The first leader contributes its
// own.
func (d *daemon) fetchFiles(ctx context.Context) error {
	kept, err := d.fleet.member.Files(ctx)
	if err != nil {
		return err
	}
	d.fleet.kept = kept
	if len(kept) == 0 {
		return nil
	}
	if err := os.MkdirAll(string(d.data), 0o700); err != nil {
		return err
	}
	for _, name := range fleetFiles() {
		content, ok := kept[name]
		if !ok && name == searchesFile {
			continue // older versions did not store it: the first leader contributes its own
		}
		if !ok {
			// It belongs to another fleet, or is older than this one.
			if err := os.Remove(d.data.file(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			continue
		}
		if err := WriteFile(d.data.file(name), content); err != nil {
			return err
		}
	}
	return nil
}

// errFilesChanged: the previous leader changed a file after this relay had fetched it.
var errFilesChanged = errors.New("the files of the fleet have changed meanwhile")

// checkFiles returns an error if the files are no longer those of the fleet. The journal is
// open, so no other relay changes them now.
func (d *daemon) checkFiles(ctx context.Context) error {
	if d.fleet.member == nil {
		return nil
	}
	now, err := d.fleet.member.Files(ctx)
	if err == nil && !maps.EqualFunc(now, d.fleet.kept, bytes.Equal) {
		err = errFilesChanged
	}
	return err
}

// keepFiles stores changed files of the data directory in the fleet.
func (d *daemon) keepFiles() error {
	f := d.fleet
	if f == nil || f.member == nil {
		return nil
	}
	var errs []error
	for _, name := range fleetFiles() {
		content, err := os.ReadFile(d.data.file(name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if had, ok := f.kept[name]; err == nil && (!ok || !bytes.Equal(had, content)) {
			if err = f.member.SetFile(name, content); err == nil {
				if f.kept == nil {
					f.kept = map[string][]byte{}
				}
				f.kept[name] = content
			}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// keptFiles is keepFiles for files whose loss only repeats records.
func (d *daemon) keptFiles() {
	if err := d.keepFiles(); err != nil {
		d.log.Error("files of the data directory are not yet in the database, where another relay would find them", "error", err)
	}
}

// selectPolicies stores the selected policies, also for the next leader.
func (d *daemon) selectPolicies(all selectedPolicies) error {
	if err := d.data.selectPolicies(all); err != nil {
		return err
	}
	return d.keepFiles()
}
