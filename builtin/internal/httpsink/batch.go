package httpsink

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"auditrelay"

	"github.com/klauspost/compress/gzip"
)

// Headers of a payload, sealed with it.
const (
	ContentType     = "Content-Type"
	ContentEncoding = "Content-Encoding"
	// scope is the beginning of a payload's key, for Split.
	scope = "Auditrelay-Scope"
	// tombstones marks a payload of tombstones only. Its value is the oldest one's time of
	// receipt.
	tombstones = "Auditrelay-Tombstones"
)

// maxBodyBytes limits the decompressed size in Split.
const maxBodyBytes = 64 << 20

// Packing describes how items form the body of a request.
type Packing struct {
	ContentType string
	// Open, Separator and Close frame the items. A separator ends in a line feed, which no item
	// contains, so a body can be split between two items.
	Open, Separator, Close string
	// Lines is the number of lines of an item if it is more than one.
	Lines int
	// MaxBytes limits a body before compression, MaxItems the number of its items (0:
	// unlimited), and MaxItem the size of one item.
	MaxBytes, MaxItems, MaxItem int
	Compression                 string
}

// Item is one record, encoded for the destination.
type Item struct {
	Sequence uint64
	Data     []byte
	// Buried is set for a tombstone in the sink's own envelope, which the destination accepts
	// or refuses regardless of the event; see Client.Deliver.
	Buried time.Time
}

// Buried returns a tombstone's time of receipt, or zero for any other record.
func Buried(r *auditrelay.Record) time.Time {
	if !r.Tombstone {
		return time.Time{}
	}
	return r.Received
}

// Pack packs a chunk's items into payloads. If items exceed MaxItem or cannot be framed, it
// packs nothing and returns an *auditrelay.RecordErrors with these items. The payloads own
// their memory. Pack is pure and safe for concurrent use.
func (p Packing) Pack(chunk auditrelay.Chunk, items []Item) ([]auditrelay.Payload, error) {
	var bad []auditrelay.RecordError
	most := min(p.MaxItem, p.MaxBytes-len(p.Open)-len(p.Close))
	for _, item := range items {
		switch {
		case len(item.Data) == 0:
			bad = append(bad, auditrelay.RecordError{Sequence: item.Sequence, Cause: auditrelay.CauseRender, Err: errors.New("the document is empty")})
		case bytes.Count(item.Data, []byte("\n")) != max(p.Lines, 1)-1:
			bad = append(bad, auditrelay.RecordError{Sequence: item.Sequence, Cause: auditrelay.CauseRender, Err: errors.New("the document contains a line feed")})
		case len(item.Data) > most:
			bad = append(bad, auditrelay.RecordError{Sequence: item.Sequence, Cause: auditrelay.CauseTooLarge,
				Err: fmt.Errorf("%d bytes encoded: the destination accepts at most %d", len(item.Data), most)})
		}
	}
	if bad != nil {
		return nil, &auditrelay.RecordErrors{Records: bad}
	}
	prefix := chunk.Callback + "/" + chunk.Journal + "/" + chunk.Replay
	var payloads []auditrelay.Payload
	for len(items) > 0 {
		n, size := 0, len(p.Open)+len(p.Close)
		for n < len(items) && (p.MaxItems == 0 || n < p.MaxItems) {
			more := len(items[n].Data)
			if n > 0 {
				more += len(p.Separator)
			}
			if n > 0 && size+more > p.MaxBytes {
				break
			}
			size += more
			n++
		}
		payload, err := p.payload(prefix, items[:n], nil)
		if err != nil {
			return nil, err
		}
		payloads = append(payloads, payload)
		items = items[n:]
	}
	return payloads, nil
}

func (p Packing) payload(prefix string, items []Item, headers map[string]string) (auditrelay.Payload, error) {
	var body bytes.Buffer
	body.WriteString(p.Open)
	sequences, buried := make([]uint64, len(items)), items[0].Buried
	for i, item := range items {
		if i > 0 {
			body.WriteString(p.Separator)
		}
		body.Write(item.Data)
		sequences[i] = item.Sequence
		if item.Buried.Before(buried) {
			buried = item.Buried
		}
	}
	body.WriteString(p.Close)
	sum := sha256.Sum256(body.Bytes())
	digest := hex.EncodeToString(sum[:])
	if headers == nil {
		headers = map[string]string{ContentType: p.ContentType, scope: prefix}
		if !buried.IsZero() {
			headers[tombstones] = buried.UTC().Format(time.RFC3339)
		}
	}
	sent, stored := body.Bytes(), sum
	if p.Compression == CompressionGzip {
		var err error
		if sent, err = Compress(sent); err != nil {
			return auditrelay.Payload{}, fmt.Errorf("compress with gzip: %w", err)
		}
		headers[ContentEncoding], stored = CompressionGzip, [sha256.Size]byte{}
	}
	return auditrelay.Payload{
		Key:     fmt.Sprintf("%s/%d-%d-%s", prefix, sequences[0], sequences[len(sequences)-1]+1, digest[:12]),
		Body:    sent,
		Headers: headers, Sequences: sequences, Digest: digest, Sum: stored,
	}, nil
}

