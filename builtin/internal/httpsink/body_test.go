package httpsink

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// The race detector reports a reader that still uses a body after TakeBack.
func TestABodyThatWasTakenBackIsNotRead(t *testing.T) {
	content := bytes.Repeat([]byte("x"), 1<<20)
	body := Lend(content)
	begun, ended := make(chan struct{}), make(chan error)
	go func() {
		_, err := body.Read(make([]byte, 10))
		close(begun)
		for err == nil {
			if _, err = body.Read(make([]byte, 10)); err == io.EOF {
				_, err = body.Seek(0, io.SeekStart)
			}
		}
		ended <- err
	}()
	<-begun
	body.TakeBack()
	clear(content)
	if err := <-ended; !errors.Is(err, errGone) {
		t.Error(err)
	}
	if _, err := body.Seek(0, io.SeekStart); !errors.Is(err, errGone) {
		t.Error(err)
	}
}
