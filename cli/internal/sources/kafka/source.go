package kafka

import (
	"context"
	"reflect"
	"sync"
	"time"

	"auditrelay/cli/internal/api"
	"auditrelay/cli/internal/sources"
	"auditrelay/cli/internal/sources/intake"
	"auditrelay/config"

	"github.com/prometheus/client_golang/prometheus"
)

const kind = "kafka"

// Source reads the topics of ingest.kafka, if there are any.
type Source struct {
	host    *sources.Host
	senders sources.Senders
	counts  intake.Counts
	again   time.Duration // interval of checks of a topic that cannot be read

	mu      sync.Mutex
	config  Config
	reader  *reader       // nil if nothing is configured
	changed chan struct{} // signals that reader was replaced

	stopping context.Context // ended by Stop
	stop     context.CancelFunc
	ended    chan struct{} // closed when Run returns
}

// NewSource returns a Source. It does no I/O; call Run to start reading.
func NewSource(host *sources.Host) *Source {
	s := &Source{host: host, again: time.Minute, changed: make(chan struct{}, 1), ended: make(chan struct{})}
	s.stopping, s.stop = context.WithCancel(context.Background())
	return s
}

// Kind returns "kafka".
func (*Source) Kind() string { return kind }

// Prepare creates a reader if the configuration changed. Run connects to the brokers.
func (s *Source) Prepare(_ context.Context, cfg *config.Config) (sources.Change, error) {
	nothing := func() {}
	change := sources.Change{Apply: nothing, Discard: nothing}
	section, given := cfg.Ingest.Sources[kind]
	var c Config
	var r *reader
	if given {
		var err error
		next, access, err := read(section, cfg)
		if err != nil {
			return change, section.Explain(err)
		}
		c, r = next, newReader(s, next, access)
		for _, t := range c.Topics {
			r.topics[t.Name].schema = schemaOf(t, cfg)
		}
	}
	s.mu.Lock()
	same := reflect.DeepEqual(c, s.config) && (r == nil) == (s.reader == nil) && r.reads(s.reader)
	s.mu.Unlock()
	if !same {
		change.Apply = func() { s.use(r, c) }
	}
	return change, nil
}

func (s *Source) use(r *reader, c Config) {
	var names []string
	for _, t := range c.Topics {
		names = append(names, t.Name)
	}
	s.senders.Expect(names...)
	s.mu.Lock()
	s.reader, s.config = r, c
	s.mu.Unlock()
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// Run reads the configured topics until ctx ends or Stop is called.
func (s *Source) Run(ctx context.Context) error {
	defer close(s.ended)
	for ctx.Err() == nil && s.stopping.Err() == nil {
		s.mu.Lock()
		select {
		case <-s.changed: // this reader is the new one
		default:
		}
		r := s.reader
		s.mu.Unlock()
		reading, stop := context.WithCancel(ctx)
		unhook := context.AfterFunc(s.stopping, stop)
		var running sync.WaitGroup
		if r != nil {
			running.Go(func() { r.run(reading) })
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

// Stop ends reading permanently, once all read events are durable. If the relay does not accept
// them, their offsets are not committed, and they are read again later.
func (s *Source) Stop() {
	s.stop()
	<-s.ended
}

// Status returns one line for each topic.
func (s *Source) Status() []api.Source {
	lines := s.senders.Status(kind)
	s.mu.Lock()
	r := s.reader
	s.mu.Unlock()
	if r == nil {
		return lines
	}
	for i := range lines {
		lines[i].Topic = r.status(lines[i].Name)
	}
	return lines
}

// Silence returns the possible causes of missing events.
func (*Source) Silence() []string {
	return []string{
		"nobody writes to the topic, or to another one of a similar name",
		"another member of the consumer group reads the topic's partitions: relays with journals of their own need a group each",
		"the user may not read the topic or the group",
	}
}

// SilenceOf returns the causes for one topic, whose producer may not be LiteLLM.
func (s *Source) SilenceOf(string) []string { return s.Silence() }

// Metrics returns the progress of reading.
func (s *Source) Metrics() prometheus.Collector { return newCollector(s) }
