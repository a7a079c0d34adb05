package verify

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"auditrelay/internal/proof"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Limits for what is read. Whoever can write to the place must not be able to keep the verifier
// busy for long or to fill its memory.
const (
	maxObject   = 1 << 30   // a stored object; the relay writes none of that size
	maxHeld     = 64 << 20  // the part in memory; a larger object is read twice
	maxContent  = 4 << 30   // a decompressed object
	maxGuessed  = 256 << 20 // how far the lines of an altered object are compared
	maxStrange  = 1 << 20   // lines of a file beyond those that logs state
	maxWindow   = 128 << 20 // Zstandard window; the relay uses 8 MiB
	maxLine     = 256 << 20 // one line
	lineBuffer  = 256 << 10 // longer lines are hashed in parts
	sniffedSize = 4
)

// readAll reads a file into memory.
func readAll(files Files, name string, most int64) (data []byte, err error) {
	r, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	data, err = io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("it is larger than %d bytes", most)
	}
	return data, err
}

// object is a stored object that was hashed.
type object struct {
	sum  proof.Hash
	held []byte // its bytes, unless it is large
	open func() (io.ReadCloser, error)
}

// reading is the memory for reading, reused for each file.
type reading struct {
	stored bytes.Buffer
	lines  *bufio.Reader
}

// hashed hashes an object in its stored form. The result is valid until the next call.
func (m *reading) hashed(files Files, name string) (o *object, err error) {
	o = &object{open: func() (io.ReadCloser, error) { return files.Open(name) }}
	r, err := o.open()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	m.stored.Reset()
	if _, err := m.stored.ReadFrom(io.LimitReader(r, maxHeld)); err != nil {
		return nil, err
	}
	h := sha256.New()
	h.Write(m.stored.Bytes())
	more, err := io.Copy(h, io.LimitReader(r, maxObject-maxHeld+1))
	switch {
	case err != nil:
		return nil, err
	case more > maxObject-maxHeld:
		return nil, fmt.Errorf("it is larger than %d bytes", maxObject)
	case more == 0:
		o.held = m.stored.Bytes()
	}
	h.Sum(o.sum[:0])
	return o, nil
}

// content opens the decompressed contents of the object.
func (o *object) content() (io.ReadCloser, error) {
	if len(o.held) > 0 {
		return decompress(io.NopCloser(bytes.NewReader(o.held)))
	}
	r, err := o.open()
	if err != nil {
		return nil, err
	}
	return decompress(r)
}

// decompressed is a decompressing reader with its source.
type decompressed struct {
	io.Reader
	closers []func() error
}

func (d *decompressed) Close() (err error) {
	for _, c := range d.closers {
		err = errors.Join(err, c())
	}
	return err
}

// errCompressed means that the stored data cannot be decompressed.
var errCompressed = errors.New("it cannot be decompressed")

// decompress removes the compression, recognised by the first bytes. It closes stored.
func decompress(stored io.ReadCloser) (io.ReadCloser, error) {
	b := bufio.NewReader(stored) // small, because what follows reads large parts directly
	start, err := b.Peek(sniffedSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.Join(err, stored.Close())
	}
	d := &decompressed{b, []func() error{stored.Close}}
	switch {
	case bytes.HasPrefix(start, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, errors.Join(errCompressed, err, stored.Close())
		}
		d.Reader = compressedReader{z}
	case bytes.HasPrefix(start, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, errors.Join(errCompressed, err, stored.Close())
		}
		d.Reader = compressedReader{z}
		d.closers = append(d.closers, func() error { z.Close(); return nil })
	}
	return d, nil
}

// compressedReader distinguishes errors of decompression from those of the file.
type compressedReader struct{ io.Reader }

func (c compressedReader) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = errors.Join(errCompressed, err)
	}
	return n, err
}

// errLongLine means that a line is longer than any record.
var errLongLine = fmt.Errorf("it has a line of more than %d bytes", maxLine)

// textLine is a line of a file.
type textLine struct {
	sum   proof.Hash
	bytes int64
	text  []byte // without the line feed, valid until the next line; nil: too long
	ended bool   // by a line feed
}

// eachLine calls fn for every line until fn returns false. feeds: digests include the line
// feed.
func (m *reading) eachLine(r io.Reader, feeds bool, fn func(l *textLine) bool) error {
	if m.lines == nil {
		m.lines = bufio.NewReaderSize(nil, lineBuffer)
	}
	b, h := m.lines, sha256.New()
	b.Reset(r)
	long := int64(0) // bytes of a long line so far
	for {
		part, err := b.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			h.Write(part)
			if long += int64(len(part)); long > maxLine {
				return errLongLine
			}
			continue
		}
		last := errors.Is(err, io.EOF)
		if err != nil && !last {
			return err
		}
		if len(part) > 0 || long > 0 {
			l := textLine{bytes: long + int64(len(part))}
			l.text, l.ended = bytes.CutSuffix(part, []byte("\n"))
			summed := l.text
			if feeds {
				summed = part
			}
			if long == 0 {
				l.sum = sha256.Sum256(summed)
			} else {
				h.Write(summed)
				h.Sum(l.sum[:0])
				h.Reset()
				l.text, long = nil, 0
			}
			if !fn(&l) {
				return nil
			}
		}
		if last {
			return nil
		}
	}
}
