package corpus

import (
	"bytes"
	"io"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Secrets is a set of planted secrets. The zero value is empty.
type Secrets struct {
	byToken map[string]Plant
}

// Add adds secrets.
func (s *Secrets) Add(plants ...Plant) {
	if s.byToken == nil {
		s.byToken = make(map[string]Plant)
	}
	for _, p := range plants {
		if i := strings.Index(p.Secret, Marker); i >= 0 && len(p.Secret) >= i+tokenBytes {
			s.byToken[p.Secret[i:i+tokenBytes]] = p
		}
	}
}

// Len returns how many distinct secrets there are.
func (s *Secrets) Len() int { return len(s.byToken) }

// Hit is a planted secret that was found.
type Hit struct {
	Plant  Plant
	Form   string // how it was found: "raw", "unescaped", "gzip: raw", ...
	Offset int    // of its token in that form
}

// maxDepth limits how often escapes are decoded and compressed data is opened.
const maxDepth = 8

// maxOpened limits the size of one decompressed piece.
const maxOpened = 1 << 30

// Search finds secrets in bytes that left the relay: unchanged; with JSON escapes decoded
// repeatedly, for strings within strings; and decompressed, for gzip or zstd. It reports each
// secret once, in the first form in which it was found. The time does not depend on the number
// of secrets.
func Search(delivered []byte, secrets *Secrets) []Hit {
	s := search{secrets: secrets, seen: make(map[string]bool)}
	s.all(delivered, "", maxDepth)
	return s.hits
}

type search struct {
	secrets *Secrets
	seen    map[string]bool
	hits    []Hit
}

func (s *search) all(data []byte, prefix string, depth int) {
	s.one(data, prefix+"raw")
	text := data
	for range maxDepth {
		if bytes.IndexByte(text, '\\') < 0 {
			break
		}
		next := unescape(make([]byte, 0, len(text)), text)
		s.one(next, prefix+"unescaped")
		text = next
	}
	if opened, name := open(data); opened != nil && depth > 0 {
		s.all(opened, prefix+name+": ", depth-1)
	}
}

func (s *search) one(data []byte, form string) {
	marker := []byte(Marker)
	for i := 0; ; {
		n := bytes.Index(data[i:], marker)
		if n < 0 || i+n+tokenBytes > len(data) {
			return
		}
		i += n
		token := string(data[i : i+tokenBytes])
		if p, ok := s.secrets.byToken[token]; ok && !s.seen[token] {
			s.seen[token] = true
			s.hits = append(s.hits, Hit{Plant: p, Form: form, Offset: i})
		}
		i += len(marker)
	}
}

// open decompresses data, as far as possible, if it is compressed.
func open(data []byte) (opened []byte, name string) {
	var r io.Reader
	switch {
	case bytes.HasPrefix(data, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, ""
		}
		r, name = z, "gzip"
	case bytes.HasPrefix(data, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(bytes.NewReader(data), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, ""
		}
		defer z.Close()
		r, name = z, "zstd"
	default:
		return nil, ""
	}
	opened, _ = io.ReadAll(io.LimitReader(r, maxOpened)) // search the readable part of a damaged file too
	return opened, name
}

// unescape decodes JSON escapes everywhere, inside strings or not, so it does not depend on
// finding the start of a string.
func unescape(dst, b []byte) []byte {
	for {
		i := bytes.IndexByte(b, '\\')
		if i < 0 || i+1 >= len(b) {
			return append(dst, b...)
		}
		dst = append(dst, b[:i]...)
		c := b[i+1]
		b = b[i+2:]
		switch c {
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'u':
			r, ok := hex4(b)
			if !ok {
				break
			}
			b = b[4:]
			if utf16.IsSurrogate(r) && len(b) >= 6 && b[0] == '\\' && b[1] == 'u' {
				if low, ok := hex4(b[2:]); ok && utf16.IsSurrogate(low) {
					r = utf16.DecodeRune(r, low)
					b = b[6:]
				}
			}
			dst = utf8.AppendRune(dst, r)
			continue
		}
		dst = append(dst, c)
	}
}

func hex4(b []byte) (r rune, ok bool) {
	if len(b) < 4 {
		return 0, false
	}
	for _, c := range b[:4] {
		r <<= 4
		switch {
		case '0' <= c && c <= '9':
			r |= rune(c - '0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			r |= rune(c|0x20-'a') + 10
		default:
			return 0, false
		}
	}
	return r, true
}
