package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	stdhttp "net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"auditrelay/cli/internal/api"
	"auditrelay/cli/internal/http"
	"auditrelay/cli/internal/oidc"
	"auditrelay/cli/internal/sources"
	"auditrelay/cli/internal/ui"
	"auditrelay/config"
	"auditrelay/filter"
	"auditrelay/runtime"
)

// Options configure Run.
type Options struct {
	// ConfigFile is the configuration, in the relay's format or LiteLLM's. MoreConfig lists
	// further files of it.
	ConfigFile string
	MoreConfig []string
	// Listen and DataDir, if set, override the configuration's.
	Listen, DataDir string
	// Compiler is the command that compiles guests in a process with limits (internal/compile).
	// Empty: guests are compiled in this process.
	Compiler []string
	// Worker is the command that runs guests in worker processes (wasm.RunWorker). Empty:
	// guests run in this process.
	Worker []string
	// Sinks has sinks in addition to the built-in ones, by their name in YAML.
	Sinks map[string]SinkMaker
	// AddressFile, if set, gets the daemon's listening address, for a supervisor that requested
	// port 0.
	AddressFile string
	// Reload triggers a reload of the configuration.
	Reload  <-chan os.Signal
	Version api.Version
	// Log is the destination of the log. Default: os.Stderr.
	Log io.Writer

	// For tests.
	listening func(address string)    // called once it listens
	step      func(name string) error // called before each step of a reload that can fail
	silent    bool                    // no own records of starts and stops
}

const defaultDrain = 30 * time.Second

// daemon is one call of Run.
type daemon struct {
	options Options
	log     *slog.Logger
	level   slog.LevelVar
	dropped func() uint64 // number of dropped log lines; nil if none can be dropped
	data    dataDir
	build   assembler
	rt      *runtime.Runtime
	server  *http.Server
	ways    sources.Set // the inputs, including the server
	stores  stores
	raised  raisedAlerts
	canary  atomic.Pointer[runtime.Canary] // the last recorded canary; nil if there is none or it is unknown

	backingUp sync.Mutex // held during a backup

	// changing is held by a change of what runs: a reload, or a switch of modules. It is held
	// during slow work, so no request may wait for it.
	changing    chan struct{}
	stopping    context.Context // ends when the relay stops; changes are then given up
	stopChanges context.CancelFunc

	mu     sync.Mutex     // guards the fields below and build.guests.live; never held during slow work
	cfg    *config.Config // in force, including selected policies
	digest string
	trials map[string]*trial // trials of shadows, by callback

	configured *config.Config // as read from the file; guarded by changing

	fleet *fleet
}

// Run serves until ctx ends, then drains. It returns nil after an orderly stop, even if some
// events could not be delivered; they are in the journal.
func Run(ctx context.Context, o Options) (err error) {
	f := &fleet{}
	defer func() { err = errors.Join(err, f.close()) }()
	for {
		err := runTerm(ctx, o, f)
		if !errors.Is(err, errYield) || ctx.Err() != nil {
			return err
		}
		f.member.Retire()
	}
}

