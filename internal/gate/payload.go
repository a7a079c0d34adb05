package gate

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"unicode/utf8"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/internal/detect"
	"auditrelay/internal/shape"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// maxContent limits the content of a payload in bytes.
const maxContent = 512 << 20

// Payload checks what a sink made: the key and the headers, both as they are and unescaped, and
// the body, decompressed and decoded. records are the records in the payload in the order given
// to the sink, or nil if the caller does not have them. Parts of a record's document that the
// body repeats byte for byte have passed Document and are not checked again.
//
// The error is a *Leak, or an *UnreadableError if the body could not be read. In both cases the
// payload must not leave.
func (i *Inspector) Payload(p *auditrelay.Payload, records []auditrelay.Record) (err error) {
	defer recoverInto(&err)
	i.Forget() // a payload contains several events
	i.sought = false
	for n := range records {
		if err := i.identity(&records[n], p); err != nil {
			return err
		}
	}
	if err := i.name(p.Key, detect.Name{}, "the object's key"); err != nil {
		return err
	}
	for name, value := range p.Headers {
		if ownDigest(value, p) {
			continue
		}
		if err := i.name(value, i.gate.catalogue.Name([]byte(name)), "a header"); err != nil {
			return err
		}
	}
	content, err := Content(p)
	if err != nil {
		return &UnreadableError{err}
	}
	return i.content(content, records)
}

// UnreadableError means that a body cannot be checked.
type UnreadableError struct{ Err error }

func (e *UnreadableError) Error() string {
	return "must_not_leave: the payload's body cannot be read: " + e.Err.Error()
}
func (e *UnreadableError) Unwrap() error { return e.Err }

// identity checks the names that a sink may have taken from a record, in their unescaped form:
// a secret in which a slash became an underscore is still a secret. A name counts only if the
// payload shows part of it.
func (i *Inspector) identity(r *auditrelay.Record, p *auditrelay.Payload) error {
	texts := [...]string{r.ID, string(r.Action)}
	for _, text := range texts {
		if text == "" {
			continue
		}
		i.wrap = append(i.wrap[:0], text...)
		if err := i.find(i.wrap, detect.Name{}, "what the sink derived from the event's id or action"); err != nil && shows(p, text) {
			return err
		}
	}
	return nil
}

// shownPiece is the length from which a run of a name's letters and digits in the payload is no
// coincidence.
const shownPiece = 4

