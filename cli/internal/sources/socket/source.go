package socket

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"auditrelay/cli/internal/api"
	"auditrelay/cli/internal/sources"
	"auditrelay/cli/internal/sources/intake"
	"auditrelay/cli/internal/unixsocket"
	"auditrelay/config"
	"auditrelay/runtime"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	kind = "socket"
	// grace is how long Stop waits for a relay that does not accept events.
	grace = 5 * time.Second
)

// Source accepts lines from the sockets of ingest.sockets.
type Source struct {
	host    *sources.Host
	senders sources.Senders
	counts  intake.Counts
	refused refusals

	mu       sync.Mutex
	doors    map[string]*door // current doors by their Listen
	running  bool
	stopped  bool
	work     sync.WaitGroup  // for doors and their connections
	patience context.Context // ends when the relay gives up events that it does not accept
	giveUp   context.CancelFunc
}

// NewSource returns a Source. It does no I/O; Prepare opens sockets.
func NewSource(host *sources.Host) *Source {
	s := &Source{host: host, doors: map[string]*door{}}
	s.patience, s.giveUp = context.WithCancel(context.Background())
	return s
}

// Kind returns "socket".
func (*Source) Kind() string { return kind }

// settings are the settings of a door that a reload can change.
type settings struct {
	name, sender string
	schema       *runtime.Schema
	namespace    string
	rates        sources.Rates
	connections  int
}

// Prepare opens the sockets that are not open yet.
func (s *Source) Prepare(ctx context.Context, cfg *config.Config) (sources.Change, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var change sources.Change
	next, fresh := map[string]*settings{}, map[string]*door{}
	discard := func() {
		for _, d := range fresh {
			_ = d.listener.Close()
		}
	}
	for i := range cfg.Ingest.Sockets {
		c := &cfg.Ingest.Sockets[i]
		schema := cfg.SchemaNamed(c.Schema)
		if schema == nil {
			discard()
			return change, fmt.Errorf("ingest.sockets.%s: there is no schema %s", c.Name, c.Schema)
		}
		next[c.Listen] = &settings{
			name: c.Name, sender: c.Principal(), schema: schema.Compiled(), namespace: c.Namespace,
			rates: sources.NewRates(config.Rate{Events: c.Rate.Events}), connections: c.Connections,
		}
		who := access{c.Mode, c.Group}
		if d := s.doors[c.Listen]; d != nil {
			if d.access != who {
				change.Restart = append(change.Restart, "ingest.sockets."+c.Name+": mode and group")
			}
			continue
		}
		l, err := listen(ctx, c)
		if err != nil {
			discard()
			return change, fmt.Errorf("ingest.sockets.%s: %w", c.Name, err)
		}
		fresh[c.Listen] = newDoor(s, l, c.Listen, who)
	}
	change.Apply = func() { s.use(next, fresh) }
	change.Discard = discard
	return change, nil
}

func listen(ctx context.Context, c *config.LineSocket) (net.Listener, error) {
	if path := c.Path(); path != "" {
		l, err := unixsocket.Listen(ctx, path, c.FileMode(), c.Group)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return l, nil
	}
	var lc net.ListenConfig
	return lc.Listen(ctx, "tcp", c.Listen)
}

// use puts settings in force, together with new doors.
func (s *Source) use(next map[string]*settings, fresh map[string]*door) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for at, d := range s.doors {
		if next[at] == nil {
			delete(s.doors, at)
			d.end()
		}
	}
	var names []string
	for at, one := range next {
		names = append(names, one.sender)
		if d := s.doors[at]; d != nil {
			d.settings.Store(one)
			continue
		}
		d := fresh[at]
		d.settings.Store(one)
		s.doors[at] = d
		if s.running {
			s.open(d)
		}
	}
	s.senders.Expect(names...)
}

// open starts accepting connections at a door. The caller must hold s.mu.
func (s *Source) open(d *door) {
	if s.stopped {
		_ = d.listener.Close()
		return
	}
	one := d.settings.Load()
	s.host.Logger.Info("listening for lines of events", "socket", one.name, "address", d.at, "schema", one.schema.Name())
	s.work.Go(d.accept)
}

// Run accepts lines until ctx ends.
func (s *Source) Run(ctx context.Context) error {
	s.mu.Lock()
	s.running = true
	for _, d := range s.doors {
		s.open(d)
	}
	s.mu.Unlock()
	<-ctx.Done()
	s.Stop()
	return nil
}

// Stop accepts no new connections, accepts the data that connected producers wrote, and closes
// their connections. If the relay does not accept the data, Stop gives it up after grace,
// counts it and logs it.
func (s *Source) Stop() {
	s.mu.Lock()
	s.stopped = true
	for _, d := range s.doors {
		d.end()
	}
	s.mu.Unlock()
	late := time.AfterFunc(grace, s.giveUp)
	defer late.Stop()
	s.work.Wait()
}

func (s *Source) stopping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopped
}

// Status returns one line for each socket.
func (s *Source) Status() []api.Source { return s.senders.Status(kind) }

// Silence returns the possible causes of missing events.
func (*Source) Silence() []string {
	return []string{
		"the producer does not write to this socket, or its user may not connect: see mode and group",
		"it writes no line feed behind an event: nothing is an event before that",
	}
}

// SilenceOf returns the causes for one socket, whose producer is not LiteLLM.
func (s *Source) SilenceOf(string) []string { return s.Silence() }

// Metrics returns the counts of events and connections.
func (s *Source) Metrics() prometheus.Collector { return newCollector(s) }
