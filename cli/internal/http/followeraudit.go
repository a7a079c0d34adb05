package http

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"auditrelay/cli/internal/api"
	"auditrelay/internal/auditstore"

	"github.com/prometheus/client_golang/prometheus"
)

// ownReads are the searches and exports that a follower answers from the store, once the leader
// has granted and recorded them. It forwards what it cannot answer.
type ownReads struct {
	f      *Follower
	stores Stores // nil: it forwards everything

	opening sync.Mutex
	open    atomic.Pointer[Store] // the store that was opened last
	failed  atomic.Int64          // when a store could not be opened, Unix ns

	answered *prometheus.CounterVec
	took     *prometheus.HistogramVec
}

const (
	// reopen is how long a follower forwards requests once it could not open the store.
	reopen = 10 * time.Second
	// notedWithin is how long the leader may take to record a reading.
	notedWithin = 10 * time.Second
	// closeGrant is how long the leader may take to end an exchange.
	closeGrant = 2 * time.Second
)

func newOwnReads(f *Follower, stores Stores) *ownReads {
	return &ownReads{f: f, stores: stores,
		answered: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "auditrelay_fleet_reads_total", Help: "Requests to the audit API that this relay answered from the store itself while it did not lead, by route and status.",
		}, []string{"route", "status"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "auditrelay_fleet_read_seconds", Help: "Time that these requests took.", Buckets: []float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 120, 600},
		}, []string{"route"}),
	}
}

// routes adds the routes of the audit API.
func (o *ownReads) routes(mux *http.ServeMux) {
	s := o.f.s
	mux.HandleFunc("GET "+api.GetAudit.Path, o.handler(api.GetAudit.Path, s.audit.searches, s.getAudit))
	mux.HandleFunc("GET "+api.GetAuditLog.Path, o.handler(api.GetAuditLog.Path, s.audit.searches, s.getAuditLog))
	mux.HandleFunc("GET "+api.GetAuditExport.Path, o.handler(api.GetAuditExport.Path, s.audit.exports, s.getAuditExport))
}

// handler answers a route of the audit API, or forwards the request.
func (o *ownReads) handler(route string, slots chan struct{}, handle auditHandler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		o.f.handOn(w, r, func(w http.ResponseWriter, r *http.Request, body *keptReader, leader Leader, target *url.URL) error {
			l := o.store(r, leader)
			if l == nil {
				return o.f.forward(w, r, body, leader, target)
			}
			// The exchange goes on when the client is gone, so that the leader records the end.
			ctx, cancel := context.WithCancelCause(r.Context())
			defer cancel(nil)
			defer context.AfterFunc(o.f.over, func() { cancel(errLeaderGone) })()
			g, err := o.ask(w, r.WithContext(ctx), body, leader, target, l)
			if g == nil {
				return err
			}
			defer g.close()
			defer context.AfterFunc(g.ctx, func() { cancel(errLeaderGone) })()
			o.answer(w, r.WithContext(ctx), route, g, func(rec http.ResponseWriter, r *http.Request) {
				o.f.s.search(rec, r, slots, l, func(out *auditWriter, from *auditstore.Store) error {
					return handle(out, r, principal{name: g.whose.Principal, namespace: g.whose.Namespace}, g, from)
				})
			})
			return nil
		})
	}
}

// errLeaderGone: the exchange with the leader about a reading has ended.
var errLeaderGone = errors.New("the relay that leads the fleet is gone")

// store returns the open store, or nil if the leader must answer.
func (o *ownReads) store(r *http.Request, leader Leader) Store {
	if o.stores == nil || !leader.Alike || r.Method != http.MethodGet {
		return nil
	}
	l, err := o.stores.Serving()
	if err != nil {
		return nil
	}
	if open := o.open.Load(); open != nil && *open == l {
		return l
	}
	// While one request opens the store, others are forwarded.
	if time.Since(time.Unix(0, o.failed.Load())) < reopen || !o.opening.TryLock() {
		return nil
	}
	defer o.opening.Unlock()
	ctx, cancel := context.WithTimeout(r.Context(), auditTime)
	defer cancel()
	if _, err := l.Read(ctx); err != nil {
		if r.Context().Err() == nil {
			o.failed.Store(time.Now().UnixNano())
			o.f.s.log.Warn("the store cannot be opened; searches go to the relay that leads", "error", err)
		}
		return nil
	}
	o.open.Store(&l)
	return l
}

// answer calls a handler like Server.wrap on the leader, which has decided about the request.
func (o *ownReads) answer(w http.ResponseWriter, r *http.Request, route string, g *grantedRead, handle func(http.ResponseWriter, *http.Request)) {
	start := time.Now()
	rec := &statusRecorder{ResponseWriter: w, patience: o.f.s.patience.write}
	defer func() {
		if p := recover(); p != nil {
			o.f.s.panicked(rec, http.MethodGet, route, p)
		}
	}()
	defer func() {
		o.answered.WithLabelValues(route, strconv.Itoa(rec.status)).Inc()
		o.took.WithLabelValues(route).Observe(time.Since(start).Seconds())
	}()
	maps.Copy(rec.Header(), g.head)
	handle(rec, r)
}

// grantedRead is a request that the leader allowed, and the exchange with it. It is the
// recorder of the request.
type grantedRead struct {
	whose  granted
	head   http.Header     // headers of the response
	ctx    context.Context // of the exchange
	cancel context.CancelFunc
	notes  chan note
	noted  chan noted
	over   chan struct{} // closed when the leader has ended the exchange

	mu  sync.Mutex
	out *io.PipeWriter // the request's body
}

