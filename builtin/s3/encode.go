package s3

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// encoding is one way to store a batch object.
type encoding struct {
	extension string // the last part of the key's extension
	header    string // Content-Encoding; empty if there is none
}

var encodings = map[string]encoding{
	CompressionGzip: {".gz", "gzip"},
	CompressionZstd: {".zst", "zstd"},
	CompressionNone: {"", ""},
}

// compressor caches objects that are expensive to create. The zero value is ready. It is safe
// for concurrent use.
type compressor struct {
	gzip sync.Pool // has *gzip.Writer
	zstd struct {
		once    sync.Once
		encoder *zstd.Encoder
		err     error
	}
}

// compress compresses content. The same content always gives the same bytes, since no header
// contains a time or a name.
func (c *compressor) compress(compression string, content []byte) ([]byte, error) {
	switch compression {
	case CompressionNone:
		return content, nil
	case CompressionGzip:
		var buffer bytes.Buffer
		buffer.Grow(len(content)/4 + 512)
		w, ok := c.gzip.Get().(*gzip.Writer)
		if !ok {
			w = gzip.NewWriter(nil)
		}
		defer c.gzip.Put(w)
		w.Reset(&buffer)
		if _, err := w.Write(content); err != nil {
			return nil, err
		}
		if err := w.Close(); err != nil {
			return nil, err
		}
		return buffer.Bytes(), nil
	case CompressionZstd:
		c.zstd.once.Do(func() {
			c.zstd.encoder, c.zstd.err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
		})
		if c.zstd.err != nil {
			return nil, c.zstd.err
		}
		return c.zstd.encoder.EncodeAll(content, nil), nil
	}
	return nil, fmt.Errorf("compression %q is not known", compression)
}

// decompress reverses compress by the sealed Content-Encoding, so that a payload can be split
// after the option changed. It reads at most most bytes.
func decompress(header string, body []byte, most int64) (content []byte, compression string, err error) {
	var r io.Reader
	switch header {
	case "":
		return body, CompressionNone, nil
	case "gzip":
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, "", err
		}
		r, compression = z, CompressionGzip
	case "zstd":
		z, err := zstd.NewReader(bytes.NewReader(body), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<30))
		if err != nil {
			return nil, "", err
		}
		defer z.Close()
		r, compression = z, CompressionZstd
	default:
		return nil, "", fmt.Errorf("the sink does not use content encoding %q", bounded(header))
	}
	content, err = io.ReadAll(io.LimitReader(r, most+1))
	if err != nil {
		return nil, "", err
	}
	if int64(len(content)) > most {
		return nil, "", fmt.Errorf("the content is over %d bytes", most)
	}
	return content, compression, nil
}