// runTerm is Run until the relay must give its journal to another relay of its fleet. It then
// returns errYield.
func runTerm(ctx context.Context, o Options, f *fleet) (err error) {
	makers, err := sinkMakers(o.Sinks)
	if err != nil {
		return err
	}
	d := &daemon{options: o, fleet: f, build: assembler{file: o.ConfigFile, makers: makers, compiler: o.Compiler, worker: o.Worker, dataDir: o.DataDir}}
	if d.cfg, err = d.load(); err != nil {
		return err
	}
	var writer *logWriter
	if d.log, writer = d.newLog(); writer != nil {
		defer writer.Close()
		d.dropped = writer.Dropped
		// Messages of libraries go to the process's log too.
		before := slog.Default()
		slog.SetDefault(d.log)
		defer slog.SetDefault(before)
	}
	d.changing = make(chan struct{}, 1)
	stopping, stop := context.WithCancel(context.Background())
	d.stopping, d.stopChanges = stopping, stop
	defer stop()
	d.build.log = d.log
	d.tellNotes(d.cfg)
	d.data = dataDir(d.cfg.DataDir)
	defer d.stores.close()
	whole := ctx
	if d.inFleet() {
		if err := d.follow(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		var end context.CancelFunc
		ctx, end = d.term(ctx)
		defer end()
		if err := d.fetchFiles(ctx); err != nil {
			if whole.Err() != nil {
				return nil // it was stopped
			}
			return d.notOpened(ctx, err)
		}
	}
	lapsed, err := d.applySelected()
	if err != nil {
		return err
	}
	if d.build.digestKey, err = d.data.digestKey(); err != nil {
		return err
	}
	d.build.cacheDir = d.data.guestCache()
	d.digest = d.cfg.Digest(d.build.digestKey)

	err = d.open(ctx)
	if _, other := errors.AsType[*runtime.NewCallbackError](err); other {
		err = d.openRedacted(ctx)
	}
	switch {
	case errors.Is(err, context.Canceled) && whole.Err() != nil:
		d.log.Info("stopped before it served")
		return nil
	case err != nil:
		return d.notOpened(ctx, err)
	}
	// Close does nothing after a drain.
	defer func() { err = errors.Join(err, d.rt.Close()) }()
	d.forgetPolicies(lapsed)

	if err := errors.Join(d.data.setRedaction(d.cfg.Redaction), d.keepFiles()); err != nil {
		return fmt.Errorf("the data directory: %w", err)
	}
	return d.serve(ctx)
}

// openRedacted opens a data directory of an older version in which LiteLLM's callbacks
// delivered nothing. Another configuration ran there, so nothing needs to stay unredacted.
func (d *daemon) openRedacted(ctx context.Context) (err error) {
	if err = d.data.setRedaction("preset"); err != nil {
		return fmt.Errorf("the data directory: %w", err)
	}
	if d.cfg, err = d.load(); err != nil {
		return err
	}
	d.log.Info("another configuration ran in this data directory before: what LiteLLM's callbacks deliver is redacted after all")
	if _, err = d.applySelected(); err != nil {
		return err
	}
	d.digest = d.cfg.Digest(d.build.digestKey)
	return d.open(ctx)
}

// load reads the configuration and applies the command line's overrides.
func (d *daemon) load() (*config.Config, error) {
	cfg, err := d.build.loadConfig(d.options.ConfigFile, d.options.MoreConfig...)
	if err != nil {
		return nil, err
	}
	if d.options.Listen != "" {
		cfg.Listen = d.options.Listen
	}
	if d.options.DataDir != "" {
		cfg.DataDir = d.options.DataDir
	}
	return cfg, nil
}

// applySelected replaces the configuration's policies by the selected ones.
func (d *daemon) applySelected() (lapsed []string, err error) {
	all, err := d.data.selectedPolicies()
	if err != nil {
		return nil, err
	}
	d.configured = d.cfg
	d.cfg, lapsed, err = withSelected(d.cfg, all)
	return lapsed, err
}

// open creates everything, listeners first, so that a port in use fails before a recovery.
func (d *daemon) open(ctx context.Context) (err error) {
	start := time.Now()
	limits := limitsOf(d.cfg)
	listener, socket, err := d.listen(ctx)
	if err != nil {
		return err
	}
	closeAll := func() (err error) {
		for _, l := range []net.Listener{listener, socket} {
			if l != nil {
				err = errors.Join(err, l.Close())
			}
		}
		return err
	}
	host := &sources.Host{Logger: d.log, Limits: limits.Ingest()}
	others := newSources(host)
	change, err := others.Prepare(ctx, d.cfg)
	if err != nil {
		return errors.Join(err, closeAll())
	}
	defer func() {
		if err != nil {
			change.Discard()
			err = errors.Join(err, closeAll())
		}
	}()
	stored, serves, err := d.build.storesOf(d.cfg)
	if err != nil {
		return err
	}
	// The journal says which modules run, and it is not open yet.
	d.build.guests.deferred = true
	made, err := d.build.assemble(ctx, d.cfg)
	if err != nil {
		return err
	}
	options := d.build.runtimeOptions(d.cfg, made)
	if d.cfg.Redaction == config.RedactionKept {
		options.Known = []string{config.LiteLLMCallback}
	}
	options.Journal.Postgres.Fleet = d.fleet.member // nil if the relay is alone
	if options.Proofs.Key, err = d.proofKey(); err != nil {
		return err
	}
	if signer, err := d.cfg.Proofs.KMS.Signer(); err != nil {
		return fmt.Errorf("proofs.kms: %w", err)
	} else if signer != nil {
		options.Proofs.Signer = signer
		d.log.Info("a key management service signs proofs", "public_key", signer.PublicKey())
	}
	changes, recorded := d.startChanges(made)
	options.Changes, options.Recorded = changes, recorded
	var modules *runtime.Modules
	options.OpenRollout = func(ctx context.Context, o runtime.Rollout) (filter.Filter, error) {
		return d.openRollout(ctx, modules.Bytes, o)
	}
	options.Opened = func(ctx context.Context, m *runtime.Modules, t *runtime.Texts) error {
		modules = m
		return errors.Join(d.checkFiles(ctx), t.Keep(made.texts...), d.openGuests(ctx, made.guests, m))
	}
	d.log.Info("opening the data directory", "dir", d.cfg.DataDir)
	if d.rt, err = runtime.Open(ctx, options); err != nil {
		return err
	}
	d.stores.set(stored, serves)
	if d.server, err = http.New(d.serverOptions(listener, socket, others)); err != nil {
		return errors.Join(err, d.rt.Close())
	}
	d.inForce(made.texts)
	host.Runtime, host.Door = d.rt, d.server
	change.Apply()
	d.ways = d.server.Sources()
	d.tellOpened(time.Since(start))
	return nil
}

// serverOptions returns the options of a server for d's runtime, which is open.
func (d *daemon) serverOptions(listener, socket net.Listener, others sources.Set) http.Options {
	o := http.Options{
		Runtime: d.rt, Config: d.cfg, Listener: listener, Socket: socket, Limits: limitsOf(d.cfg), Version: d.options.Version, Logger: d.log,
		Control: d, Sources: others, Stores: &d.stores, DroppedLines: d.dropped,
		Pages: func(api stdhttp.Handler, denied http.Denied) stdhttp.Handler {
			return ui.New(ui.Options{
				API: api, Denied: denied, Version: d.options.Version.String(), Logger: d.log,
				Issuer: func() *oidc.Issuer { return d.server.Issuer() },
			})
		},
	}
	if d.fleet.member != nil {
		o.Fleet, o.Secret = d, d.secret
	}
	return o
}

func limitsOf(cfg *config.Config) http.Limits {
	l := cfg.Ingest.Limits
	return http.Limits{BodyBytes: l.BodyBytes, Events: l.Events, EventBytes: l.EventBytes, Depth: l.Depth, IDBytes: l.IDBytes}.WithDefaults()
}

func (d *daemon) tellOpened(took time.Duration) {
	stats := d.rt.Stats()
	d.log.Info("journal open", "journal", stats.Journal, "next_sequence", stats.Head, "oldest", stats.Oldest, "took", took.Round(time.Millisecond))
	statuses, err := d.rt.Callbacks()
	if err != nil {
		d.log.Error("cannot read the callbacks", "error", err)
	}
	for _, c := range statuses {
		d.log.Info("callback", "callback", c.Name, "replay", c.Replay, "state", c.State, "pending", c.Account.Pending, "cursor", c.Cursor)
	}
}

// serve serves requests until ctx ends, then drains. During the drain it still answers requests
// for its progress.
func (d *daemon) serve(ctx context.Context) error {
	if err := d.relieve(ctx); err != nil {
		return err
	}
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	var wg sync.WaitGroup
	// One failed source ends the relay, so that a supervisor restarts it with all sources.
	broken, breaks := context.WithCancelCause(context.WithoutCancel(ctx))
	defer breaks(nil)
	wg.Go(func() { d.ways.Run(serving, breaks) })
	d.tellListening(d.server.Address())
	wg.Go(func() { d.reloads(serving) })
	journalFailed := make(chan error, 1)
	wg.Go(func() { d.watchJournal(serving, journalFailed) })
	wg.Go(func() { d.keepStores(serving) })
	wg.Go(func() { d.watchAlerts(serving) })
	wg.Go(func() { d.watchCanaries(serving) })

	select {
	case <-ctx.Done():
	case <-broken.Done():
	case err := <-journalFailed:
		d.log.Error("the journal failed and accepts nothing more; ending, so that a new start continues from what is durable", "error", err)
		notifySupervisor("STOPPING=1")
		d.stopChanges()
		d.ways.Stop()
		stopServing()
		wg.Wait()
		return errors.Join(err, d.rt.Close())
	}
	yields := errors.Is(context.Cause(ctx), errYield)
	if !yields {
		notifySupervisor("STOPPING=1")
	}
	d.recordStop(ctx)
	deadline := d.drainDeadline()
	d.log.Info("stopping: deliveries go on, and events are taken until they have ended", "deadline", deadline)
	d.stopChanges()
	d.fleet.closeFormer()
	d.ways.Stop() // fetched events are drained with the others
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), deadline)
	defer cancel()
	if yields || d.handsOver() {
		// Requests under way are answered. Those that come now wait for the server that follows,
		// here or on another relay.
		_ = d.rt.Settled(bounded) // drain reports it
		for _, l := range d.fleet.listeners() {
			l.last.Store(!yields)
		}
		stopServing()
		wg.Wait()
	}
	d.drain(bounded)
	stopServing()
	wg.Wait()
	if err := context.Cause(broken); err != nil || !yields {
		return err
	}
	return errYield
}