// Split halves a payload by its number of records; see auditrelay.Splitter.
func (p Packing) Split(payload auditrelay.Payload) (first, second auditrelay.Payload, err error) {
	fail := func(err error) (auditrelay.Payload, auditrelay.Payload, error) {
		return auditrelay.Payload{}, auditrelay.Payload{}, fmt.Errorf("split payload %s: %w", payload.Key, err)
	}
	total := len(payload.Sequences)
	if total < 2 {
		return fail(errors.New("it has fewer than two records"))
	}
	content, err := Plain(payload)
	if err != nil {
		return fail(err)
	}
	content, opened := bytes.CutPrefix(content, []byte(p.Open))
	content, closed := bytes.CutSuffix(content, []byte(p.Close))
	parts := p.parts(content)
	if !opened || !closed || len(parts) != total {
		return fail(fmt.Errorf("its body has %d records, expected %d", len(parts), total))
	}
	items := make([]Item, total)
	for i := range parts {
		items[i] = Item{Sequence: payload.Sequences[i], Data: parts[i]}
	}
	p.Compression = CompressionNone
	if payload.Headers[ContentEncoding] != "" {
		p.Compression = CompressionGzip
	}
	half := total / 2
	if first, err = p.payload(payload.Headers[scope], items[:half], maps.Clone(payload.Headers)); err != nil {
		return fail(err)
	}
	if second, err = p.payload(payload.Headers[scope], items[half:], maps.Clone(payload.Headers)); err != nil {
		return fail(err)
	}
	return first, second, nil
}

// parts returns the items of a body.
func (p Packing) parts(content []byte) [][]byte {
	parts := bytes.Split(content, []byte(p.Separator))
	if p.Lines < 2 || len(parts)%p.Lines != 0 {
		return parts
	}
	items := make([][]byte, 0, len(parts)/p.Lines)
	for lines := range slices.Chunk(parts, p.Lines) {
		items = append(items, bytes.Join(lines, []byte("\n")))
	}
	return items
}

// Plain returns a payload's body before compression.
func Plain(p auditrelay.Payload) ([]byte, error) { return PlainWithin(p, maxBodyBytes) }

// PlainWithin is like Plain, for a body of at most most bytes before compression.
func PlainWithin(p auditrelay.Payload, most int64) ([]byte, error) {
	switch p.Headers[ContentEncoding] {
	case "":
		return p.Body, nil
	case CompressionGzip:
		z, err := gzip.NewReader(bytes.NewReader(p.Body))
		if err != nil {
			return nil, err
		}
		content, err := io.ReadAll(io.LimitReader(z, most+1))
		if err == nil && int64(len(content)) > most {
			err = fmt.Errorf("the content is over %d bytes", most)
		}
		return content, err
	}
	return nil, errors.New("the sink does not use its content encoding")
}

// Lines returns the lines of a payload sealed as text, one record per line, from which each
// attempt builds its request.
func Lines(p auditrelay.Payload) ([][]byte, error) {
	content, err := Plain(p)
	if err != nil {
		return nil, fmt.Errorf("read the stored payload: %w", err)
	}
	lines := bytes.Split(bytes.TrimSuffix(content, []byte("\n")), []byte("\n"))
	if len(lines) != len(p.Sequences) {
		return nil, fmt.Errorf("read the stored payload: %d lines, expected %d records", len(lines), len(p.Sequences))
	}
	return lines, nil
}

// Quote encodes text as a JSON string, in the only form that the gate knows.
func Quote(text string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(text); err != nil { // a string always encodes
		return `""`
	}
	return strings.TrimSuffix(b.String(), "\n")
}

var writers = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}

// Compress compresses with gzip. Equal content gives equal bytes: the header contains no time.
func Compress(content []byte) ([]byte, error) {
	w := writers.Get().(*gzip.Writer)
	defer writers.Put(w)
	var b bytes.Buffer
	b.Grow(len(content)/4 + 512)
	w.Reset(&b)
	if _, err := w.Write(content); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Header returns the headers of a payload that are sent with its request.
func Header(p auditrelay.Payload) http.Header {
	h := http.Header{}
	for _, name := range []string{ContentType, ContentEncoding} {
		if p.Headers[name] != "" {
			h.Set(name, p.Headers[name])
		}
	}
	return h
}
