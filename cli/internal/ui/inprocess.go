package ui

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"sync"
)

// inProcess calls the API's handler without a connection, on behalf of a browser's
// request: the API sees the browser's address, host and TLS state, so that it
// authenticates and records the same caller as over the network.
type inProcess struct {
	api     http.Handler
	browser *http.Request
}

// RoundTrip returns as soon as the handler begins to answer. To end the handler, close the body
// or cancel the request's context.
func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	call := r.Clone(ctx)
	call.Host, call.RemoteAddr, call.TLS = t.browser.Host, t.browser.RemoteAddr, t.browser.TLS
	call.RequestURI = call.URL.RequestURI()
	if call.Body == nil {
		call.Body = http.NoBody
	}
	in, out := io.Pipe()
	answer := &answer{header: http.Header{}, out: out, began: make(chan struct{})}
	go func() {
		defer cancel()
		defer func() {
			// The handler panics to abort an incomplete answer.
			var err error
			if p := recover(); p != nil {
				err = io.ErrUnexpectedEOF
			}
			answer.WriteHeader(http.StatusOK)
			_ = out.CloseWithError(err)
		}()
		t.api.ServeHTTP(answer, call)
	}()
	<-answer.began
	return &http.Response{
		Status: strconv.Itoa(answer.status) + " " + http.StatusText(answer.status), StatusCode: answer.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: answer.sent, Request: r, ContentLength: -1,
		Body: body{in, cancel},
	}, nil
}

// body ends the handler when it is closed.
type body struct {
	*io.PipeReader
	cancel context.CancelFunc
}

func (b body) Close() error {
	b.cancel()
	return b.PipeReader.Close()
}

// answer passes on a handler's answer as it is written.
type answer struct {
	header, sent http.Header
	status       int
	out          *io.PipeWriter
	once         sync.Once
	began        chan struct{}
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	a.once.Do(func() {
		a.status, a.sent = status, a.header.Clone()
		close(a.began)
	})
}

func (a *answer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.out.Write(b)
}

// FlushError does nothing, because nothing is buffered.
func (a *answer) FlushError() error { return nil }
