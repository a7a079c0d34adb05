package s3

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"net/url"
	"path"
	"strconv"

	"auditrelay"
	"auditrelay/builtin/internal/objects"
	"auditrelay/internal/ndjson"
)

// The headers of a payload, which are sent with the object and sealed with it.
const (
	contentType        = "Content-Type"
	contentEncoding    = "Content-Encoding"
	contentDisposition = "Content-Disposition"
	checksumSHA256     = "X-Amz-Checksum-Sha256"
	checksumCRC32C     = "X-Amz-Checksum-Crc32c"
	checksumMD5        = "Content-Md5"

	// metaPrefix is the prefix of the object's metadata.
	metaPrefix    = "X-Amz-Meta-"
	metaCallback  = metaPrefix + "Auditrelay-Callback"
	metaJournal   = metaPrefix + "Auditrelay-Journal"
	metaFrom      = metaPrefix + "Auditrelay-From" // the chunk's half-open range
	metaTo        = metaPrefix + "Auditrelay-To"
	metaReplay    = metaPrefix + "Auditrelay-Replay"
	metaRecords   = metaPrefix + "Auditrelay-Records"
	metaDigest    = metaPrefix + "Auditrelay-Sha256" // SHA-256 of the content before compression
	metaPartition = metaPrefix + "Auditrelay-Partition"

	// The origin of the object's records, if all have the same; see origin.
	metaNamespace = metaPrefix + "Auditrelay-Namespace"
	metaSource    = metaPrefix + "Auditrelay-Source"
	metaPrincipal = metaPrefix + "Auditrelay-Principal"
	metaSequence  = metaPrefix + "Auditrelay-Sequence" // of a single record
)

// maxMetaBytes limits a name in the metadata, in bytes. S3 allows 2 KB in total.
const maxMetaBytes = 256

// Render returns one payload for each hour of the chunk (layout batch) or for each
// record (layout litellm).
func (s *Sink) Render(chunk auditrelay.Chunk) ([]auditrelay.Payload, error) {
	if s.options.Layout == LayoutLiteLLM {
		return s.renderLiteLLM(chunk), nil
	}
	return s.renderBatch(chunk)
}

func (s *Sink) renderLiteLLM(chunk auditrelay.Chunk) []auditrelay.Payload {
	base := s.base(chunk.Replay)
	payloads := make([]auditrelay.Payload, 0, len(chunk.Records))
	for _, r := range chunk.Records {
		when, by := r.Time, objects.ByEvent
		if r.TimeFrom == auditrelay.TimeMissing || r.TimeFrom == auditrelay.TimeUnreadable || !objects.InCalendar(when) {
			when, by = r.Received, objects.ByReceived
		}
		name := recordName(chunk.Journal, r)
		headers := chunkHeaders(chunk)
		headers[contentType] = "application/json"
		if chunk.MediaType == auditrelay.MediaTypeText {
			headers[contentType] = chunk.MediaType // the name stays LiteLLM's
		}
		headers[contentDisposition] = disposition(name)
		headers[metaPartition] = by
		origin(headers, []auditrelay.Record{r})
		body := append([]byte(nil), r.Data...)
		payloads = append(payloads, s.seal(auditrelay.Payload{
			Key:       base + liteLLMKey(when, s.options.Partition, name),
			Body:      body,
			Headers:   headers,
			Sequences: []uint64{r.Sequence},
			Digest:    hexSHA256(body),
		}))
	}
	return payloads
}

func (s *Sink) renderBatch(chunk auditrelay.Chunk) ([]auditrelay.Payload, error) {
	if err := ndjson.Check(chunk.Records); err != nil {
		return nil, err
	}
	var payloads []auditrelay.Payload
	for _, g := range s.batching().Groups(chunk.Records) {
		content, sequences := ndjson.Join(g.Records)
		headers := chunkHeaders(chunk)
		headers[contentType] = objects.ContentType(chunk)
		headers[metaPartition] = g.By
		origin(headers, g.Records)
		payload, err := s.batchPayload(s.base(chunk.Replay)+g.Folder, chunk.Journal, s.options.Compression, content, sequences, headers)
		if err != nil {
			return nil, fmt.Errorf("render records %d to %d: %w", sequences[0], sequences[len(sequences)-1], err)
		}
		payloads = append(payloads, payload)
	}
	return payloads, nil
}

// batchPayload compresses content and names it. headers become the payload's headers.
func (s *Sink) batchPayload(dir, journal, compression string, content []byte, sequences []uint64, headers map[string]string) (auditrelay.Payload, error) {
	body, err := s.compressor.compress(compression, content)
	if err != nil {
		return auditrelay.Payload{}, fmt.Errorf("compress with %s: %w", compression, err)
	}
	enc := encodings[compression]
	if enc.header != "" {
		headers[contentEncoding] = enc.header
	}
	digest := hexSHA256(content)
	return s.seal(auditrelay.Payload{
		Key:       objects.BatchKey(dir, journal, sequences, digest, objects.Extension(headers[contentType])+enc.extension),
		Body:      body,
		Headers:   headers,
		Sequences: sequences,
		Digest:    digest,
	}), nil
}

