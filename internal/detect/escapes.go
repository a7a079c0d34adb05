package detect

import "unicode/utf8"

// Texts that have escapes in them, of URLs, HTML, or programs: sk%2Dproj%2D, &#115;k-,
// \u0073k-. They are looked at once more with the escapes undone, one layer deep.

// escapes are the patterns at which a text is noted to have some.
func escapes() []pattern {
	hex := setOf("0123456789abcdefABCDEF")
	all := []pattern{{setOf("%"), hex, hex}, {setOf("\\"), setOf("ux"), hex, hex}}
	for _, text := range []string{"&#", "&amp;", "&quot;", "&apos;", "&lt;", "&gt;"} {
		all = append(all, literal(text))
	}
	return all
}

// unescaped appends what is found in text with its escapes undone.
func (s *Set) unescaped(found []Finding, text []byte, w *scan, d *decoder) []Finding {
	d.plain, d.at = d.plain[:0], d.at[:0]
	for i := 0; i < len(text); {
		r, n := escape(text[i:])
		if n == 0 {
			d.plain, d.at = append(d.plain, text[i]), append(d.at, int32(i))
			i++
			continue
		}
		before := len(d.plain)
		if r < 0x80 || text[i] == '%' || text[i+1] == 'x' && text[i] == '\\' {
			d.plain = append(d.plain, byte(r))
		} else {
			d.plain = utf8.AppendRune(d.plain, r)
		}
		for range len(d.plain) - before {
			d.at = append(d.at, int32(i))
		}
		i += n
	}
	d.at = append(d.at, int32(len(text)))
	inner := scan{name: w.name, work: w.work}
	for from := 0; ; {
		f, ok := s.next(d.plain, from, &inner)
		if !ok {
			return found
		}
		from = f.End
		f.Start, f.End = int(d.at[f.Start]), int(d.at[f.End])
		found = append(found, f)
	}
}

// escape reads an escape with which b begins, and how long it is, 0 where there is none.
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

// digits16 reads count hexadecimal digits behind the first skip bytes.
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

// entityBytes is the longest entity that is read.
const entityBytes = 10

// entity reads an entity of HTML.
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