// handover is how long a relay waits for deliveries whose callbacks continue on another relay.
const handover = time.Second

// notOpened decides what to do when a relay of a fleet could not open the journal.
func (d *daemon) notOpened(ctx context.Context, err error) error {
	member := d.fleet.member
	switch {
	case member == nil, ctx.Err() != nil && !errors.Is(context.Cause(ctx), errYield):
		return err
	case ctx.Err() != nil, member.OutOfTurn(err), errors.Is(err, errFilesChanged):
		d.log.Info("another relay of the fleet has the journal", "error", err)
		return errYield
	case member.Passing(err):
		return err // it would fail with any configuration
	}
	// Relays with another configuration take over, if there are any.
	if failed := member.Fail(context.WithoutCancel(ctx), err); failed != nil {
		d.log.Error("the fleet was not told that this relay cannot lead", "error", failed)
	}
	return err
}

// watchJournal reports a failed journal. Only opening it again shows what is durable. A
// supervisor does that best by restarting the relay.
func (d *daemon) watchJournal(ctx context.Context, failed chan<- error) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		if err := d.rt.Ready(); errors.Is(err, runtime.ErrFailed) {
			failed <- err
			return
		}
	}
}

func (d *daemon) drainDeadline() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	deadline := cmp.Or(d.cfg.Shutdown.Deadline, defaultDrain)
	if d.handsOver() {
		deadline = min(deadline, handover)
	}
	return deadline
}

