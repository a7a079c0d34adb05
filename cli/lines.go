package cli

import (
	"bytes"
	"io"
	"sort"
)

// lines counts the lines read through it, so that an offset can be shown as a line number.
type lines struct {
	r      io.Reader
	read   int64
	before int     // number of forgotten line feeds
	feeds  []int64 // offsets of the others, ascending
}

func (l *lines) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	for at := 0; ; {
		i := bytes.IndexByte(p[at:n], '\n')
		if i < 0 {
			break
		}
		l.feeds = append(l.feeds, l.read+int64(at+i))
		at += i + 1
	}
	l.read += int64(n)
	return n, err
}

// line returns the line number, from 1, of an offset. The offset must not be in the forgotten
// part.
func (l *lines) line(offset int64) int {
	return l.before + sort.Search(len(l.feeds), func(i int) bool { return l.feeds[i] >= offset }) + 1
}

// forget discards everything before an offset.
func (l *lines) forget(offset int64) {
	n := sort.Search(len(l.feeds), func(i int) bool { return l.feeds[i] >= offset })
	l.before += n
	l.feeds = append(l.feeds[:0], l.feeds[n:]...)
}
