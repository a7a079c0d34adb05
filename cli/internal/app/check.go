package app

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"time"

	"auditrelay"
	"auditrelay/cli/internal/http"
	"auditrelay/config"
)

// CheckOptions configure Check.
type CheckOptions struct {
	Sinks map[string]SinkMaker
	// Compiler is as in Options.
	Compiler []string
	// Worker is as in Options.
	Worker []string
	// Online checks every sink's destination. Timeout limits each check; default 30 s.
	Online  bool
	Timeout time.Duration
}

// Checked is the result of Check.
type Checked struct {
	Config *config.Config
	Probes []Probe
}

// Probe is the result of checking one sink's destination.
type Probe struct {
	Callback string `json:"callback"` // (journal) for the server of the journal
	Sink     string `json:"sink"`
	// Result is ok, failed, or not checked.
	Result string `json:"result"`
	Reason string `json:"reason,omitempty"`
}

// The results of a Probe.
const (
	ProbeOK         = "ok"
	ProbeFailed     = "failed"
	ProbeNotChecked = "not checked"
)

// Check reads a configuration of one or more files as serve would, and changes no data.
func Check(ctx context.Context, files []string, o CheckOptions) (Checked, error) {
	makers, err := sinkMakers(o.Sinks)
	if err != nil {
		return Checked{}, err
	}
	a := &assembler{file: files[0], makers: makers, compiler: o.Compiler, worker: o.Worker, log: slog.New(slog.DiscardHandler)}
	cfg, err := a.loadConfig(files[0], files[1:]...)
	if err == nil {
		cfg, err = withPoliciesOf(cfg)
	}
	if err != nil {
		return Checked{}, err
	}
	done := Checked{Config: cfg}
	if err := http.Check(cfg); err != nil {
		return done, err
	}
	if len(cfg.Filters) > 0 {
		if a.cacheDir, err = os.MkdirTemp("", "auditrelay-validate-"); err != nil {
			return done, err
		}
		defer os.RemoveAll(a.cacheDir)
		filters, err := a.filters(ctx, cfg)
		for _, f := range filters {
			err = errors.Join(err, f.slot.Close())
		}
		if err != nil {
			return done, err
		}
	}
	if o.Online {
		done.Probes = probeJournal(ctx, cfg, o.Timeout)
		for i := range cfg.Callbacks {
			done.Probes = append(done.Probes, a.probe(ctx, cfg, &cfg.Callbacks[i], o.Timeout)...)
		}
	}
	return done, nil
}

// probeJournal checks the journal's server, if there is one.
func probeJournal(ctx context.Context, cfg *config.Config, timeout time.Duration) []Probe {
	on := postgresOf(cfg)
	if on.URL == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(timeout, defaultProbe))
	defer cancel()
	p := Probe{Callback: "(journal)", Sink: "postgres", Result: ProbeOK}
	warnings, err := on.Probe(ctx)
	if p.Reason = strings.Join(warnings, "; "); err != nil {
		p.Result, p.Reason = ProbeFailed, err.Error()
	}
	return []Probe{p}
}

const defaultProbe = 30 * time.Second

// probe checks one callback's sink.
func (a *assembler) probe(ctx context.Context, cfg *config.Config, c *config.Callback, timeout time.Duration) []Probe {
	if c.Sink.Type == "" {
		return nil
	}
	p := Probe{Callback: c.Name, Sink: c.Sink.Type}
	sink, err := a.sink(cfg, c)
	if err == nil {
		defer func() { _ = closeSink(sink) }()
		err = probeSink(ctx, sink, timeout)
	}
	switch {
	case err == nil:
		p.Result = ProbeOK
	case errors.Is(err, auditrelay.ErrNotChecked):
		p.Result, p.Reason = ProbeNotChecked, err.Error()
	default:
		p.Result, p.Reason = ProbeFailed, err.Error()
	}
	return []Probe{p}
}

func probeSink(ctx context.Context, sink auditrelay.Sink, timeout time.Duration) error {
	prober, ok := sink.(auditrelay.Prober)
	if !ok {
		return auditrelay.ErrNotChecked
	}
	if timeout <= 0 {
		timeout = defaultProbe
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return prober.Probe(ctx)
}

// Translate returns LiteLLM's configuration in the relay's own format. The notes also name what
// Check would refuse, such as a wrong value of a sink or a variable that is not set: the result is
// for reading and for another machine, so that is no error here.
func Translate(file string, more map[string]SinkMaker) ([]byte, []config.Note, error) {
	makers, err := sinkMakers(more)
	if err != nil {
		return nil, nil, err
	}
	data, err := config.Read(file)
	if err != nil {
		return nil, nil, err
	}
	o := (&assembler{makers: makers}).loadOptions(file)
	native, notes, err := config.Translate(file, data, o)
	if err != nil {
		return nil, nil, err
	}
	_, err = config.Parse(file, data, o)
	if refused, ok := errors.AsType[config.Errors](err); ok {
		for _, e := range refused {
			notes = append(notes, config.Note{File: e.File, Line: e.Line, Level: slog.LevelWarn, Text: strings.TrimPrefix(e.Key+": ", ": ") + e.Msg + " (auditrelay validate refuses this)"})
		}
	}
	return native, notes, nil
}

// Show returns the effective form of a checked configuration, without its secrets. With
// defaults it includes keys that are not set.
func Show(files []string, more map[string]SinkMaker, defaults bool) ([]byte, []config.Note, error) {
	makers, err := sinkMakers(more)
	if err != nil {
		return nil, nil, err
	}
	file, others := files[0], files[1:]
	a := &assembler{file: file, makers: makers, log: slog.New(slog.DiscardHandler)}
	if _, err := a.loadConfig(file, others...); err != nil {
		return nil, nil, err
	}
	return config.Show(file, a.loadOptions(file, others...), defaults)
}

// CheckText checks a configuration before it is written to file. Variables that it names need
// not be set yet.
func CheckText(file string, text []byte, more map[string]SinkMaker) ([]config.Note, error) {
	makers, err := sinkMakers(more)
	if err != nil {
		return nil, err
	}
	o := (&assembler{file: file, makers: makers, log: slog.New(slog.DiscardHandler)}).loadOptions(file)
	o.LookupEnv = func(name string) (string, bool) {
		if value, ok := os.LookupEnv(name); ok {
			return value, true
		}
		return "6f1c2be09d7a4e58b3c1f0a9d2e4c6b8", true // looks like a secret
	}
	cfg, err := config.Parse(file, text, o)
	if err != nil {
		return nil, err
	}
	return cfg.Notes, http.Check(cfg)
}
