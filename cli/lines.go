package cli

import (
	"bytes"
	"io"
	"sort"
)

// lines counts the lines of what is read through it, so that a place in it can be told as
// people look for it.
type lines struct {
	r      io.Reader
	read   int64
	before int     // line feeds that were forgotten
	feeds  []int64 // offsets of the others, rising
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

// line is the line, from 1, that an offset is on. The offset must not be before what was
// forgotten.
func (l *lines) line(offset int64) int {
	return l.before + sort.Search(len(l.feeds), func(i int) bool { return l.feeds[i] >= offset }) + 1
}

// forget gives up what is before an offset.
func (l *lines) forget(offset int64) {
	n := sort.Search(len(l.feeds), func(i int) bool { return l.feeds[i] >= offset })
	l.before += n
	l.feeds = append(l.feeds[:0], l.feeds[n:]...)
}
