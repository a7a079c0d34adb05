package ingest

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// ratioFrom is the decompressed size from which a body's ratio counts. A small body is harmless
// at any ratio.
const ratioFrom = 1 << 20

// body reads and decompresses a request's body. It returns an *EventError if a limit is
// exceeded or the data is damaged. The Reader sets Index and Offset.
type body struct {
	sent  counter   // as received
	plain io.Reader // decompressed; nil until the first Read
	// open starts decompression. It is nil for an uncompressed body.
	open  func(io.Reader) (io.Reader, error)
	limit int64 // for each of the two; negative: unlimited
	ratio int64 // negative: unlimited
	read  int64 // decompressed
	err   error // sticky
}

func newBody(r io.Reader, encoding string, l Limits) *body {
	b := &body{sent: counter{r: r}, limit: l.BodyBytes, ratio: int64(l.Ratio)}
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "identity":
		b.plain = &b.sent
	case "gzip", "x-gzip":
		b.open = openGzip
	case "zstd":
		b.open = openZstd
	default:
		b.err = bodyError(MediaType, "the content encoding is not known; send gzip, zstd or none", nil)
	}
	return b
}

func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.next(p)
	b.read += int64(n)
	switch {
	case b.limit >= 0 && max(b.read, b.sent.n) > b.limit:
		n -= int(min(int64(n), max(0, b.read-b.limit)))
		err = bodyError(BodyTooLarge, fmt.Sprintf("the body is larger than %d bytes; send fewer events a request", b.limit), nil)
	case b.open != nil && b.ratio >= 0 && b.read > ratioFrom && b.read/b.ratio > b.sent.n:
		n, err = 0, bodyError(Ratio, fmt.Sprintf("the body grew to more than %d times its compressed size", b.ratio), nil)
	case err != nil && err != io.EOF:
		err = b.fault(err)
	}
	b.err = err
	return n, err
}

// next reads decompressed bytes. It opens the decompressor first, whose header is also read
// from the body.
func (b *body) next(p []byte) (int, error) {
	if b.plain == nil {
		z, err := b.open(&b.sent)
		if err == io.EOF {
			return 0, io.EOF // an empty body
		}
		if err != nil {
			return 0, err
		}
		b.plain = z
	}
	return b.plain.Read(p)
}

func openGzip(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }

// maxWindow is how far back a zstd frame may refer, and so about the memory used by its
// decompression. It is the limit of RFC 9659 for HTTP.
const maxWindow = 8 << 20

// openZstd decompresses in the reader's own goroutine, so a body that is not read to its end
// leaves nothing running.
func openZstd(r io.Reader) (io.Reader, error) {
	return zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(maxWindow))
}

func (b *body) fault(err error) error {
	switch {
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return bodyError(Compression, fmt.Sprintf("the compressed data refers back more than %d MiB; send it with a smaller window", maxWindow>>20), err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return bodyError(Truncated, "the body is cut short", err)
	case b.open != nil && (b.sent.err == nil || b.sent.err == io.EOF):
		return bodyError(Compression, "the compressed data is damaged", err)
	}
	return bodyError(Unread, "the body could not be read to its end", err)
}

func bodyError(reason Reason, message string, cause error) *EventError {
	return &EventError{Kind: Unframeable, Reason: reason, Message: message, Rest: true, Err: cause}
}

// counter counts the bytes read and keeps the final error.
type counter struct {
	r   io.Reader
	n   int64
	err error
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if err != nil {
		c.err = err
	}
	return n, err
}

// DecompressionMemory returns roughly the maximum memory in bytes used to decompress a body
// with this content encoding, not counting its events.
func DecompressionMemory(encoding string) int64 {
	if strings.ToLower(strings.TrimSpace(encoding)) == "zstd" {
		return 2 * maxWindow // history, and space to move it
	}
	return 64 << 10
}
