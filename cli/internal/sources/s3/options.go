package s3

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"auditrelay"
	"auditrelay/internal/ingest"
	"auditrelay/runtime"
)

// Options configure a Handler.
type Options struct {
	Runtime *runtime.Runtime // required; the handler does not close it
	Keys    []Key            // at least one
	// Region, where set, is the only one that a signature may name.
	Region string
	// Buckets, where any, are the only ones that are answered for.
	Buckets []string
	// Limits of one event; BodyBytes bounds one object.
	Limits ingest.Limits
	// Forward is where objects go that are no audit events. Nil: they are refused.
	Forward *Forward
	// DiscardOther acknowledges those objects and drops them, counted. Not with Forward.
	DiscardOther bool
	// Hold is how long an audit object waits while the relay cannot accept, before it
	// is answered with 503. Zero: not at all.
	Hold time.Duration
	// Reserve waits for memory of so many bytes and returns what gives it back; its
	// error means that there is none for now. Nil: no bound.
	Reserve func(ctx context.Context, bytes int64) (release func(), err error)
	// Inflate is Reserve for a decompressed body. A request calls it while it holds
	// what Reserve gave, so the two must not share a budget: requests that hold some of
	// it and wait for more would wait for each other. Nil: no bound.
	Inflate func(ctx context.Context, bytes int64) (release func(), err error)
	// Seen, where set, is told how many events came with a key, whatever became of
	// them.
	Seen   func(key string, events int)
	Counts *Counts          // default: counts of its own
	Logger *slog.Logger     // default slog.Default()
	Now    func() time.Time // for tests; default time.Now
}

// Key is one access key and who holds it.
type Key struct {
	Name        string // recorded with every event as its principal
	AccessKeyID string
	Secret      auditrelay.Secret
}

// MinSecretBytes is the shortest secret that is taken: whoever has seen one signed
// request can try shorter ones out.
const MinSecretBytes = 16

// AccessKeyIDForm is what an access key id looks like: it stands between slashes in
// a header.
var AccessKeyIDForm = regexp.MustCompile(`^[A-Za-z0-9_.-]{3,128}$`)

// Handler answers S3 requests. It is safe for concurrent use.
type Handler struct {
	rt       *runtime.Runtime
	verifier verifier
	buckets  map[string]bool // nil: any
	names    []string        // of buckets
	limits   ingest.Limits
	forward  *forwarder
	hold     time.Duration
	now      func() time.Time

	discardOther bool

	reserve func(context.Context, int64) (func(), error)
	inflate func(context.Context, int64) (func(), error)
	seen    func(string, int)
	counts  *Counts
	log     *slog.Logger
	told    told
}

// New returns a handler.
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
	unbounded := func(context.Context, int64) (func(), error) { return func() {}, nil }
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

// DefaultHold is how long a request waits unless it is configured: well below the
// timeout of LiteLLM's client, and longer than most of what makes the relay stop
// accepting for a while.
const DefaultHold = 10 * time.Second

const defaultObject = 16 << 20

// Close lets go of the connections to the bucket that is forwarded to.
func (h *Handler) Close() {
	if h.forward != nil {
		h.forward.client.CloseIdleConnections()
	}
}
