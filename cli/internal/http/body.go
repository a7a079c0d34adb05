package http

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"auditrelay/cli/internal/api"
)

// patience is how long the server waits for slow clients. The tests have less.
type patience struct {
	// header bounds the time until a request's head is there.
	header time.Duration
	// body is a grace, after which a body must have come at least at
	// bodyBytesPerSec: its connection and its share of the memory are for others.
	body time.Duration
	// busy is how long a request waits for its share of the memory.
	busy time.Duration
	// write is how long a client may take to read an answer.
	write time.Duration
	// arriving is how long new connections have to bring their first request once nothing
	// more is accepted.
	arriving time.Duration
	// shutdown is how long requests under way have once nothing more is served.
	shutdown time.Duration
}

func defaultPatience() patience {
	return patience{header: 10 * time.Second, body: 15 * time.Second, busy: 20 * time.Second, write: time.Minute, arriving: 250 * time.Millisecond, shutdown: 5 * time.Second}
}

const bodyBytesPerSec = 64 << 10

var errTooSlow = errors.New("the body comes too slowly")

// pacedReader holds a body to a least speed, by the connection's read deadline.
type pacedReader struct {
	r       io.Reader
	control *http.ResponseController
	start   time.Time
	grace   time.Duration
	read    int64
	set     time.Time // the deadline that is in force
}

func newPacedReader(w http.ResponseWriter, r *http.Request, grace time.Duration) *pacedReader {
	return &pacedReader{r: r.Body, control: http.NewResponseController(w), start: time.Now(), grace: grace}
}

func (p *pacedReader) Read(b []byte) (int, error) {
	allowed := p.grace + time.Duration(p.read/bodyBytesPerSec)*time.Second
	if deadline := p.start.Add(allowed); deadline.After(p.set) {
		p.set = deadline
		// Where it cannot be set, the server's ReadTimeout stays in force.
		_ = p.control.SetReadDeadline(deadline)
	}
	n, err := p.r.Read(b)
	p.read += int64(n)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = errTooSlow
	}
	return n, err
}

// paced is h behind the bounds on how slowly a body may come.
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
		Message: "the body is larger than is taken in one request",
		Hint:    "at most " + byteCount(limit) + ", once decompressed; send it in parts",
	}
}
