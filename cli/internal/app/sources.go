package app

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"auditrelay/cli/internal/api"
	"auditrelay/cli/internal/sources/postgres"
)

// sourceKind is the way by which a source's events come in.
type sourceKind string

const (
	sourceHTTP     sourceKind = "http"
	sourceS3       sourceKind = "s3"
	sourcePostgres sourceKind = "postgres"
)

// noEventsSeen is what is said of a source that has sent nothing since start.
const noEventsSeen = "no events seen"

// sources are the ways in that events are awaited from. It is safe for concurrent use.
type sources struct {
	address string // that the relay listens on
	denied  atomic.Uint64

	mu  sync.Mutex
	all map[sourceKey]*source
}

type sourceKey struct {
	kind sourceKind
	name string
}

// source is one of them, since the relay started or the source was configured.
type source struct {
	since  time.Time
	events atomic.Uint64
	last   atomic.Int64                    // Unix ns, 0: never
	tail   atomic.Pointer[postgres.Source] // of a table that is tailed
}

func newSources(address string) *sources {
	return &sources{address: address, all: map[sourceKey]*source{}}
}

// add has events awaited from a source, and returns it; one that is there already
// stays as it is.
func (s *sources) add(name string, kind sourceKind) *source {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := sourceKey{kind, name}
	found := s.all[key]
	if found == nil {
		found = &source{since: time.Now()}
		s.all[key] = found
	}
	return found
}

// expect has events awaited from these sources of a kind, and from no others of it.
func (s *sources) expect(kind sourceKind, names ...string) {
	for _, name := range names {
		s.add(name, kind)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range s.all {
		if key.kind == kind && !slices.Contains(names, key.name) {
			delete(s.all, key)
		}
	}
}

// Seen counts n events that came, whatever became of them.
func (s *source) Seen(n int) {
	if n > 0 {
		s.events.Add(uint64(n))
		s.last.Store(time.Now().UnixNano())
	}
}

// list returns the sources by kind and name.
func (s *sources) list() []api.Source {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []api.Source{}
	for key, source := range s.all {
		one := api.Source{Name: key.name, Kind: string(key.kind), Since: source.since.UTC(), Events: source.events.Load()}
		if last := source.last.Load(); last != 0 {
			one.LastSeen = time.Unix(0, last).UTC()
		}
		if tailed := source.tail.Load(); tailed != nil {
			status := tailed.Status()
			one.Tail = &status
		}
		if one.Silent = one.Events == 0; one.Silent {
			one.Causes = s.causes(key.kind)
		}
		list = append(list, one)
	}
	slices.SortFunc(list, func(a, b api.Source) int {
		return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Name, b.Name))
	})
	return list
}

// causes are why nothing may have come by this way, the likely ones first.
func (s *sources) causes(kind sourceKind) []string {
	causes := []string{
		"LiteLLM without its enterprise licence emits no audit events at all, and does not say so",
		"store_audit_logs is not on over there: litellm_settings.store_audit_logs: true, or LITELLM_STORE_AUDIT_LOGS=true",
	}
	switch kind {
	case sourceS3:
		causes = append(causes,
			"audit_log_callbacks over there does not list s3_v2, or s3_audit_callback_params.s3_endpoint_url is not this relay's address and port",
			"the keys differ: s3_aws_access_key_id and s3_aws_secret_access_key over there, ingest.s3 here")
	case sourcePostgres:
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

func (s *Server) getSources(w http.ResponseWriter, r *http.Request, _ principal) {
	respondJSON(w, s.sources.list())
}
