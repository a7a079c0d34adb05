package auditstore

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"auditrelay"
	"auditrelay/internal/ndjson"
)

// A payload of a store's sink is newline-delimited JSON: one record per line, with what its row
// needs besides the document.

// journalHeader is the payload header that contains the journal's name.
const journalHeader = "Journal"

// maxBatch limits the records of one payload. A payload is one transaction.
const maxBatch = 1000

// line is one record in a payload.
type line struct {
	Sequence  uint64          `json:"sequence"`
	Namespace string          `json:"namespace"`
	ID        string          `json:"id"`
	Time      time.Time       `json:"time"`
	Received  time.Time       `json:"received"`
	Source    string          `json:"source,omitempty"`
	Principal string          `json:"principal,omitempty"`
	Tombstone bool            `json:"tombstone,omitempty"`
	Mapping   json.RawMessage `json:"mapping,omitempty"`
	Data      json.RawMessage `json:"data"`
}

var (
	errNoObject = errors.New("the document is no JSON object")
	errLineFeed = errors.New("the document contains a line feed")
)

// Render returns a chunk's payloads, each with at most 1,000 records. Equal chunks give equal
// payloads.
func Render(chunk auditrelay.Chunk) ([]auditrelay.Payload, error) {
	var bad []auditrelay.RecordError
	for _, r := range chunk.Records {
		var err error
		switch {
		case bytes.IndexByte(r.Data, '\n') >= 0:
			err = errLineFeed
		case len(r.Data) == 0 || r.Data[0] != '{' || !json.Valid(r.Data):
			err = errNoObject
		default:
			continue
		}
		bad = append(bad, auditrelay.RecordError{Sequence: r.Sequence, Cause: auditrelay.CauseRender, Err: err})
	}
	if bad != nil {
		return nil, &auditrelay.RecordErrors{Records: bad}
	}
	var payloads []auditrelay.Payload
	for from := 0; from < len(chunk.Records); from += maxBatch {
		p, err := render(&chunk, chunk.Records[from:min(from+maxBatch, len(chunk.Records))])
		if err != nil {
			return nil, err
		}
		payloads = append(payloads, p)
	}
	return payloads, nil
}

func render(chunk *auditrelay.Chunk, records []auditrelay.Record) (auditrelay.Payload, error) {
	var body []byte
	sequences := make([]uint64, 0, len(records))
	for i := range records {
		r := &records[i]
		mapping := json.RawMessage(nil)
		if text := mappingText(r.Mapping); text != "" && !r.Tombstone {
			mapping = json.RawMessage(text)
		}
		head, err := json.Marshal(line{Sequence: r.Sequence, Namespace: r.Namespace, ID: r.ID, Time: r.Time.UTC(), Received: r.Received.UTC(), Source: r.Source, Principal: r.Principal, Tombstone: r.Tombstone, Mapping: mapping})
		if err != nil {
			return auditrelay.Payload{}, fmt.Errorf("render record %d: %w", r.Sequence, err)
		}
		// The document is copied as it is. Marshalling would change its formatting.
		body = append(append(append(body, bytes.TrimSuffix(head, []byte("null}"))...), r.Data...), '}', '\n')
		sequences = append(sequences, r.Sequence)
	}
	return payload(chunk.Callback, chunk.Journal, chunk.Replay, body, sequences), nil
}

func payload(callback, journal, replay string, body []byte, sequences []uint64) auditrelay.Payload {
	sum := sha256.Sum256(body)
	digest := hex.EncodeToString(sum[:])
	what := fmt.Sprintf("%d-%d-%s", sequences[0], sequences[len(sequences)-1]+1, digest[:12])
	if replay != "" {
		what = "replay=" + replay + "/" + what
	}
	return auditrelay.Payload{
		Key: callback + "/" + journal + "/" + what, Body: body,
		Headers:   map[string]string{journalHeader: journal},
		Sequences: sequences, Digest: digest,
	}
}

// errPayload means that Render did not create the payload.
var errPayload = errors.New("the payload is not one of this sink's")

// Parse is the inverse of Render for one payload. The records do not share memory with anything
// but the payload's body.
func Parse(p *auditrelay.Payload) (journal string, records []Record, err error) {
	journal = p.Headers[journalHeader]
	if journal == "" {
		return "", nil, errPayload
	}
	records = make([]Record, 0, len(p.Sequences))
	for text := range bytes.Lines(p.Body) {
		var l line
		if json.Unmarshal(text, &l) != nil || len(l.Data) == 0 {
			return "", nil, errPayload // the parser's error could quote the text
		}
		records = append(records, Record{Sequence: l.Sequence, Namespace: l.Namespace, ID: l.ID, Time: l.Time, Received: l.Received, Source: l.Source, Principal: l.Principal, Tombstone: l.Tombstone, Mapping: parseMapping(string(l.Mapping)), Data: l.Data})
	}
	return journal, records, nil
}

// Split divides a payload from Render or Split into two halves.
func Split(p auditrelay.Payload) (first, second auditrelay.Payload, err error) {
	n := len(p.Sequences) / 2
	a, b, err := ndjson.Cut(p.Body, n, len(p.Sequences))
	if err != nil {
		return first, second, fmt.Errorf("split: %w", err)
	}
	half := func(body []byte, sequences []uint64) auditrelay.Payload {
		q := payload("", p.Headers[journalHeader], "", append([]byte(nil), body...), append([]uint64(nil), sequences...))
		q.Key = p.Key + "/" + q.Key
		return q
	}
	return half(a, p.Sequences[:n]), half(b, p.Sequences[n:]), nil
}