// errGranted ends the forwarding of a request whose response is a grant.
var errGranted = errors.New("the request was granted")

// ask asks the leader for permission. If the leader answers the request itself, ask sends the
// answer to the client and returns nil. With an error, the client has no response yet.
func (o *ownReads) ask(w http.ResponseWriter, r *http.Request, body *keptReader, leader Leader, target *url.URL, l Store) (*grantedRead, error) {
	g := &grantedRead{notes: make(chan note), noted: make(chan noted), over: make(chan struct{})}
	g.ctx, g.cancel = context.WithCancel(context.WithoutCancel(r.Context()))
	stop := context.AfterFunc(r.Context(), g.cancel)
	defer stop()
	go o.f.watch(g.ctx, g.cancel, leader)
	var failed error
	var response io.ReadCloser
	proxy := o.f.proxy(body, leader, target, &failed)
	rewrite, modify := proxy.Rewrite, proxy.ModifyResponse
	proxy.Rewrite = func(p *proxyRequest) {
		rewrite(p)
		p.Out.Header.Set(grantHeader, grantFor(leader.Secret, l))
		p.Out.Body, p.Out.ContentLength, p.Out.TransferEncoding = g.body(), -1, []string{"chunked"}
		p.Out.GetBody = func() (io.ReadCloser, error) { return g.body(), nil }
	}
	proxy.ModifyResponse = func(resp *http.Response) error {
		if err := modify(resp); err != nil || resp.Header.Get(grantHeader) == "" {
			g.endBody() // the leader waits for it
			return err
		}
		response, resp.Body = resp.Body, http.NoBody
		g.head = resp.Header.Clone()
		for _, name := range []string{grantHeader, "Content-Type", "Content-Length", "Date", "Connection"} {
			g.head.Del(name)
		}
		return errGranted
	}
	proxy.ServeHTTP(w, r.WithContext(g.ctx))
	if response == nil {
		g.endBody()
		g.cancel()
		return nil, failed
	}
	in := json.NewDecoder(response)
	if err := in.Decode(&g.whose); err != nil {
		g.cancel()
		return nil, errors.Join(fmt.Errorf("read the leader's grant: %w", err), response.Close())
	}
	go g.listen(in, response)
	go g.speak()
	return g, nil
}

// body returns a new body for the request, which may be sent again until the leader responds.
func (g *grantedRead) body() io.ReadCloser {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.out != nil {
		_ = g.out.Close()
	}
	in, out := io.Pipe()
	g.out = out
	return in
}

func (g *grantedRead) endBody() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.out != nil {
		_ = g.out.Close()
	}
}

// listen receives the leader's answers. If they end before the request has its response, the
// response breaks off.
func (g *grantedRead) listen(in *json.Decoder, body io.Closer) {
	defer body.Close()
	defer close(g.over)
	for {
		var n noted
		if err := in.Decode(&n); err != nil {
			g.cancel()
			return
		}
		select {
		case g.noted <- n:
		case <-g.ctx.Done():
			return
		}
	}
}

// speak sends notes to the leader until notes is closed.
func (g *grantedRead) speak() {
	defer g.endBody()
	tick := time.NewTicker(noteEvery)
	defer tick.Stop()
	out := json.NewEncoder(g.out)
	for {
		var n note
		var open bool
		select {
		case n, open = <-g.notes:
			if !open {
				return
			}
		case <-tick.C:
		case <-g.ctx.Done():
			return
		}
		if err := out.Encode(n); err != nil {
			g.cancel()
			return
		}
	}
}

// tell sends a note and waits until the leader has recorded it.
func (g *grantedRead) tell(n note) *api.Error {
	gone := away("the relay that leads the fleet does not answer, so that the request cannot be recorded")
	late := time.NewTimer(notedWithin)
	defer late.Stop()
	select {
	case g.notes <- n:
	case <-late.C:
		return gone
	case <-g.ctx.Done():
		return gone
	}
	select {
	case answer := <-g.noted:
		return answer.Refused.answer()
	case <-late.C:
		g.cancel() // its answer must not be taken for that to another note
		return gone
	case <-g.ctx.Done():
		return gone
	}
}

func (g *grantedRead) reading(object string) (told func(events int), refused *api.Error) {
	if refused := g.tell(note{Reading: &object}); refused != nil {
		return nil, refused
	}
	return func(events int) { _ = g.tell(note{Told: &events}) }, nil // that they were read is on record
}

func (g *grantedRead) export(of exportRecord) (end func(of exportRecord, failure error) error, refused *api.Error) {
	if refused := g.tell(note{Export: &of}); refused != nil {
		return nil, refused
	}
	return func(of exportRecord, failure error) error {
		if refused := g.tell(note{Ended: &exportEnd{of, failure != nil}}); refused != nil {
			return refused
		}
		return nil
	}, nil
}

// close ends the exchange, so that its connection can be used again.
func (g *grantedRead) close() {
	close(g.notes)
	late := time.NewTimer(closeGrant)
	defer late.Stop()
	select {
	case <-g.over:
	case <-late.C:
	}
	g.cancel()
}

// DescribeFollower returns the descriptions of the metrics that only a relay that follows has.
func DescribeFollower() []string {
	o := newOwnReads(nil, nil)
	found := make(chan *prometheus.Desc, 2)
	o.answered.Describe(found)
	o.took.Describe(found)
	return []string{(<-found).String(), (<-found).String()}
}