// seal adds the headers that depend on the finished body.
func (s *Sink) seal(p auditrelay.Payload) auditrelay.Payload {
	for _, name := range checksumHeaders {
		delete(p.Headers, name)
	}
	if s.options.Checksum == ChecksumSHA256 {
		p.Sum = sha256.Sum256(p.Body)
		p.Headers[checksumSHA256] = base64.StdEncoding.EncodeToString(p.Sum[:])
	} else if name, value := checksum(s.options.Checksum, p.Body); name != "" {
		p.Headers[name] = value
	}
	p.Headers[metaDigest] = p.Digest
	if len(p.Sequences) > 0 {
		p.Headers[metaRecords] = strconv.Itoa(len(p.Sequences))
	}
	return p
}

func (s *Sink) batching() objects.Batching {
	return objects.Batching{MaxAge: s.options.MaxEventAge, MaxAhead: s.options.MaxEventAhead, MaxBytes: int64(s.options.MaxObjectBytes)}
}

// Split splits a batch payload into halves by its number of records.
func (s *Sink) Split(p auditrelay.Payload) (first, second auditrelay.Payload, err error) {
	fail := func(err error) (auditrelay.Payload, auditrelay.Payload, error) {
		return auditrelay.Payload{}, auditrelay.Payload{}, fmt.Errorf("split payload %s: %w", p.Key, err)
	}
	total := len(p.Sequences)
	if total < 2 {
		return fail(errors.New("it has fewer than two records"))
	}
	content, compression, err := decompress(p.Headers[contentEncoding], p.Body, maxObjectBytes)
	if err != nil {
		return fail(err)
	}
	half := total / 2
	a, b, err := ndjson.Cut(content, half, total)
	if err != nil {
		return fail(err)
	}
	dir := path.Dir(p.Key) + "/"
	journal, err := url.PathUnescape(p.Headers[metaJournal])
	if err != nil {
		return fail(err)
	}
	first, err = s.batchPayload(dir, journal, compression, append([]byte(nil), a...), append([]uint64(nil), p.Sequences[:half]...), maps.Clone(p.Headers))
	if err != nil {
		return fail(err)
	}
	second, err = s.batchPayload(dir, journal, compression, append([]byte(nil), b...), append([]uint64(nil), p.Sequences[half:]...), maps.Clone(p.Headers))
	if err != nil {
		return fail(err)
	}
	return first, second, nil
}

// chunkHeaders returns the metadata that all objects of a chunk share.
func chunkHeaders(chunk auditrelay.Chunk) map[string]string {
	headers := map[string]string{
		metaCallback: objects.Cut(url.PathEscape(chunk.Callback), maxMetaBytes),
		metaJournal:  url.PathEscape(chunk.Journal),
		metaFrom:     strconv.FormatUint(chunk.From, 10),
		metaTo:       strconv.FormatUint(chunk.To, 10),
	}
	if chunk.Replay != "" {
		headers[metaReplay] = objects.Cut(url.PathEscape(chunk.Replay), maxMetaBytes)
	}
	return headers
}

// origin adds the records' origin to the metadata if all have the same. An event's content
// cannot change it. If there are several origins, explain shows a record's origin by its
// sequence.
func origin(headers map[string]string, records []auditrelay.Record) {
	first := records[0]
	for _, r := range records[1:] {
		if r.Namespace != first.Namespace || r.Source != first.Source || r.Principal != first.Principal {
			return
		}
	}
	for name, value := range map[string]string{metaNamespace: first.Namespace, metaSource: first.Source, metaPrincipal: first.Principal} {
		if value != "" {
			headers[name] = objects.Cut(url.PathEscape(value), maxMetaBytes)
		}
	}
	if len(records) == 1 {
		headers[metaSequence] = strconv.FormatUint(first.Sequence, 10)
	}
}

func hexSHA256(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

var checksumHeaders = []string{checksumSHA256, checksumCRC32C, checksumMD5}

// checksum returns the header with which the store checks body, and its value. Both are empty
// for none.
func checksum(algorithm string, body []byte) (name, value string) {
	var sum []byte
	switch algorithm {
	case ChecksumNone:
		return "", ""
	case ChecksumCRC32C:
		name, sum = checksumCRC32C, binary.BigEndian.AppendUint32(nil, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
	case ChecksumMD5:
		digest := md5.Sum(body) //nolint:gosec // the protocol's
		name, sum = checksumMD5, digest[:]
	default:
		digest := sha256.Sum256(body)
		name, sum = checksumSHA256, digest[:]
	}
	return name, base64.StdEncoding.EncodeToString(sum)
}

// damaged reports whether the payload's body does not match its sealed checksum.
func damaged(p auditrelay.Payload) bool {
	for _, algorithm := range []string{ChecksumSHA256, ChecksumCRC32C, ChecksumMD5} {
		name, _ := checksum(algorithm, nil)
		if sealed := p.Headers[name]; sealed != "" {
			if _, value := checksum(algorithm, p.Body); value != sealed {
				return true
			}
		}
	}
	return false
}
