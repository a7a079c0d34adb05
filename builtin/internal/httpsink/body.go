package httpsink

import (
	"bytes"
	"errors"
	"sync"
)

var errGone = errors.New("the request has ended")

// LentBody is a payload's body during a delivery. An http.RoundTripper may continue to read for
// a moment after a request was cancelled. It then gets an error instead of memory that is used
// elsewhere.
type LentBody struct {
	mu   sync.Mutex
	r    *bytes.Reader
	gone bool
}

// Lend lends body until TakeBack.
func Lend(body []byte) *LentBody { return &LentBody{r: bytes.NewReader(body)} }

func (b *LentBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gone {
		return 0, errGone
	}
	return b.r.Read(p)
}

func (b *LentBody) Seek(offset int64, whence int) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gone {
		return 0, errGone
	}
	return b.r.Seek(offset, whence)
}

// TakeBack ends the loan: later reads fail.
func (b *LentBody) TakeBack() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gone, b.r = true, nil
}
