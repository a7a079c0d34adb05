package http

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"time"
)

// followsHeader is in the response of a relay that does not lead to a forwarded request. It has
// not processed the request.
const followsHeader = "Auditrelay-Follows"

var errFollows = errors.New("the relay does not lead its fleet any more")

// away responds to a request that cannot be forwarded.
func (f *Follower) away(w http.ResponseWriter, r *http.Request, why string, sent bool) {
	if f.o.Away == nil || !f.o.Away(w, r, why, sent) {
		respondError(w, away(why))
	}
}

// sendOn forwards a request to the leader. It waits for one if there is none, and repeats a
// request that no relay has processed.
func (f *Follower) sendOn(w http.ResponseWriter, r *http.Request) { f.handOn(w, r, f.forward) }

// handOn is sendOn with another function in the place of forward.
func (f *Follower) handOn(w http.ResponseWriter, r *http.Request, forward func(http.ResponseWriter, *http.Request, *keptReader, Leader, *url.URL) error) {
	switch {
	case r.Header.Get(fleetHeader) != "":
		w.Header().Set(followsHeader, "true")
		w.Header().Set("Connection", "close") // the next request goes to the server that follows
		respondError(w, away("this relay does not lead its fleet any more"))
		return
	case r.Context().Value(peerKey{}) != nil && r.Header.Get("Authorization") == "":
		respondError(w, away("this relay does not lead its fleet, and who calls by its socket without a token cannot be sent on: use a token"))
		return
	}
	body := keepBody(r)
	hold, cancel := context.WithTimeout(r.Context(), f.hold)
	defer cancel()
	defer context.AfterFunc(f.over, cancel)()
	for {
		leader, changed := f.wait(hold)
		select {
		case <-f.leads:
			r.Body = body.reader()
			f.own.ServeHTTP(w, r)
			return
		default:
		}
		target, err := url.Parse(leader.Address)
		if leader.Address == "" || err != nil {
			f.away(w, r, "no relay of the fleet leads", false)
			return
		}
		err = forward(w, r, body, leader, target)
		switch {
		case err == nil:
			return
		case !unprocessed(err), !body.whole(), hold.Err() != nil:
			f.tell(r, leader, err)
			f.away(w, r, "the relay that leads the fleet does not answer", !unprocessed(err))
			return
		}
		select {
		case <-changed:
		case <-f.leads:
		case <-hold.Done():
		}
	}
}

// tellAgain is how often failures to forward requests are logged.
const tellAgain = time.Minute

// tell logs why a request could not be forwarded, unless another failure was logged lately.
func (f *Follower) tell(r *http.Request, leader Leader, err error) {
	level := slog.LevelDebug
	if last, now := f.told.Load(), time.Now().UnixNano(); r.Context().Err() == nil && now-last >= int64(tellAgain) && f.told.CompareAndSwap(last, now) {
		level = slog.LevelWarn
	}
	f.s.log.Log(r.Context(), level, "a request could not be sent on to the relay that leads; more of these are not logged for a minute", "leader", leader.Address, "error", err)
}

// unprocessed reports whether a failed request certainly had no effect.
func unprocessed(err error) bool {
	e, ok := errors.AsType[*net.OpError](err)
	return errors.Is(err, errFollows) || ok && e.Op == "dial"
}

// forward sends a request to the leader, and its response to the client. It ends if another
// relay leads and the former leader is gone. With an error, the client has no response yet.
func (f *Follower) forward(w http.ResponseWriter, r *http.Request, body *keptReader, leader Leader, target *url.URL) (failed error) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(f.over, cancel)()
	go f.watch(ctx, cancel, leader)
	proxy := f.proxy(body, leader, target, &failed)
	again := r.WithContext(ctx)
	again.Body = body.reader()
	proxy.ServeHTTP(w, again)
	return failed
}

type proxyRequest = httputil.ProxyRequest

// proxy returns a proxy to the leader. It sets failed if the client has no response.
func (f *Follower) proxy(body *keptReader, leader Leader, target *url.URL, failed *error) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Transport: f.transport, FlushInterval: -1, ErrorLog: slog.NewLogLogger(f.s.log.Handler(), slog.LevelDebug),
		Rewrite: func(p *proxyRequest) {
			p.SetURL(target)
			p.Out.Host = p.In.Host
			p.Out.Header.Set(fleetHeader, leader.Secret)
			p.Out.Header.Del(grantHeader)
			p.Out.Header.Set(peerHeader, peerAddress(p.In))
			if body.kept {
				p.Out.GetBody = func() (io.ReadCloser, error) { return body.reader(), nil }
			}
		},
		ModifyResponse: func(resp *http.Response) error {
			if resp.Header.Get(followsHeader) != "" {
				return errFollows
			}
			return nil
		},
		ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) { *failed = err },
	}
}

// watch cancels a request if another relay leads and the former leader is gone, which may stand
// still.
func (f *Follower) watch(ctx context.Context, cancel func(), leader Leader) {
	for {
		now, changed := f.o.Leader()
		if now.Address != leader.Address && !f.o.Lives(leader.Address) {
			cancel()
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

// wait waits for a leader and returns it.
func (f *Follower) wait(hold context.Context) (Leader, <-chan struct{}) {
	for {
		leader, changed := f.o.Leader()
		if leader.Address != "" {
			return leader, changed
		}
		select {
		case <-changed:
			continue
		case <-f.leads:
		case <-hold.Done():
		}
		return leader, changed
	}
}

// keptReader is the body of a request that may be sent more than once.
type keptReader struct {
	rest  io.Reader
	begun atomic.Bool // rest was read

	kept bool // text is the whole body
	text []byte
}

// keepBody reads the body of a request if it is small.
func keepBody(r *http.Request) *keptReader {
	b := &keptReader{rest: r.Body}
	if r.ContentLength < 0 || r.ContentLength > keptBody {
		return b
	}
	text, err := io.ReadAll(r.Body)
	if err != nil {
		b.rest = io.MultiReader(bytes.NewReader(text), failingReader{err})
		return b
	}
	b.kept, b.text = true, text
	return b
}

// whole reports whether the body can be sent from its beginning.
func (b *keptReader) whole() bool { return b.kept || !b.begun.Load() }

func (b *keptReader) reader() io.ReadCloser {
	if b.kept {
		return io.NopCloser(bytes.NewReader(b.text))
	}
	return io.NopCloser(b)
}

// Read reads the rest.
func (b *keptReader) Read(p []byte) (int, error) {
	b.begun.Store(true)
	return b.rest.Read(p)
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }
