package detect

import (
	"bytes"
	"io"
)

// Texts that stand compressed by gzip, and then in base64, as Helm, cloud-init and
// CloudWatch have them.

const (
	// inflatedMost is how much of one compressed text is looked at.
	inflatedMost = 64 << 10
	// inflatedPerByte, and inflatedMost, bound what is inflated for one text: a byte of
	// gzip can stand for a thousand. A short text has no more than shortPerByte, since an
	// event may hold very many.
	inflatedPerByte = 4
	shortPerByte    = 32
)

var gzipMagic = [2]byte{0x1f, 0x8b}

// compressed looks into a row of base64 that encodes a gzip stream. Of one that is cut
// short, it looks at what can be read.
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
	n, _ := io.ReadFull(&d.gzip, d.inflateInto[:most]) // what is read before an error counts
	d.inflated += n
	text := d.inflateInto[:n]
	if len(text) < shortest || bytes.IndexByte(text, 0) >= 0 {
		return Finding{}, false
	}
	return s.within(text, w, layers-1)
}
