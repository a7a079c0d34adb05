package daemon

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"auditrelay/internal/api"
)

const (
	// A body that comes more slowly than this, after a first grace, is given up:
	// its connection and its share of the memory are for others.
	bodyGrace       = 15 * time.Second
	bodyBytesPerSec = 64 << 10
)

var errTooSlow = errors.New("the body comes too slowly")

// pacedReader holds a body to a least speed, by the connection's read deadline.
type pacedReader struct {
	r       io.Reader
	control *http.ResponseController
	start   time.Time
	read    int64
	set     time.Time // the deadline that is in force
}

func newPacedReader(w http.ResponseWriter, r *http.Request) *pacedReader {
	return &pacedReader{r: r.Body, control: http.NewResponseController(w), start: time.Now()}
}

func (p *pacedReader) Read(b []byte) (int, error) {
	allowed := bodyGrace + time.Duration(p.read/bodyBytesPerSec)*time.Second
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

func tooLarge(limit int64) *api.Error {
	return &api.Error{
		Status: http.StatusRequestEntityTooLarge, Reason: api.ReasonTooLarge,
		Message: "the body is larger than is taken in one request",
		Hint:    "at most " + byteCount(limit) + ", once decompressed; send it in parts",
	}
}
