package detect

import (
	"bytes"
	"compress/gzip"
)

// Long rows of letters and digits: keys known only by their length and alphabet, and secrets
// encoded as a whole.

const (
	// runLeast is the minimum length of a row that is checked.
	runLeast = 20
	// decodedMost is the maximum number of bytes decoded of an encoded row.
	decodedMost = 8192
)

var (
	runBytes = charsetOf("A-Za-z0-9+/_-")
	base58s  = setOf(base58)
	base32s  = charsetOf("A-Z2-7")
	hexAny   = charsetOf("0-9a-fA-F")
)

// runs adds the findings in the rows of text. It tests every twentieth byte, and reads around
// it if that byte is part of a row, so the time is linear.
func (s *Set) runs(text []byte, w *scan) {
	low := 0
	for i := runLeast - 1; i < len(text); {
		if !runBytes[text[i]] {
			low = i + 1
			i += runLeast
			continue
		}
		start, end := i, i+1
		for start > low && runBytes[text[start-1]] {
			start--
		}
		for end < len(text) && runBytes[text[end]] {
			end++
		}
		low = end
		i = end + runLeast
		if end-start < runLeast {
			continue
		}
		w.pass()
		if f, ok := s.run(text, start, end, w); ok {
			d := s.room(w)
			d.found = append(d.found, f)
		}
	}
}

// run checks one row, text[start:end].
func (s *Set) run(text []byte, start, end int, w *scan) (Finding, bool) {
	if start > 0 && text[start-1] == '\\' {
		start++ // after an escape
	}
	if s.unmarked != "" {
		if f, ok := unmarked(text, start, end); ok {
			f.Detector = s.unmarked
			e := s.catalogue.exceptions
			return f, e == nil || !e.spares(f, f.Detector, text, w.name.at)
		}
	}
	for end < len(text) && text[end] == '=' {
		end++
	}
	return s.encoded(text, start, end, w)
}

// encoded checks the content of base64 or hexadecimal digits: a text, perhaps compressed with
// gzip or encoded again.
func (s *Set) encoded(text []byte, start, end int, w *scan) (Finding, bool) {
	row := text[start:min(end, start+decodedMost)]
	f, ok := s.hidden(row, w, 0)
	return Finding{Start: start, End: end, Detector: f.Detector}, ok
}

// layers is the maximum number of nested encodings that are decoded.
const layers = 3

// hidden checks a row decoded from each possible beginning.
func (s *Set) hidden(row []byte, w *scan, layer int) (Finding, bool) {
	if len(row) < 4 {
		return Finding{}, false
	}
	var room [3]byte
	first := appendBase64(room[:0], row[:4])
	switch {
	case len(first) == 3 && printable(first):
		if f, ok := s.decoded(appendBase64, row, w, layer); ok {
			return f, true
		}
	case len(first) == 3 && first[0] == gzipMagic[0] && first[1] == gzipMagic[1]:
		return s.compressed(row, w, layer)
	}
	if first = appendHex(room[:0], row[:4]); len(first) == 2 && printable(first) {
		return s.decoded(appendHex, row, w, layer)
	}
	return Finding{}, false
}

// decoded checks a decoded row.
func (s *Set) decoded(decode func(dst, row []byte) []byte, row []byte, w *scan, layer int) (Finding, bool) {
	d := s.room(w)
	d.rows[layer] = decode(d.rows[layer][:0], row)
	if len(d.rows[layer]) < shortest || !printable(d.rows[layer]) {
		return Finding{}, false
	}
	return s.within(d.rows[layer], w, layer)
}

// within checks a decoded text, and the rows in it that are encoded themselves.
func (s *Set) within(text []byte, w *scan, layer int) (Finding, bool) {
	inner := scan{name: Name{at: w.name.at}, work: w.work, inner: w.inner, size: w.size, look: w.look}
	if f, ok := s.next(text, 0, &inner); ok || layer+1 == layers {
		return f, ok
	}
	for from := 0; ; {
		start, end, ok := nextRow(text, from)
		if !ok {
			return Finding{}, false
		}
		if f, ok := s.hidden(text[start:end], &inner, layer+1); ok {
			return f, true
		}
		from = end
	}
}

// nextRow returns the next row of characters of an encoding.
func nextRow(text []byte, from int) (start, end int, ok bool) {
	for start = from; start < len(text); start = end + 1 {
		for end = start; end < len(text) && runBytes[text[end]]; end++ {
		}
		if end-start >= runLeast {
			for end < len(text) && text[end] == '=' {
				end++
			}
			return start, end, true
		}
	}
	return 0, 0, false
}

// decoder contains the buffers for decoding.
type decoder struct {
	rows  [layers][]byte // of base64 or hexadecimal digits, decoded
	plain [2][]byte      // a text without escapes
	at    [2][]int32
	found []Finding

	inflated    int // bytes decompressed in this scan
	gzip        gzip.Reader
	packed      bytes.Reader
	inflateInto []byte
}

func printable(b []byte) bool {
	for _, c := range b {
		if (c < ' ' || c > '~') && c != '\n' && c != '\r' && c != '\t' {
			return false
		}
	}
	return true
}

// sextets maps the characters of both base64 alphabets to their values. Others map to 0xff.
var sextets = func() (of [256]byte) {
	for i := range of {
		of[i] = 0xff
	}
	for i, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/" {
		of[c] = byte(i)
	}
	of['-'], of['_'] = 62, 63
	return of
}()

