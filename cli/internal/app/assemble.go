package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	goruntime "runtime"
	"slices"
	"strings"
	"sync/atomic"

	"auditrelay"
	"auditrelay/builtin/wasm"
	"auditrelay/cli/internal/slot"
	"auditrelay/config"
	"auditrelay/guests/cases"
	"auditrelay/internal/detect"
	"auditrelay/internal/pgdial"
	"auditrelay/runtime"
)

// assembler builds the parts of the runtime from a checked configuration.
type assembler struct {
	file      string // the configuration's name, for errors
	makers    map[string]SinkMaker
	digestKey []byte
	cacheDir  string
	compiler  []string
	worker    []string // empty if guests run in this process
	dataDir   string   // overrides the configuration's
	budget    *wasm.Budget
	memory    auditrelay.ByteSize // the budget of the current configuration
	guests    guests
	log       *slog.Logger
	toldLocks atomic.Pointer[string] // the last logged restrictions
}

// loadConfig reads the files and checks them with the known sinks.
func (a *assembler) loadConfig(file string, more ...string) (*config.Config, error) {
	cfg, err := config.Load(file, a.loadOptions(file, more...))
	if err != nil {
		return nil, err
	}
	_, _, err = a.storesOf(cfg)
	if err := errors.Join(err, a.checkPlaces(cfg), a.checkForward(cfg)); err != nil {
		return nil, err
	}
	return cfg, nil
}

func (a *assembler) loadOptions(file string, more ...string) config.LoadOptions {
	checks := make(map[string]func(config.Section) error, len(a.makers))
	for name, maker := range a.makers {
		checks[name] = func(section config.Section) error {
			sink, err := maker(section)
			if err != nil {
				return err
			}
			return closeSink(sink)
		}
	}
	check := func(section config.Section, keys map[string]auditrelay.Key, detectors *detect.Catalogue) ([]string, error) {
		f, err := makeRedact(section, keys, detectors)
		if err != nil {
			return nil, err
		}
		return f.KeyNames(), nil
	}
	return config.LoadOptions{Sinks: checks, Redact: check, Sources: sourceChecks(), Dir: config.Dir(file), More: more, JournalURL: checkURL,
		KeepsUnredacted: func(dir string) (bool, bool) { return dataDir(cmp.Or(a.dataDir, dir)).keepsUnredacted() }}
}

func checkURL(url auditrelay.Secret) error {
	_, _, err := pgdial.Parse(url)
	return err
}

// runtimeOptions returns the runtime's options for a configuration and its parts.
func (a *assembler) runtimeOptions(cfg *config.Config, made *assembled) runtime.Options {
	limits := cfg.Ingest.Limits
	return runtime.Options{
		Dir: cfg.DataDir,
		Journal: runtime.JournalOptions{
			Window: cfg.Journal.Window, Quota: cfg.Journal.Quota, Reserve: cfg.Journal.Reserve,
			Retention:    runtime.Retention{Age: cfg.Journal.Retention.Age, Bytes: cfg.Journal.Retention.Bytes},
			Encryption:   encryptionOf(cfg),
			Postgres:     postgresOf(cfg),
			UnsafeNoSync: unsafeNoSync(a.log), UnsafeNoFence: unsafeNoFence(a.log),
		},
		Callbacks: made.callbacks,
		Ingest:    made.ingest,
		Removed:   cfg.Removed,
		Memory:    cfg.Delivery.Memory,
		Control:   runtime.Control{Callback: cfg.Control.Callback, Only: cfg.Control.Only},
		Approvals: approvalsOf(cfg),
		Limits: runtime.Limits{
			EventBytes: limits.EventBytes, Depth: limits.Depth, IDBytes: limits.IDBytes,
			// One call has at most a slice, or a whole atomic request.
			Events: limits.Events,
		},
		Quarantine: runtime.QuarantineOptions{
			Bytes: cfg.Ingest.Quarantine.Bytes, Items: cfg.Ingest.Quarantine.Items, ItemBytes: cfg.Ingest.Quarantine.Item,
		},
		Proofs: runtime.ProofOptions{Key: string(cfg.Proofs.Key), PreviousKey: string(cfg.Proofs.PreviousKey), Every: cfg.Proofs.Every},
		Logger: a.log,
	}
}

