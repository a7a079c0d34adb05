package s3

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"auditrelay"
	"auditrelay/cli/internal/sources"
	"auditrelay/internal/ingest"
	"auditrelay/runtime"
)

// Options configure a Handler.
type Options struct {
	Runtime *runtime.Runtime // required; the handler does not close it
	Keys    []Key            // at least one
	// Region, if set, is the only region that a signature may name.
	Region string
	// Buckets, if any, are the only accepted bucket names.
	Buckets []string
	// Limits limit one event. BodyBytes limits one object; default 16 MiB.
	Limits ingest.Limits
	// Forward is the destination of objects that are not audit events. Nil: they are
	// rejected.
	Forward *Forward
	// DiscardOther acknowledges and drops those objects, and counts them. It excludes
	// Forward.
	DiscardOther bool
	// Hold is how long an audit object waits while the relay does not accept events,
	// before it gets 503. Zero: it does not wait.
	Hold time.Duration
	// Reserve waits for that many bytes of memory for a key's holder. The handler calls release
	// when it no longer needs them. An error means that there is no memory now. Nil: no limit.
	Reserve func(ctx context.Context, holder string, bytes int64) (release func(), err error)
	// Inflate is Reserve for a decompressed body. A request calls it while it holds memory from
	// Reserve. So the two must not share a budget: requests that wait for more would wait for
	// each other. Nil: no limit.
	Inflate func(ctx context.Context, holder string, bytes int64) (release func(), err error)
	// Seen, if not nil, is called with the number of events sent with a key, whatever their
	// outcome.
	Seen   func(key string, events int)
	Counts *Counts          // default: new counts
	Logger *slog.Logger     // default: slog.Default()
	Now    func() time.Time // for tests; default: time.Now
}

// Key is one access key with the name of its holder.
type Key struct {
	Name        string // recorded with every event as its principal
	AccessKeyID string
	Secret      auditrelay.Secret
	Namespace   string // namespace of the events; see runtime.Submission
	Rates       sources.Rates
}

// MinSecretBytes is the minimum length of a secret. A shorter one can be found by brute
// force from one signed request.
const MinSecretBytes = 16

// AccessKeyIDForm is the form of an access key id, which a header contains between slashes.
var AccessKeyIDForm = regexp.MustCompile(`^[A-Za-z0-9_.-]{3,128}$`)

// Handler serves S3 requests. It is safe for concurrent use.
type Handler struct {
	rt       *runtime.Runtime
	verifier verifier
	buckets  map[string]bool // nil if any is accepted
	names    []string        // names of buckets
	limits   ingest.Limits
	forward  *forwarder
	hold     time.Duration
	now      func() time.Time

	discardOther bool

	reserve func(context.Context, string, int64) (func(), error)
	inflate func(context.Context, string, int64) (func(), error)
	seen    func(string, int)
	counts  *Counts
	log     *slog.Logger
	told    told
}

// New returns a Handler. It does no I/O. An error says which option is invalid. The caller must
// close the handler after use.
func New(o Options) (*Handler, error) {
	h := &Handler{
		rt: o.Runtime, limits: o.Limits, reserve: o.Reserve, inflate: o.Inflate, counts: o.Counts, seen: o.Seen, log: o.Logger, names: o.Buckets,
		hold: o.Hold, now: o.Now, discardOther: o.DiscardOther,
		verifier: verifier{keys: map[string]Key{}, region: o.Region, now: o.Now},
	}
	if h.limits.BodyBytes <= 0 {
		h.limits.BodyBytes = defaultObject
	}
	if h.log == nil {
		h.log = slog.Default()
	}
	if h.counts == nil {
		h.counts = new(Counts)
	}
	if h.seen == nil {
		h.seen = func(string, int) {}
	}
	if h.now == nil {
		h.now, h.verifier.now = time.Now, time.Now
	}
	unbounded := func(context.Context, string, int64) (func(), error) { return func() {}, nil }
	if h.reserve == nil {
		h.reserve = unbounded
	}
	if h.inflate == nil {
		h.inflate = unbounded
	}
	if len(o.Keys) == 0 {
		return nil, errors.New("the S3 way in needs at least one key")
	}
	for _, k := range o.Keys {
		_, twice := h.verifier.keys[k.AccessKeyID]
		switch {
		case !AccessKeyIDForm.MatchString(k.AccessKeyID):
			return nil, fmt.Errorf("key %q: an access key id of another form: expected 3 to 128 of A-Z, a-z, 0-9, _, . and -", k.Name)
		case twice:
			return nil, fmt.Errorf("key %q: another key has this access key id", k.Name)
		case len(k.Secret.Reveal()) < MinSecretBytes:
			return nil, fmt.Errorf("key %q: a secret shorter than %d bytes; make one with: openssl rand -hex 20", k.Name, MinSecretBytes)
		}
		h.verifier.keys[k.AccessKeyID] = k
	}
	if len(o.Buckets) > 0 {
		h.buckets = make(map[string]bool, len(o.Buckets))
		for _, b := range o.Buckets {
			h.buckets[b] = true
		}
	}
	if o.Forward != nil {
		var err error
		if h.forward, err = newForwarder(*o.Forward, h); err != nil {
			return nil, err
		}
		if o.DiscardOther {
			return nil, errors.New("objects that are no audit events are either passed on or discarded: leave out forward_to or discard_other_objects")
		}
	}
	return h, nil
}

// DefaultHold is the default of hold in a configuration: well below the timeout of
// LiteLLM's client, and longer than most pauses in which the relay does not accept
// events.
const DefaultHold = 10 * time.Second

const defaultObject = 16 << 20

// Close closes idle connections to the bucket of Forward.
func (h *Handler) Close() {
	if h.forward != nil {
		h.forward.client.CloseIdleConnections()
	}
}
