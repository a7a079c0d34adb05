package detect

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"testing"
)

// An event may contain very many short texts, each a compressed long one. The decompressed size
// of each is limited by its own length.
func TestShortTextsInflateLittle(t *testing.T) {
	set, err := Shipped().Set("secrets")
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	w, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if _, err := w.Write(bytes.Repeat([]byte("nothing "), 8<<10)); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	text := []byte(base64.StdEncoding.EncodeToString(packed.Bytes()))
	s := set.begin(Name{}, nil)
	defer set.end(&s)
	set.deeper(text, &s)
	if n := s.inner.inflated; n == 0 || n > shortPerByte*len(text) {
		t.Errorf("a text of %d bytes was inflated to %d", len(text), n)
	}
}
