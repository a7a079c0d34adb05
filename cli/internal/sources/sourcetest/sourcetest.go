// Package sourcetest tests an implementation of sources.Source against its contract.
package sourcetest

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/cli/internal/api"
	"auditrelay/cli/internal/sources"
	"auditrelay/config"
	"auditrelay/internal/ingest"
	"auditrelay/runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// Subject is a source under test.
type Subject struct {
	// New returns the source. It may use rt at once; host gets it later.
	New func(t *testing.T, host *sources.Host, rt *runtime.Runtime) sources.Source
	// Check is the source's check of its section; nil: none.
	Check config.SourceCheck
	// Configured is a configuration with the source and one sender. Without has none. Check and
	// Prepare must reject Bad.
	Configured, Without, Bad string
	// Sender is the name of that sender in Status.
	Sender string
	// Send makes the sender send one event with an id. An error means that the sender saw a
	// rejection, or could not reach the source. A sender that sees no responses returns nil.
	Send func(t *testing.T, source sources.Source, id string) error
	// Silent: the sender sees no responses.
	Silent bool
}

// Run tests the subject.
func Run(t *testing.T, s Subject) {
	t.Run("what is prepared changes nothing", s.preparing)
	t.Run("events are accepted and counted", s.accepting)
	t.Run("a reload goes on, takes away and gives back", s.reloading)
	t.Run("a bad configuration changes nothing", s.refusing)
	t.Run("nothing is acknowledged that is not accepted", s.closed)
	t.Run("it ends", s.ending)
}

// under is a source in a relay.
type under struct {
	t      *testing.T
	s      *Subject
	rt     *runtime.Runtime
	host   *sources.Host
	source sources.Source
	end    func() // ends Run and waits for it
}

func (s *Subject) open(t *testing.T) *under {
	t.Helper()
	rt, err := runtime.Open(t.Context(), runtime.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rt.Close() })
	u := &under{t: t, s: s, rt: rt, host: &sources.Host{
		Logger: slog.New(slog.DiscardHandler),
		Limits: ingest.Limits{EventBytes: 1 << 20, BodyBytes: 16 << 20, Events: 10_000},
	}}
	u.source = s.New(t, u.host, rt)
	return u
}

func (u *under) config(text string) *config.Config {
	u.t.Helper()
	o := config.LoadOptions{Sources: map[string]config.SourceCheck{u.source.Kind(): nil}} // so that Prepare itself must detect the fault
	cfg, err := config.Parse("relay.yaml", []byte(text+"callbacks: []\n"), o)
	if err != nil {
		u.t.Fatal(err)
	}
	return cfg
}

func (u *under) prepare(text string) sources.Change {
	u.t.Helper()
	change, err := u.source.Prepare(u.t.Context(), u.config(text))
	if err != nil {
		u.t.Fatal(err)
	}
	if change.Apply == nil || change.Discard == nil {
		u.t.Fatal("a change without Apply or Discard")
	}
	return change
}

// start applies a configuration and runs the source.
func (u *under) start(text string) {
	u.t.Helper()
	change := u.prepare(text)
	u.host.Runtime, u.host.Door = u.rt, door{}
	change.Apply()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- u.source.Run(ctx) }()
	var over bool
	u.end = func() {
		if over {
			return
		}
		over = true
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				u.t.Errorf("Run: %v", err)
			}
		case <-time.After(20 * time.Second):
			u.t.Fatal("Run does not end with its context")
		}
	}
	u.t.Cleanup(u.end)
}

// line returns the sender's line, or nil if the sender is not expected.
func (u *under) line() *api.Source {
	for _, one := range u.source.Status() {
		if one.Name == u.s.Sender && one.Kind == u.source.Kind() {
			return &one
		}
	}
	return nil
}

func (u *under) until(what string, done func() bool) {
	u.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); {
		if time.Now().After(deadline) {
			u.t.Fatalf("not in time: %s; %+v, %+v", what, u.source.Status(), u.rt.Stats())
		}
		<-time.After(5 * time.Millisecond) // polling another's progress
	}
}

func (u *under) send(id string) {
	u.t.Helper()
	if err := u.s.Send(u.t, u.source, id); err != nil {
		u.t.Fatalf("send %s: %v", id, err)
	}
	u.until("event "+id+" accepted", func() bool { return u.known(id) })
}

func (u *under) known(id string) bool {
	_, err := u.rt.Explain(u.t.Context(), auditrelay.NamespaceLiteLLM, id)
	return err == nil
}