func approvalsOf(cfg *config.Config) runtime.Approvals {
	a := &cfg.Approvals
	return runtime.Approvals{Detach: a.Detach, Discard: a.Discard, DeleteQuarantine: a.QuarantineDelete, DestroyPeriod: a.KeyringDestroy, Within: a.Within}
}

// assembled has the parts of a configuration. None is in force yet.
type assembled struct {
	callbacks []runtime.Callback
	ingest    []runtime.Step // the filters before the journal
	guests    map[string]*liveFilter
	texts     []runtime.Text      // all texts that decide about events, by digest
	memory    auditrelay.ByteSize // for all guests
}

// assemble creates everything that cfg names. After an error it closes what it created.
// Compiling a guest may take long, so it must not hold a lock that requests need.
func (a *assembler) assemble(ctx context.Context, cfg *config.Config) (*assembled, error) {
	var errs []error
	made := &assembled{memory: cmp.Or(cfg.Guests.Memory, defaultGuestMemory)}
	if err := a.checkMemory(cfg); err != nil {
		return nil, err
	}
	a.budget.Resize(max(a.memory, made.memory)) // the new parts may need more; a decrease takes effect with the others
	filters, err := a.filters(ctx, cfg)
	if err != nil {
		errs = append(errs, err)
	}
	native, err := a.native(cfg)
	if err != nil {
		errs = append(errs, err)
	}
	for i := range cfg.Callbacks {
		c, err := a.callback(cfg, &cfg.Callbacks[i], filters, native)
		if err != nil {
			errs = append(errs, err)
		}
		made.callbacks = append(made.callbacks, c)
	}
	made.guests = filters
	if err := errors.Join(errs...); err != nil {
		a.discard(made)
		return nil, err
	}
	for _, name := range cfg.Ingest.Filters {
		made.ingest = append(made.ingest, native[name].step())
	}
	kept, err := a.configTexts(cfg)
	if err != nil {
		a.discard(made)
		return nil, err
	}
	made.texts = append(policiesOf(cfg, native), kept...)
	return made, nil
}

// discard closes parts that do not come into force.
func (a *assembler) discard(made *assembled) {
	a.discardGuests(made)
	for _, c := range made.callbacks {
		_ = closeSink(c.Sink)
	}
}

// discardGuests is discard for callbacks that the runtime has already closed.
func (a *assembler) discardGuests(made *assembled) {
	a.guests.discard(made.guests)
	a.budget.Resize(a.memory)
}

// filters creates the filters that callbacks list. Only config checks a filter that no callback
// lists. A running filter that has not changed is used again.
func (a *assembler) filters(ctx context.Context, cfg *config.Config) (map[string]*liveFilter, error) {
	used := map[string]bool{}
	for i := range cfg.Callbacks {
		for _, name := range cfg.Callbacks[i].Filters {
			used[name] = true
		}
	}
	made := map[string]*liveFilter{}
	var errs []error
	for i := range cfg.Filters {
		f := &cfg.Filters[i]
		if f.Native() {
			continue
		}
		if !used[f.Name] {
			a.log.Warn("no callback lists this filter", "filter", f.Name)
			continue
		}
		digest := cfg.FilterDigest(a.digestKey, f)
		if live := a.guests.live[f.Name]; live != nil && live.digest == digest {
			made[f.Name] = live
			continue
		}
		live := &liveFilter{before: a.guests.live[f.Name], slot: slot.New(f.Name), config: f, digest: digest}
		live.load = func(ctx context.Context, code []byte, sha256 string) (*wasm.Module, error) {
			m, err := wasm.Load(ctx, a.guestOptions(cfg, f, code, sha256))
			if err != nil {
				return nil, err
			}
			a.tellLocks(cfg, m)
			if err := a.requireCases(ctx, f, m); err != nil {
				return nil, err
			}
			live.adoptBreaker(m)
			return m, nil
		}
		made[f.Name] = live
		if !a.guests.deferred {
			if err := a.guests.fill(ctx, live); err != nil {
				errs = append(errs, a.at(f.Place(), "filters."+f.Name, err))
			}
		}
	}
	return made, errors.Join(errs...)
}