// shows reports whether p's key or headers contain part of text.
func shows(p *auditrelay.Payload, text string) bool {
	pieces := strings.FieldsFunc(text, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
	for _, piece := range pieces {
		if len(piece) < shownPiece && piece != text {
			continue
		}
		if strings.Contains(p.Key, piece) {
			return true
		}
		for _, value := range p.Headers {
			if strings.Contains(value, piece) {
				return true
			}
		}
	}
	return false
}

// name checks a short text as it is and, if it is URL-escaped, unescaped.
func (i *Inspector) name(text string, name detect.Name, where string) error {
	if err := i.text([]byte(text), name, where); err != nil {
		return err
	}
	if !strings.Contains(text, "%") {
		return nil
	}
	plain, err := url.PathUnescape(text)
	if err != nil || plain == text {
		return nil //nolint:nilerr // it was not escaped so
	}
	return i.text([]byte(plain), name, where)
}

// ownDigest reports whether a header is the digest of the payload itself. It looks like a
// secret but is not one.
func ownDigest(value string, p *auditrelay.Payload) bool {
	if len(value) < 2*sha256.Size/3 {
		return false
	}
	if value == p.Digest {
		return true
	}
	sum := sha256.Sum256(p.Body)
	return value == hex.EncodeToString(sum[:]) || value == base64.StdEncoding.EncodeToString(sum[:])
}

// content checks a body: one JSON text, one JSON text per line or spread over lines, or lines
// of text.
func (i *Inspector) content(content []byte, records []auditrelay.Record) error {
	per := 1 // lines per record
	lines := bytes.Count(trimmed(content), []byte("\n")) + 1
	if lines == 2*len(records) {
		per = 2 // Elasticsearch format: an action line and the document
	}
	if lines != per*len(records) {
		records = nil // it is unknown which records the lines repeat
		if read, err := i.structure(content); read {
			return err
		}
	}
	array := records != nil && i.isArray(content)
	if array {
		content = content[1 : len(content)-1]
	}
	for n := 0; len(content) > 0; n++ {
		line, rest, _ := bytes.Cut(content, []byte("\n"))
		content = rest
		line = bytes.TrimSuffix(line, []byte("\r"))
		if array {
			line = bytes.TrimSuffix(line, []byte(","))
		}
		if n < per*len(records) {
			line = i.without(line, records[n/per].Data)
		}
		if len(line) == 0 {
			continue
		}
		if err := i.line(line); err != nil {
			return err
		}
	}
	return nil
}

// isArray reports whether content is one JSON array without surrounding white space.
func (i *Inspector) isArray(content []byte) bool {
	if len(content) < 2 || content[0] != '[' || content[len(content)-1] != ']' {
		return false
	}
	i.wrap = append(append(append(i.wrap[:0], `{"":`...), content...), '}')
	return document.Check(i.wrap, limits) == nil
}

// without returns line without data, a JSON object or a line of text that was already checked,
// if the line repeats it as a value. Inside a string the object's quotes would be escaped.
func (i *Inspector) without(line, data []byte) []byte {
	stand := "{}"
	if text := len(data) > 0 && data[0] != '{'; text {
		// A line of text whose fields were checked. A sink that writes JSON quotes it.
		quoted := quote(data)
		if bytes.Contains(line, quoted) {
			data, stand = quoted, `""`
		}
	} else if !bytes.Contains(data, []byte(`"`)) {
		return line
	}
	at := bytes.Index(line, data)
	if at < 0 || len(data) == 0 {
		return line
	}
	if len(line) == len(data) {
		return nil
	}
	i.rest = append(append(append(i.rest[:0], line[:at]...), stand...), line[at+len(data):]...)
	return i.rest
}

// quote writes text as JSON in the way a sink does.
func quote(text []byte) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(string(text)); err != nil { // a string always encodes
		return nil
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

const aLine = "a line of what the sink formatted"

// line checks one line: JSON, several JSON texts in a row, or text. A line that looks like JSON
// but is invalid cannot be checked, because escapes may hide its contents.
func (i *Inspector) line(line []byte) error {
	if read, err := i.structure(line); read {
		return err
	}
	if !shape.LooksLikeJSON(line) {
		return i.leaf(line, detect.Name{}, aLine)
	}
	for d := json.NewDecoder(bytes.NewReader(line)); ; {
		var value json.RawMessage
		switch err := d.Decode(&value); err {
		case nil:
		case io.EOF:
			return nil
		default:
			return &UnreadableError{errMalformed}
		}
		if read, err := i.structure(value); err != nil {
			return err
		} else if !read {
			return &UnreadableError{errMalformed}
		}
	}
}

func trimmed(content []byte) []byte { return bytes.TrimSuffix(content, []byte("\n")) }

// Content returns the text in a payload's body. It decompresses gzip and zstd, recognised by
// the first bytes of the body because the headers are the sink's claim. It fails if the result
// is no text.
func Content(p *auditrelay.Payload) ([]byte, error) {
	var r io.Reader
	switch body := p.Body; {
	case bytes.HasPrefix(body, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		r = z
	case bytes.HasPrefix(body, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(bytes.NewReader(body), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxContent))
		if err != nil {
			return nil, err
		}
		defer z.Close()
		r = z
	default:
		return readable(body)
	}
	content, err := io.ReadAll(io.LimitReader(r, maxContent+1))
	if err != nil {
		return nil, err
	}
	if len(content) > maxContent {
		return nil, fmt.Errorf("the content is over %d bytes", maxContent)
	}
	return readable(content)
}

var errMalformed = errors.New("a line looks like JSON but is not")

var errBinary = errors.New("it is no text, nor gzip or zstd of one")

// readable returns an error unless content is text. Data that is encrypted or compressed
// otherwise contains control characters other than white space.
func readable(content []byte) ([]byte, error) {
	for _, c := range content {
		if c < ' ' && c != '\n' && c != '\r' && c != '\t' {
			return nil, errBinary
		}
	}
	if !utf8.Valid(content) {
		return nil, errBinary
	}
	return content, nil
}
