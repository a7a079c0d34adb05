package detect

import (
	"bytes"
	"io"
)

// Texts compressed with gzip and then encoded in base64, as in Helm, cloud-init and CloudWatch.

const (
	// inflatedMost is the maximum decompressed size of one text that is scanned.
	inflatedMost = 64 << 10
	// inflatedPerByte and inflatedMost limit decompression for one text: one byte of gzip can
	// expand to a thousand. A short text gets at most shortPerByte, since an event may contain
	// very many.
	inflatedPerByte = 4
	shortPerByte    = 32
)

var gzipMagic = [2]byte{0x1f, 0x8b}

// compressed scans a row of base64 that encodes a gzip stream. If the stream is truncated, it
// scans the readable part.
func (s *Set) compressed(row []byte, w *scan, layer int) (Finding, bool) {
	d := s.room(w)
	d.rows[layer] = appendBase64(d.rows[layer][:0], row[:len(row)/4*4])
	most := min(inflatedMost, min(w.size*shortPerByte, w.size*inflatedPerByte+inflatedMost)-d.inflated)
	if most <= 0 {
		return Finding{}, false
	}
	d.packed.Reset(d.rows[layer])
	if d.gzip.Reset(&d.packed) != nil {
		return Finding{}, false
	}
	if d.inflateInto == nil {
		d.inflateInto = make([]byte, inflatedMost)
	}
	n, _ := io.ReadFull(&d.gzip, d.inflateInto[:most]) // data read before an error counts
	d.inflated += n
	text := d.inflateInto[:n]
	if len(text) < shortest || bytes.IndexByte(text, 0) >= 0 {
		return Finding{}, false
	}
	return s.within(text, w, layers-1)
}