// requireCases runs a filter's recorded cases on a module, and closes the module if a case
// fails.
func (a *assembler) requireCases(ctx context.Context, f *config.Filter, m *wasm.Module) error {
	if f.Cases == "" {
		return nil
	}
	recorded, err := cases.Read(f.Cases)
	if err == nil {
		err = recorded.Require(ctx, m)
	}
	if err != nil {
		return errors.Join(err, m.Close())
	}
	m.ResetBreaker() // cases that expect a failure must not count as failures
	return nil
}

const defaultGuestMemory = 1 << 30

// checkMemory compares the maximum memory of all guests with guests.memory. Every callback has
// an instance of each of its filters for every CPU. One of the largest may exist twice while
// its module is switched.
func (a *assembler) checkMemory(cfg *config.Config) error {
	have := cmp.Or(cfg.Guests.Memory, defaultGuestMemory)
	if a.budget == nil {
		a.budget, a.memory = wasm.NewBudget(have), have
	}
	each := map[string]auditrelay.ByteSize{}
	for i := range cfg.Filters {
		f := &cfg.Filters[i]
		if f.Native() {
			continue
		}
		each[f.Name] = wasm.Limits{Memory: f.Limits.Memory, Stack: f.Limits.Stack}.Footprint()
	}
	var need, largest auditrelay.ByteSize
	instances := 0
	for i := range cfg.Callbacks {
		for _, name := range cfg.Callbacks[i].Filters {
			if each[name] == 0 {
				continue
			}
			instances += goruntime.GOMAXPROCS(0)
			need += each[name] * auditrelay.ByteSize(goruntime.GOMAXPROCS(0))
			largest = max(largest, each[name])
		}
	}
	if need+largest > have {
		return &config.Error{File: a.file, Key: "guests.memory", Msg: fmt.Sprintf(
			"%d instances of guests may come to take %v and one more while a module is switched, %v are allowed: raise guests.memory, or lower the filters' limits.memory", instances, need+largest, have)}
	}
	return nil
}

// guestOptions returns the options of a filter with a module. An empty sha256 means that the
// module is not pinned.
func (a *assembler) guestOptions(cfg *config.Config, f *config.Filter, code []byte, sha256 string) wasm.Options {
	l := f.Limits
	worker := a.worker
	if cfg.Guests.Sandbox == config.SandboxOff {
		worker = nil
	}
	return wasm.Options{
		Worker: worker, RequireLocks: cfg.Guests.Sandbox == config.SandboxRequired,
		Name: f.Name, Wasm: code, SHA256: strings.ToLower(sha256), Config: f.Config,
		Grants:    wasm.Grants{Emit: f.Grants.Emit, Write: f.Grants.Write, Keys: f.Grants.Keys, Metrics: f.Grants.Metrics},
		Keys:      cfg.CurrentKeys(),
		Detectors: cfg.Catalogue(),
		Limits: wasm.Limits{
			Fuel: l.Fuel, FuelPerByte: l.FuelPerByte, InitFuel: l.InitFuel,
			Memory: l.Memory, Stack: l.Stack, Time: l.Time, InitTime: l.InitTime,
			EmitBytes: l.EmitBytes, EmitCount: l.EmitCount, EditBytes: l.EditBytes,
			EventBytes: cfg.Ingest.Limits.EventBytes, Depth: cfg.Ingest.Limits.Depth,
			LogLines: l.LogLines, Module: l.Module,
		},
		CacheDir:  a.cacheDir,
		Compiler:  a.compiler,
		Isolation: f.Isolation,
		Breaker:   wasm.BreakerOptions{Failures: f.Breaker.Failures, Rest: f.Breaker.Rest},
		Budget:    a.budget,
		Logger:    a.log,
	}
}

