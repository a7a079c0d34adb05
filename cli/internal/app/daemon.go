package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"auditrelay/cli/internal/api"
	"auditrelay/cli/internal/http"
	"auditrelay/cli/internal/sources"
	"auditrelay/config"
	"auditrelay/runtime"
)

// Options configure Run.
type Options struct {
	// ConfigFile is the configuration, ours or LiteLLM's.
	ConfigFile string
	// Listen and DataDir, where set, stand over the configuration's.
	Listen, DataDir string
	// Compiler is the program, with its arguments, that compiles guests in a process
	// with limits (internal/compile). Empty: they are compiled in this one.
	Compiler []string
	// Sinks are sinks beside the built-in ones, by their name in YAML.
	Sinks map[string]SinkMaker
	// AddressFile, where set, receives the address that the daemon listens on,
	// once it does: for a supervisor that asked for port 0.
	AddressFile string
	// Reload is received from when the configuration is to be read again.
	Reload  <-chan os.Signal
	Version api.Version
	// Log is written to as the configuration says; default os.Stderr.
	Log io.Writer

	listening func(address string) // for tests: called once it does
}

const defaultDrain = 30 * time.Second

// serveGrace is how long requests under way have once nothing more is served.
const serveGrace = 5 * time.Second

// daemon is one Run.
type daemon struct {
	options Options
	log     *slog.Logger
	level   slog.LevelVar
	data    dataDir
	build   assembler
	rt      *runtime.Runtime
	server  *http.Server
	sources *sources.Registry
	tail    tail
	s3      s3Endpoint
	certs   *certificates

	backingUp sync.Mutex // held while a backup is made

	stores stores

	address string // that is listened on

	mu     sync.Mutex // one reload at a time
	cfg    *config.Config
	digest string
}

// Run serves until ctx ends, then drains. It returns nil after an orderly stop,
// whether or not everything could be delivered: what is left is in the journal.
func Run(ctx context.Context, o Options) (err error) {
	makers, err := sinkMakers(o.Sinks)
	if err != nil {
		return err
	}
	d := &daemon{options: o, build: assembler{file: o.ConfigFile, makers: makers, compiler: o.Compiler, dataDir: o.DataDir}}
	if d.cfg, err = d.load(); err != nil {
		return err
	}
	d.log = d.newLog()
	d.build.log = d.log
	d.tellNotes(d.cfg)
	d.data = dataDir(d.cfg.DataDir)
	if d.build.digestKey, err = d.data.digestKey(); err != nil {
		return err
	}
	d.build.cacheDir = d.data.guestCache()
	d.digest = d.cfg.Digest(d.build.digestKey)

	listener, err := d.open(ctx)
	if err != nil {
		return err
	}
	defer listener.Close() // closed by Serve as a rule
	defer d.s3.close()
	// Close does nothing after a drain.
	defer func() { err = errors.Join(err, d.rt.Close()) }()
	defer d.stores.close()

	if err := d.data.setRedaction(d.cfg.Redaction); err != nil {
		return fmt.Errorf("the data directory: %w", err)
	}
	d.recordStart(ctx)
	return d.serve(ctx, listener)
}

