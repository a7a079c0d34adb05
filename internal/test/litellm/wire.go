package litellm

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// request is the bytes of a request. It uses its own connection, to detect how the connection
// breaks.
type request struct {
	address, path string
	head, body    []byte
}

// answer is the part of an answer that LiteLLM reads.
type answer struct {
	status int
	code   string
}

// piece is the number of bytes of a body per write.
const piece = 64 << 10

// do sends the request once. Without an answer it returns how the connection broke.
func (r *request) do(ctx context.Context, method string, timeout time.Duration) (*answer, Break) {
	var d net.Dialer
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := d.DialContext(ctx, "tcp", r.address)
	if err != nil {
		if ctx.Err() != nil {
			return nil, TimedOut
		}
		return nil, Refused
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
	defer stop()

	// The real clients read while they write: an answer or an end may arrive during the body.
	var written atomic.Int64
	wrote := make(chan error, 1)
	go func() {
		_, err := io.WriteString(conn, method+" "+r.path+" HTTP/1.1\r\n"+string(r.head))
		for left := r.body; err == nil && len(left) > 0; {
			var n int
			n, err = conn.Write(left[:min(piece, len(left))])
			left = left[n:]
			written.Add(int64(n))
		}
		wrote <- err
	}()
	a, err := read(conn)
	_ = conn.SetDeadline(time.Now())
	failed := <-wrote
	if a != nil {
		return a, 0
	}
	if errors.Is(failed, syscall.ECONNRESET) {
		err = failed
	}
	return nil, broke(err, len(r.body)-int(written.Load()), len(r.body))
}

func read(conn net.Conn) (*answer, error) {
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return nil, err
	}
	_, rest, _ := strings.Cut(string(body), "<Code>")
	code, _, _ := strings.Cut(rest, "</Code>")
	return &answer{resp.StatusCode, code}, nil
}

// broke classifies the break by its error and by the unsent part of the body.
func broke(err error, unsent, size int) Break {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return TimedOut
	case errors.Is(err, syscall.ECONNRESET):
		return Reset
	case unsent > 0 && unsent*2 > size:
		return ClosedAmid
	case unsent > 0:
		return ClosedLate
	}
	return ClosedAfter
}