// handsOver reports whether another relay of the fleet leads once this one stops.
func (d *daemon) handsOver() bool { return d.fleet.member != nil && d.fleet.member.Others() }

func (d *daemon) drain(ctx context.Context) {
	err := d.rt.Drain(ctx)
	switch {
	case err == nil:
		d.log.Info("stopped: nothing is pending but what paused callbacks hold")
	case errors.Is(err, context.DeadlineExceeded):
		d.log.Warn("stopped at the deadline: pending events go out after the next start", "error", err)
	default:
		d.log.Error("stopped with a failure", "error", err)
	}
}

// removePartial removes interrupted backups. Call it only when no backup runs.
func (d *daemon) removePartial(parent string) {
	partial, _ := filepath.Glob(filepath.Join(parent, "*"+runtime.PartialSuffix)) // the pattern is valid
	for _, dir := range partial {
		if err := os.RemoveAll(dir); err != nil {
			d.log.Warn("an interrupted backup cannot be removed", "dir", dir, "error", err)
			continue
		}
		d.log.Info("an interrupted backup was removed", "dir", dir)
	}
}

// Backup copies the journal and then the stores.
func (d *daemon) Backup(ctx context.Context, by runtime.By) (api.BackedUp, error) {
	d.backingUp.Lock()
	defer d.backingUp.Unlock()
	parent := d.data.backups()
	d.removePartial(parent)
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return api.BackedUp{}, fmt.Errorf("backup: %w", err)
	}
	dir := filepath.Join(parent, time.Now().UTC().Format("20060102T150405.000Z"))
	err := d.rt.Backup(ctx, dir, by, func(dir string) error {
		return errors.Join(copyPolicies(string(d.data), dir), d.stores.backupStores(ctx, dir))
	})
	if err != nil {
		_ = os.Remove(parent) // if it is empty
		return api.BackedUp{}, fmt.Errorf("backup to %s: %w", dir, err)
	}
	d.log.Info("backup made", "dir", dir, "by", by.Principal)
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	return api.BackedUp{Dir: dir}, nil
}