// tellLocks logs once where guests run, and which restrictions were not applied.
func (a *assembler) tellLocks(cfg *config.Config, m *wasm.Module) {
	locks := m.Locks()
	var missing, limits, unlimited string
	if locks != nil {
		missing, limits, unlimited = strings.Join(locks.Missing, " "), strings.Join(locks.Limits, " "), locks.Unlimited
	}
	told := fmt.Sprint(locks != nil, missing, limits, unlimited)
	if before := a.toldLocks.Swap(&told); before != nil && *before == told {
		return
	}
	if limits != "" {
		a.log.Info("each guest worker has a control group", "limits", limits)
	}
	if unlimited != "" {
		a.log.Warn("guest workers have no control group of their own, although the relay's was delegated to it: the kernel does not limit their memory and processor time together", "error", unlimited)
	}
	switch {
	case locks == nil && cfg.Guests.Sandbox == config.SandboxOff:
		a.log.Warn("guests run in this process: guests.sandbox is off")
	case locks == nil:
		a.log.Warn("guests run in this process: this system has no worker processes")
	case !locks.Hold:
		a.log.Warn("guests run in worker processes that are not locked in: a guest that broke out could do what the relay can", "missing", missing)
	case missing != "":
		a.log.Info("guests run in locked worker processes; the system did not apply everything", "missing", missing)
	}
}

func readBounded(name string, most int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%s is larger than %s", name, auditrelay.ByteSize(most))
	}
	return data, err
}

func (a *assembler) callback(cfg *config.Config, c *config.Callback, filters map[string]*liveFilter, native map[string]*nativeFilter) (runtime.Callback, error) {
	out := runtime.Callback{
		Name: c.Name, RenamedFrom: c.RenamedFrom,
		Digest:       cfg.CallbackDigest(a.digestKey, c),
		Receives:     c.Receives,
		When:         c.When,
		Format:       c.Format,
		MustNotLeave: c.MustNotLeave,
		Detectors:    cfg.Catalogue(),
		From:         c.From,
		Chunk:        c.Chunk,
		InFlight:     c.InFlight,
		Timeout:      c.Timeout,
		Backoff:      c.Backoff,
		Retain:       c.Retain,
		Alerts:       slices.Contains(cfg.Alerts.Callbacks, c.Name),
	}
	for _, name := range c.Filters {
		if n := native[name]; n != nil {
			out.Steps = append(out.Steps, n.step())
			continue
		}
		f, ok := filters[name]
		if !ok {
			continue // it did not load, which is already reported
		}
		out.Steps = append(out.Steps, runtime.Step{Name: name, Filter: f.slot,
			OnError: f.config.OnError, Role: f.config.Role, Emits: f.config.Grants.Emit})
	}
	if c.Sink.Type == "" {
		return out, nil
	}
	maker := a.makers[c.Sink.Type]
	if maker == nil {
		return out, a.at(c.Place(), "callback "+c.Name, fmt.Errorf("nothing answers to the sink %q", c.Sink.Type))
	}
	sink, err := a.sink(cfg, c)
	if err != nil {
		return out, c.Sink.Options.Explain(err)
	}
	if sink == nil {
		return out, a.at(c.Place(), "callback "+c.Name, fmt.Errorf("the maker of sink %s gave neither a sink nor an error", c.Sink.Type))
	}
	out.Sink, out.SinkType = sink, c.Sink.Type
	return out, nil
}

// at adds a place to an error that config could not detect.
func (a *assembler) at(place config.Place, key string, err error) error {
	return &config.Error{File: cmp.Or(place.File, a.file), Line: place.Line, Key: key, Msg: err.Error(), Err: err}
}

// closeSink closes a sink if it is an io.Closer.
func closeSink(s auditrelay.Sink) error {
	if c, ok := s.(io.Closer); ok {
		return c.Close()
	}
	return nil
}
