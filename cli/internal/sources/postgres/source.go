package postgres

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"sync"

	"auditrelay/cli/internal/api"
	"auditrelay/cli/internal/sources"
	"auditrelay/config"
	"auditrelay/runtime"

	"github.com/prometheus/client_golang/prometheus"
)

var _ Relay = (*runtime.Runtime)(nil)

// Source reads a table as it grows, if the configuration names one.
type Source struct {
	host    *sources.Host
	senders sources.Senders

	mu      sync.Mutex
	config  Config
	tail    *Tail         // nil if none is configured
	changed chan struct{} // signals that tail was replaced

	stopping  context.Context // ended by Stop
	stop      context.CancelFunc
	ended     chan struct{} // closed when Run returns
	comparing sync.Mutex
}

// NewSource returns a Source. It does no I/O; call Run to start reading.
func NewSource(host *sources.Host) *Source {
	s := &Source{host: host, changed: make(chan struct{}, 1), ended: make(chan struct{})}
	s.stopping, s.stop = context.WithCancel(context.Background())
	return s
}

// Kind returns "postgres".
func (*Source) Kind() string { return sourceName }

// Prepare creates the tail of the table if its configuration changed.
func (s *Source) Prepare(_ context.Context, cfg *config.Config) (sources.Change, error) {
	nothing := func() {}
	change := sources.Change{Apply: nothing, Discard: nothing}
	section, given := cfg.Ingest.Sources[sourceName]
	var c Config
	if given {
		var err error
		if c, err = read(section); err != nil {
			return change, section.Explain(err)
		}
	}
	s.mu.Lock()
	same := reflect.DeepEqual(c, s.config)
	s.mu.Unlock()
	if same {
		return change, nil
	}
	var t *Tail
	if given {
		o := c.options(s.host.Limits.Events)
		o.Logger = s.host.Logger
		o.Seen = func(n int) { s.senders.Seen(o.Table, n) }
		var err error
		if t, err = NewTail(o); err != nil {
			return change, section.Explain(err)
		}
	}
	change.Apply = func() { s.use(t, c) }
	return change, nil
}

func (s *Source) use(t *Tail, c Config) {
	if t == nil {
		s.senders.Expect()
	} else {
		t.o.Relay, t.intake.relay = s.host.Runtime, s.host.Runtime // the runtime did not exist when the tail was created
		s.senders.Expect(t.o.Table)
	}
	s.mu.Lock()
	s.tail, s.config = t, c
	s.mu.Unlock()
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// Run reads the configured table until ctx ends or Stop is called.
func (s *Source) Run(ctx context.Context) error {
	defer close(s.ended)
	for ctx.Err() == nil && s.stopping.Err() == nil {
		s.mu.Lock()
		t := s.tail
		s.mu.Unlock()
		reading, stop := context.WithCancel(ctx)
		unhook := context.AfterFunc(s.stopping, stop)
		var running sync.WaitGroup
		if t != nil {
			running.Go(func() { t.Run(reading) })
		}
		select {
		case <-s.changed:
		case <-reading.Done():
		}
		stop()
		running.Wait()
		unhook()
	}
	return nil
}

// Stop ends reading permanently, once all read rows are submitted.
func (s *Source) Stop() {
	s.stop()
	<-s.ended
}

// Status returns one line for the table.
func (s *Source) Status() []api.Source {
	lines := s.senders.Status(sourceName)
	s.mu.Lock()
	t := s.tail
	s.mu.Unlock()
	if t == nil {
		return lines
	}
	for i := range lines {
		status := t.Status()
		lines[i].Tail = &status
	}
	return lines
}

// Silence returns the possible causes of missing events.
func (*Source) Silence() []string {
	return []string{
		"this is not the database that LiteLLM writes to, or not its schema",
		"the user may not read the table, or row security hides its rows",
	}
}

// Metrics returns the progress of reading.
func (s *Source) Metrics() prometheus.Collector { return newCollector(s) }

// Reconcile compares the table with the journal. sources.ErrReconciling: another
// comparison runs.
func (s *Source) Reconcile(ctx context.Context, want api.Reconcile, fn func(api.Difference) error) (api.Reconciled, error) {
	s.mu.Lock()
	t, c := s.tail, s.config
	s.mu.Unlock()
	if t == nil {
		return api.Reconciled{}, sources.ErrNothingRead
	}
	if !s.comparing.TryLock() {
		return api.Reconciled{}, sources.ErrReconciling
	}
	defer s.comparing.Unlock()
	done, err := Reconcile(ctx, s.host.Runtime, Reconciliation{
		URL: c.URL, Schema: c.Schema, Table: c.Table, Namespace: c.Namespace, From: want.From, To: want.To, Repair: want.Repair,
	}, fn)
	if table, ok := errors.AsType[*TableError](err); ok {
		err = &api.Error{Status: http.StatusBadGateway, Reason: api.ReasonUnavailable, Message: table.Error()}
	}
	return done, err
}
