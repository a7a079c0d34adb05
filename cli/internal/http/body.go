package http

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"auditrelay/cli/internal/api"
)

// patience has the server's time limits for slow clients. Tests use shorter ones.
type patience struct {
	// header limits the time until a request's headers are complete.
	header time.Duration
	// body is a grace period. After it a body must arrive with at least bodyBytesPerSec, since
	// its connection and its memory are needed for others.
	body time.Duration
	// busy is how long a request waits for its share of the memory.
	busy time.Duration
	// write is how long a client may take to read a response.
	write time.Duration
	// arriving is how long new connections may take for their first request after the server
	// stopped accepting connections.
	arriving time.Duration
	// shutdown is how long running requests may take after the server stopped serving.
	shutdown time.Duration
}

func defaultPatience() patience {
	return patience{header: 10 * time.Second, body: 15 * time.Second, busy: 20 * time.Second, write: time.Minute, arriving: 250 * time.Millisecond, shutdown: 5 * time.Second}
}

const bodyBytesPerSec = 64 << 10

var errTooSlow = errors.New("the body comes too slowly")

// pacedReader enforces a minimum speed of a body with the connection's read deadline.
type pacedReader struct {
	r       io.Reader
	control *http.ResponseController
	start   time.Time
	grace   time.Duration
	read    int64
	set     time.Time // the current deadline
	ended   bool      // nothing is left to read; a deadline would cut off the answer
}

func newPacedReader(w http.ResponseWriter, r *http.Request, grace time.Duration) *pacedReader {
	return &pacedReader{r: r.Body, control: http.NewResponseController(w), start: time.Now(), grace: grace, ended: r.ContentLength == 0}
}

func (p *pacedReader) Read(b []byte) (int, error) {
	allowed := p.grace + time.Duration(p.read/bodyBytesPerSec)*time.Second
	if deadline := p.start.Add(allowed); !p.ended && deadline.After(p.set) {
		p.set = deadline
		// If it cannot be set, the server's ReadTimeout applies.
		_ = p.control.SetReadDeadline(deadline)
	}
	n, err := p.r.Read(b)
	p.read += int64(n)
	p.ended = p.ended || errors.Is(err, io.EOF)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = errTooSlow
	}
	return n, err
}

// paced returns h with a minimum speed of bodies.
func (s *Server) paced(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = struct {
			io.Reader
			io.Closer
		}{newPacedReader(w, r, s.patience.body), r.Body}
		h.ServeHTTP(w, r)
	})
}

func tooLarge(limit int64) *api.Error {
	return &api.Error{
		Status: http.StatusRequestEntityTooLarge, Reason: api.ReasonTooLarge,
		Message: "the body is larger than one request may be",
		Hint:    "at most " + byteCount(limit) + ", once decompressed; send it in parts",
	}
}

// bodyTooLarge is tooLarge for events. Its hint names the limit in the configuration.
func (s *Server) bodyTooLarge() *api.Error {
	e := tooLarge(int64(s.limits.BodyBytes))
	e.Hint += ", or raise ingest.limits.body_bytes"
	return e
}