func (s *Subject) preparing(t *testing.T) {
	u := s.open(t)
	if u.source.Kind() == "" {
		t.Error("it has no kind")
	}
	before := len(u.source.Status())
	u.prepare(s.Configured).Discard()
	if now := len(u.source.Status()); now != before {
		t.Errorf("%d senders were awaited, %d after a change that was given up", before, now)
	}
	// What was given up is free again: a port, a connection.
	again := s.open(t)
	again.prepare(s.Configured).Discard()
}

func (s *Subject) accepting(t *testing.T) {
	u := s.open(t)
	u.start(s.Configured)
	one := u.line()
	if one == nil || !one.Silent || one.Events != 0 || one.Since.IsZero() || !one.LastSeen.IsZero() {
		t.Fatalf("before anything came: %+v", one)
	}
	if len(u.source.Silence()) == 0 {
		t.Error("no cause of silence")
	}
	u.send("a")
	u.send("b")
	u.until("two events counted", func() bool { return u.line().Events == 2 })
	if one := u.line(); one.Silent || one.LastSeen.IsZero() {
		t.Errorf("after two events: %+v", one)
	}
	e, err := u.rt.Explain(t.Context(), auditrelay.NamespaceLiteLLM, "a")
	if err != nil || e.Provenance.Principal != s.Sender || e.Provenance.Source != u.source.Kind() {
		t.Errorf("its provenance: %+v, %v", e.Provenance, err)
	}
	if c := u.source.Metrics(); c != nil {
		registry := prometheus.NewPedanticRegistry()
		registry.MustRegister(c)
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		if problems, err := promlint.NewWithMetricFamilies(families).Lint(); err != nil || len(problems) > 0 {
			t.Errorf("metrics: %v %v", problems, err)
		}
	}
}

func (s *Subject) reloading(t *testing.T) {
	u := s.open(t)
	u.start(s.Configured)
	u.send("a")
	u.prepare(s.Configured).Apply()
	u.until("the count goes on", func() bool { one := u.line(); return one != nil && one.Events >= 1 })
	u.send("b")
	u.prepare(s.Without).Apply()
	if one := u.line(); one != nil {
		t.Errorf("not configured and awaited: %+v", one)
	}
	sent := s.Send(t, u.source, "c")
	if sent == nil && !s.Silent {
		t.Error("not configured, and the sender was told that its event is taken")
	}
	u.prepare(s.Configured).Apply()
	u.send("d")
	if s.Silent && sent == nil { // what nobody refused is taken after all
		u.until("what came meanwhile", func() bool { return u.known("c") })
	} else if u.known("c") {
		t.Error("what was refused is stored")
	}
}

func (s *Subject) refusing(t *testing.T) {
	u := s.open(t)
	u.start(s.Configured)
	u.send("a")
	for _, text := range []string{s.Configured, s.Bad} {
		if s.Check == nil {
			break
		}
		cfg := u.config(text)
		if _, err := s.Check(cfg.Ingest.Sources[u.source.Kind()], cfg); (err != nil) != (text == s.Bad) {
			t.Errorf("Check of %s: %v", text, err)
		}
	}
	change, err := u.source.Prepare(t.Context(), u.config(s.Bad))
	if err == nil {
		change.Discard()
		t.Fatal("the bad configuration was taken")
	}
	if one := u.line(); one == nil || one.Events == 0 {
		t.Errorf("after it was refused: %+v", one)
	}
	u.send("b")
}

func (s *Subject) closed(t *testing.T) {
	u := s.open(t)
	u.start(s.Configured)
	u.send("a")
	if err := u.rt.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Send(t, u.source, "b"); err == nil && !s.Silent {
		t.Error("the relay takes nothing, and the sender was told that its event is taken")
	}
}

func (s *Subject) ending(t *testing.T) {
	u := s.open(t)
	u.start(s.Configured)
	u.send("a")
	stopped := make(chan struct{})
	go func() { u.source.Stop(); close(stopped) }()
	select {
	case <-stopped:
	case <-time.After(20 * time.Second):
		t.Fatal("Stop does not return")
	}
	u.end()
}

// door serves without bounds.
type door struct{}

func (door) Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (door) Reserve(context.Context, string, int64) (func(), error) { return func() {}, nil }
func (door) Inflate(context.Context, string, int64) (func(), error) { return func() {}, nil }