// load reads the configuration with what the command line puts over it.
func (d *daemon) load() (*config.Config, error) {
	cfg, err := d.build.loadConfig(d.options.ConfigFile)
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

// newLog returns the log that the configuration asks for.
func (d *daemon) newLog() *slog.Logger {
	d.setLevel()
	var w io.Writer = os.Stderr
	if d.options.Log != nil {
		w = d.options.Log
	}
	options := &slog.HandlerOptions{Level: &d.level}
	if d.cfg.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// setLevel puts the configuration's log level in force; config let it pass.
func (d *daemon) setLevel() {
	level := slog.LevelInfo
	_ = level.UnmarshalText([]byte(d.cfg.Log.Level))
	d.level.Set(level)
}

// open makes everything, listener first: a taken port should not cost a recovery.
func (d *daemon) open(ctx context.Context) (net.Listener, error) {
	start := time.Now()
	var err error
	if d.certs, err = newCertificates(d.cfg.TLS); err != nil {
		return nil, err
	}
	if _, err := http.NewAuth(d.cfg.Tokens); err != nil {
		return nil, err
	}
	if err := http.CheckListen(d.cfg.Listen, len(d.cfg.Tokens) == 0); err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	raw, err := lc.Listen(ctx, "tcp", d.cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	if err := d.openS3(ctx); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	d.address = raw.Addr().String()
	d.sources = sources.NewRegistry(d.address)
	// Which modules run stands in the journal, which is not open yet.
	d.build.guests.deferred = true
	options, err := d.build.runtimeOptions(ctx, d.cfg)
	if err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	options.Opened = d.openGuests
	d.log.Info("opening the data directory", "dir", d.cfg.DataDir)
	if d.rt, err = runtime.Open(ctx, options); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	limits := d.cfg.Ingest.Limits
	if err = d.setStores(d.cfg); err != nil {
		return nil, errors.Join(err, d.rt.Close(), raw.Close())
	}
	d.server, err = http.New(http.Options{
		Runtime: d.rt, Tokens: d.cfg.Tokens, Origins: d.cfg.Audit.Origins, PublicMetrics: d.cfg.Metrics.Public,
		Limits: http.Limits{
			BodyBytes: limits.BodyBytes, Events: limits.Events, EventBytes: limits.EventBytes,
			Depth: limits.Depth, IDBytes: limits.IDBytes,
		},
		Version: d.options.Version, Logger: d.log,
		Control: d, Sources: d.sources, Stores: &d.stores,
	})
	if err != nil {
		return nil, errors.Join(err, d.rt.Close(), raw.Close())
	}
	if err := d.useS3(d.cfg); err != nil {
		return nil, errors.Join(err, d.rt.Close(), raw.Close())
	}
	if d.s3.listener != nil {
		d.server.Register(newS3Collector(&d.s3.counts))
	}
	d.tellOpened(time.Since(start))
	return raw, nil
}

func (d *daemon) tellNotes(cfg *config.Config) {
	for _, n := range cfg.Notes {
		d.log.Log(context.Background(), n.Level, n.Text, "file", d.options.ConfigFile, "line", n.Line)
	}
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

// serve answers until ctx ends, then drains: while deliveries go on the relay
// still answers who asks how far it is.
func (d *daemon) serve(ctx context.Context, listener net.Listener) error {
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	d.log.Info("listening", "address", d.address, "tls", d.certs != nil, "tokens", len(d.cfg.Tokens))
	if len(d.cfg.Tokens) == 0 {
		d.log.Info("no tokens are configured: every local client may do everything")
	}
	var wg sync.WaitGroup
	// One listener that breaks ends the relay: a supervisor starts it with both.
	broken, breaks := context.WithCancelCause(context.WithoutCancel(ctx))
	defer breaks(nil)
	wg.Go(func() {
		if err := d.server.Serve(serving, listener, d.certs.listenerConfig(), serveGrace); err != nil {
			breaks(err)
		}
	})
	wg.Go(func() {
		if err := d.serveS3(serving); err != nil {
			breaks(fmt.Errorf("ingest.s3: %w", err))
		}
	})
	if d.options.AddressFile != "" {
		if err := writeFile(d.options.AddressFile, []byte(d.address+"\n")); err != nil {
			d.log.Error("cannot write the address file", "error", err)
		}
	}
	if d.options.listening != nil {
		d.options.listening(d.address)
	}
	notifySupervisor("READY=1")
	wg.Go(func() { d.reloads(serving) })
	journalFailed := make(chan error, 1)
	wg.Go(func() { d.watchJournal(serving, journalFailed) })
	// Whoever reads a table has ended before what it read is drained.
	defer d.endTail()
	if err := d.setTail(d.cfg); err != nil {
		stopServing()
		wg.Wait()
		return errors.Join(err, d.rt.Close())
	}
	wg.Go(func() { d.keepStores(serving) })

	select {
	case <-ctx.Done():
	case <-broken.Done():
	case err := <-journalFailed:
		d.log.Error("the journal failed and takes nothing any more; ending, so that the relay is started again from what is durable", "error", err)
		notifySupervisor("STOPPING=1")
		d.endTail()
		stopServing()
		wg.Wait()
		return errors.Join(err, d.rt.Close())
	}
	notifySupervisor("STOPPING=1")
	d.endTail()
	deadline := d.drainDeadline()
	d.log.Info("stopping: no more events are taken, deliveries go on", "deadline", deadline)
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), deadline)
	defer cancel()
	d.drain(bounded)
	stopServing()
	wg.Wait()
	return context.Cause(broken)
}

// watchJournal reports a journal that has failed. Only opening it anew tells what
// is durable, and a supervisor does that best: it starts the whole relay again.
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
	return cmp.Or(d.cfg.Shutdown.Deadline, defaultDrain)
}

func (d *daemon) drain(ctx context.Context) {
	err := d.rt.Drain(ctx)
	switch {
	case err == nil:
		d.log.Info("stopped: nothing is pending but what paused callbacks hold")
	case errors.Is(err, context.DeadlineExceeded):
		d.log.Warn("stopped at the deadline: what is pending goes out after the next start", "error", err)
	default:
		d.log.Error("stopped with a failure", "error", err)
	}
}

// removePartial removes the backups that were interrupted: nobody makes one now.
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
func (d *daemon) Backup(ctx context.Context, by string) (api.BackedUp, error) {
	d.backingUp.Lock()
	defer d.backingUp.Unlock()
	parent := d.data.backups()
	d.removePartial(parent)
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return api.BackedUp{}, fmt.Errorf("backup: %w", err)
	}
	dir := filepath.Join(parent, time.Now().UTC().Format("20060102T150405.000Z"))
	err := d.rt.Backup(ctx, dir, func(dir string) error { return d.stores.backupStores(ctx, dir) })
	if err != nil {
		return api.BackedUp{}, fmt.Errorf("backup to %s: %w", dir, err)
	}
	d.log.Info("backup made", "dir", dir, "by", by)
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	return api.BackedUp{Dir: dir}, nil
}
