// Package sources holds the ways in that events are awaited from.
package sources

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"auditrelay/cli/internal/api"
	"auditrelay/cli/internal/sources/postgres"
)

// Kind is the way by which a source's events come in.
type Kind string

const (
	HTTP     Kind = "http"
	S3       Kind = "s3"
	Postgres Kind = "postgres"
)

// NoEventsSeen is what is said of a source that has sent nothing since start.
const NoEventsSeen = "no events seen"

// Registry holds the ways in that events are awaited from. It is safe for concurrent use.
type Registry struct {
	address string // that the relay listens on
	denied  atomic.Uint64

	mu  sync.Mutex
	all map[key]*Source
}

type key struct {
	kind Kind
	name string
}

// Source is one of them, since the relay started or the source was configured.
type Source struct {
	since  time.Time
	events atomic.Uint64
	last   atomic.Int64                    // Unix ns, 0: never
	tail   atomic.Pointer[postgres.Source] // of a table that is tailed
}

// NewRegistry returns an empty one. address is what the relay listens on, if known.
func NewRegistry(address string) *Registry {
	return &Registry{address: address, all: map[key]*Source{}}
}

// Add has events awaited from a source, and returns it; one that is there already
// stays as it is.
func (s *Registry) Add(kind Kind, name string) *Source {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := key{kind, name}
	found := s.all[at]
	if found == nil {
		found = &Source{since: time.Now()}
		s.all[at] = found
	}
	return found
}

// Expect has events awaited from these sources of a kind, and from no others of it.
func (s *Registry) Expect(kind Kind, names ...string) {
	for _, name := range names {
		s.Add(kind, name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for at := range s.all {
		if at.kind == kind && !slices.Contains(names, at.name) {
			delete(s.all, at)
		}
	}
}

// Denied counts a request with events that was refused for its token.
func (s *Registry) Denied() { s.denied.Add(1) }

// Tail has the source's status come from one that reads a table.
func (s *Source) Tail(t *postgres.Source) { s.tail.Store(t) }

// Seen counts n events that came, whatever became of them.
func (s *Source) Seen(n int) {
	if n > 0 {
		s.events.Add(uint64(n))
		s.last.Store(time.Now().UnixNano())
	}
}

// List returns the sources by kind and name.
func (s *Registry) List() []api.Source {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []api.Source{}
	for at, source := range s.all {
		one := api.Source{Name: at.name, Kind: string(at.kind), Since: source.since.UTC(), Events: source.events.Load()}
		if last := source.last.Load(); last != 0 {
			one.LastSeen = time.Unix(0, last).UTC()
		}
		if tailed := source.tail.Load(); tailed != nil {
			status := tailed.Status()
			one.Tail = &status
		}
		if one.Silent = one.Events == 0; one.Silent {
			one.Causes = s.causes(at.kind)
		}
		list = append(list, one)
	}
	slices.SortFunc(list, func(a, b api.Source) int {
		return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Name, b.Name))
	})
	return list
}

// causes are why nothing may have come by this way, the likely ones first.
func (s *Registry) causes(kind Kind) []string {
	causes := []string{
		"LiteLLM without its enterprise licence emits no audit events at all, and does not say so",
		"store_audit_logs is not on over there: litellm_settings.store_audit_logs: true, or LITELLM_STORE_AUDIT_LOGS=true",
	}
	switch kind {
	case S3:
		causes = append(causes,
			"audit_log_callbacks over there does not list s3_v2, or s3_audit_callback_params.s3_endpoint_url is not this relay's address and port",
			"the keys differ: s3_aws_access_key_id and s3_aws_secret_access_key over there, ingest.s3 here")
	case Postgres:
		causes = append(causes,
			"this is not the database that LiteLLM writes to, or not its schema",
			"the user may not read the table, or row security hides its rows")
	default:
		where := "this relay's address and port"
		if s.address != "" {
			where = s.address
		}
		causes = append(causes, "it sends elsewhere: this relay listens on "+where+", and events go to POST /v1/events there")
		if n := s.denied.Load(); n > 0 {
			causes = append(causes, fmt.Sprintf("its token is not one of those here: since start %d requests with events were refused for that", n))
		} else {
			causes = append(causes, "its token is not one of those here; but no request with events was refused since start")
		}
	}
	return append(causes, "nothing has happened: an event comes when a key, team, user or model is changed")
}
