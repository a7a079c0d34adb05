package detect

import "unicode/utf8"

// Texts with escapes of URLs, HTML or programs: sk%2Dproj%2D, &#115;k-, \u0073k-. They are
// scanned again after decoding, and once more if escapes remain.

// escapes are the patterns that mark a text as containing escapes.
func escapes() []pattern {
	hex := setOf("0123456789abcdefABCDEF")
	all := []pattern{{setOf("%"), hex, hex}, {setOf("\\"), setOf("ux"), hex, hex}}
	for _, text := range []string{"&#", "&amp;", "&quot;", "&apos;", "&lt;", "&gt;"} {
		all = append(all, literal(text))
	}
	return all
}

// unescaped appends the findings in text after decoding its escapes. It decodes twice, because
// URLs in URLs are escaped twice.
func (s *Set) unescaped(found []Finding, text []byte, w *scan, d *decoder) []Finding {
	more := unescape(d, 0, text, nil, w)
	found = s.inPlain(found, d, 0, w)
	if more {
		unescape(d, 1, d.plain[0], d.at[0], w)
		found = s.inPlain(found, d, 1, w)
	}
	return found
}

// inPlain appends the findings in a decoded text, at their positions in the escaped one.
func (s *Set) inPlain(found []Finding, d *decoder, round int, w *scan) []Finding {
	plain, at := d.plain[round], d.at[round]
	inner := scan{name: w.name, work: w.work, look: w.look}
	for from, due := 0, lookBytes; ; {
		f, ok := s.next(plain, from, &inner)
		if !ok {
			break
		}
		if from = f.End; from >= due {
			due = from + lookBytes
			w.pass()
		}
		f.Start, f.End = int(at[f.Start]), int(at[f.End])
		found = append(found, f)
	}
	for from := 0; ; {
		start, end, ok := nextRow(plain, from)
		if !ok {
			return found
		}
		if f, ok := s.encoded(plain, start, end, w); ok {
			f.Start, f.End = int(at[start]), int(at[end])
			found = append(found, f)
		}
		from = end
	}
}

// unescape decodes the escapes of text into a round's buffer. more reports whether the result
// may contain escapes. at is the original position of each byte of text; nil means unchanged.
func unescape(d *decoder, round int, text []byte, at []int32, w *scan) (more bool) {
	plain, to := d.plain[round][:0], d.at[round][:0]
	place := func(i int) int32 {
		if at == nil {
			return int32(i)
		}
		return at[i]
	}
	for i, due := 0, lookBytes; i < len(text); {
		if i >= due {
			due = i + 16*lookBytes
			w.pass()
		}
		r, n := escape(text[i:])
		if n == 0 {
			plain, to = append(plain, text[i]), append(to, place(i))
			i++
			continue
		}
		more = more || r == '%' || r == '&' || r == '\\'
		before := len(plain)
		if r < 0x80 || text[i] == '%' || text[i+1] == 'x' && text[i] == '\\' {
			plain = append(plain, byte(r))
		} else {
			plain = utf8.AppendRune(plain, r)
		}
		for range len(plain) - before {
			to = append(to, place(i))
		}
		i += n
	}
	d.plain[round], d.at[round] = plain, append(to, place(len(text)))
	return more
}

// escape reads the escape at the beginning of b and returns its length, or 0 if there is none.
func escape(b []byte) (r rune, n int) {
	switch b[0] {
	case '%':
		return digits16(b, 1, 2)
	case '\\':
		if len(b) > 1 && b[1] == 'u' {
			return digits16(b, 2, 4)
		}
		if len(b) > 1 && b[1] == 'x' {
			return digits16(b, 2, 2)
		}
	case '&':
		return entity(b)
	}
	return 0, 0
}

// digits16 reads count hexadecimal digits after the first skip bytes.
func digits16(b []byte, skip, count int) (r rune, n int) {
	if len(b) < skip+count {
		return 0, 0
	}
	for _, c := range b[skip : skip+count] {
		if !hexAny[c] {
			return 0, 0
		}
		r = r<<4 | rune(digitOf(c))
	}
	return r, skip + count
}

// entityBytes is the maximum length of an entity.
const entityBytes = 10

// entity reads an HTML entity.
func entity(b []byte) (r rune, n int) {
	end := 1
	for end < len(b) && end < entityBytes && b[end] != ';' {
		end++
	}
	if end == len(b) || b[end] != ';' {
		return 0, 0
	}
	name := b[1:end]
	switch string(name) {
	case "amp":
		return '&', end + 1
	case "quot":
		return '"', end + 1
	case "apos":
		return '\'', end + 1
	case "lt":
		return '<', end + 1
	case "gt":
		return '>', end + 1
	}
	if len(name) < 2 || name[0] != '#' {
		return 0, 0
	}
	if name[1]|0x20 == 'x' {
		r, _ := digits16(name, 2, len(name)-2)
		return r, end + 1
	}
	for _, c := range name[1:] {
		if classOf[c] != digit {
			return 0, 0
		}
		r = r*10 + rune(c-'0')
	}
	return r, end + 1
}