// appendBase64 appends the decoded row, or nothing if it is not valid.
func appendBase64(dst, row []byte) []byte {
	row = bytes.TrimRight(row, "=")
	if len(row)%4 == 1 {
		return dst
	}
	bits, n := uint32(0), 0
	for _, c := range row {
		v := sextets[c]
		if v == 0xff {
			return dst[:0]
		}
		bits = bits<<6 | uint32(v)
		if n += 6; n >= 8 {
			n -= 8
			dst = append(dst, byte(bits>>n))
		}
	}
	return dst
}

// appendHex appends the decoded row, or nothing if it is not valid.
func appendHex(dst, row []byte) []byte {
	if len(row)%2 != 0 {
		return dst
	}
	for i := 0; i < len(row); i += 2 {
		if !hexAny[row[i]] || !hexAny[row[i+1]] {
			return dst[:0]
		}
		dst = append(dst, digitOf(row[i])<<4|digitOf(row[i+1]))
	}
	return dst
}

// digitOf returns the value of a hexadecimal digit.
func digitOf(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}

// unmarked finds keys without a prefix. The row, and the text before or after it, must have
// exactly the lengths and alphabets of such keys.
func unmarked(text []byte, start, end int) (Finding, bool) {
	row := text[start:end]
	whole := Finding{Start: start, End: end}
	switch len(row) {
	case 34: // Jenkins
		return whole, row[0] == '1' && row[1] == '1' && lowerHex.all(row)
	case 51, 52: // Bitcoin, as exported by wallets
		uncompressed := len(row) == 51
		return whole, uncompressed == (row[0] == '5' || row[0] == '9') && bytes.IndexByte([]byte("59KLc"), row[0]) >= 0 && base58s.all(row) && mixed(row)
	case 29: // Nextcloud app passwords
		return whole, groupsOfFive(row) && mixed(row)
	case 50: // Mailgun
		return whole, row[32] == '-' && row[41] == '-' && lowerHex.all(row[:32]) && lowerHex.all(row[33:41]) && lowerHex.all(row[42:])
	case 60: // X, after a user of the same number of digits
		if row[19] == '-' && digitSet.all(row[:19]) && alphanumeric.all(row[20:]) {
			return whole, mixed(row[20:])
		}
	case 56: // Stellar
		seen, _ := classes(row)
		return whole, row[0] == 'S' && base32s.all(row) && seen == upper|digit
	case 49: // ngrok
		return whole, row[27] == '_' && row[0] >= '1' && row[0] <= '3' && alphanumeric.all(row[:27]) && alphanumeric.all(row[28:]) && mixed(row)
	case 66: // TrueNAS
		return whole, row[1] == '-' && classOf[row[0]] == digit && alphanumeric.all(row[2:]) && mixed(row[2:])
	case 40, 48: // Laravel Sanctum: after a number and |
		if low := start - 1 - digitsBefore(text[:max(0, start-1)]); start > 1 && text[start-1] == '|' && low < start-1 && (low == 0 || !base64Std[text[low-1]]) {
			return Finding{Start: low, End: end}, alphanumeric.all(row) && mixed(row)
		}
	case 128: // Gcore: after a number and $
		if low := start - 1 - digitsBefore(text[:max(0, start-1)]); start > 1 && text[start-1] == '$' && low < start-1 {
			return Finding{Start: low, End: end}, lowerHex.all(row)
		}
	case 106: // Webex
		return whole, row[64] == '_' && row[69] == '_' && alphanumeric.all(row[:64]) && upperDigits.all(row[65:69]) && uuid(row[70:])
	}
	return joined(text, start, end)
}

// groupsOfFive reports whether a row consists of groups of five letters and digits joined by
// dashes.
func groupsOfFive(row []byte) bool {
	for i, c := range row {
		if dash := i%6 == 5; dash != (c == '-') || !dash && !alphanumeric[c] {
			return false
		}
	}
	return true
}

// joined finds keys of two parts joined by a colon or a point.
func joined(text []byte, start, end int) (Finding, bool) {
	row := text[start:end]
	behind := Finding{Start: start, End: end}
	if start > 0 && text[start-1] == ':' {
		before := text[:start-1]
		low := len(before)
		for low > 0 && low > len(before)-40 && (base64URL[before[low-1]] || before[low-1] == '.') {
			low--
		}
		first := before[low:]
		behind.Start = low
		switch {
		case len(row) == 64 && len(first) == 24: // Ghost
			return behind, lowerHex.all(row) && lowerHex.all(first)
		case len(row) == 32 && len(first) == 36: // fal
			return behind, lowerHex.all(row) && uuid(first)
		case len(row) == 43 && len(first) == 15: // LiveKit
			return behind, bytes.HasPrefix(first, []byte("API")) && mixed(row)
		case len(row) == 43 && len(first) == 13: // Ably
			return behind, first[6] == '.' && mixed(row)
		}
	}
	if end < len(text) && text[end] == '.' {
		second := text[end+1 : min(len(text), end+1+40)]
		second = second[:base64URL.span(second)]
		behind = Finding{Start: start, End: end + 1 + len(second)}
		switch {
		case len(row) == 32 && (len(second) == 16 || len(second) == 24): // Zhipu, Ollama
			return behind, lowerHex.all(row) && mixed(second)
		case len(row) == 26 && len(second) == 22: // Close
			return behind, bytes.HasPrefix(row, []byte("api_")) && mixed(second)
		}
	}
	if len(row) == 32 && start > 8 && text[start-1] == '.' { // Baseten
		first := text[start-9 : start-1]
		return Finding{Start: start - 9, End: end}, alphanumeric.all(first) && (start == 9 || !base64URL[text[start-10]] && text[start-10] != '.') && mixed(row) && mixed(first)
	}
	return Finding{}, false
}

// mixed reports whether b is random and has letters of both cases and digits.
func mixed(b []byte) bool {
	seen, _ := classes(b)
	return seen&alnumClasses == alnumClasses && random(b)
}
