package ui

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"
)

// maxAnswer limits an answer of the API, in bytes. Pages ask for bounded lists.
const maxAnswer = 16 << 20

var errLargeAnswer = errors.New("the answer is larger than a page shows")

// inProcess calls the API's handler without a connection, on behalf of a browser's
// request: the API sees the browser's address, host and TLS state, so that it
// authenticates and records the same caller as over the network.
type inProcess struct {
	api     http.Handler
	browser *http.Request
}

func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	call := r.Clone(r.Context())
	call.Host, call.RemoteAddr, call.TLS = t.browser.Host, t.browser.RemoteAddr, t.browser.TLS
	call.RequestURI = call.URL.RequestURI()
	if call.Body == nil {
		call.Body = http.NoBody
	}
	answer := &recorder{header: http.Header{}}
	t.api.ServeHTTP(answer, call)
	if answer.tooLarge {
		return nil, errLargeAnswer
	}
	if answer.status == 0 {
		answer.status = http.StatusOK
	}
	return &http.Response{
		Status: strconv.Itoa(answer.status) + " " + http.StatusText(answer.status), StatusCode: answer.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: answer.header,
		Body: io.NopCloser(&answer.body), ContentLength: int64(answer.body.Len()), Request: r,
	}, nil
}

// recorder keeps an answer in memory.
type recorder struct {
	header   http.Header
	status   int
	body     bytes.Buffer
	tooLarge bool
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

func (r *recorder) Write(b []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	if r.body.Len()+len(b) > maxAnswer {
		r.tooLarge = true
		return 0, errLargeAnswer
	}
	return r.body.Write(b)
}
