package objects

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path"
	"strconv"
	"strings"

	"auditrelay"
	"auditrelay/builtin/internal/httpsink"
	"auditrelay/internal/ndjson"
)

// Meta is the prefix of a payload's headers that become an object's metadata. A store's sink
// writes them in its own form: in lower case, and with "_" if the store does not allow "-".
const Meta = "Auditrelay-"

// The metadata. Values are escaped as in a URL's path.
const (
	metaCallback  = Meta + "Callback"
	metaJournal   = Meta + "Journal"
	metaFrom      = Meta + "From" // the chunk's half-open range
	metaTo        = Meta + "To"
	metaReplay    = Meta + "Replay"
	metaRecords   = Meta + "Records"
	metaDigest    = Meta + "Sha256" // SHA-256 of the content before compression
	metaPartition = Meta + "Partition"
	metaNamespace = Meta + "Namespace" // the records' origin, if all have the same
	metaSource    = Meta + "Source"
	metaPrincipal = Meta + "Principal"
)

// maxMetaBytes limits one value.
const maxMetaBytes = 256

// maxObjectBytes limits an object before compression.
const maxObjectBytes = 1 << 30

// Layout renders batches, manifests and proofs for a store of objects.
type Layout struct {
	Prefix      string // empty or ending in "/"
	Batching    Batching
	Compression string // httpsink.CompressionGzip or None
}

// Render returns a payload for each hour of the chunk, or several if they are large.
func (l Layout) Render(chunk auditrelay.Chunk) ([]auditrelay.Payload, error) {
	if err := ndjson.Check(chunk.Records); err != nil {
		return nil, err
	}
	var payloads []auditrelay.Payload
	for _, g := range l.Batching.Groups(chunk.Records) {
		content, sequences := ndjson.Join(g.Records)
		headers := chunkHeaders(chunk)
		headers[httpsink.ContentType] = ContentType(chunk)
		headers[metaPartition] = g.By
		origin(headers, g.Records)
		p, err := batch(l.base(chunk.Replay)+g.Folder, chunk.Journal, l.Compression, content, sequences, headers)
		if err != nil {
			return nil, fmt.Errorf("render records %d to %d: %w", sequences[0], sequences[len(sequences)-1], err)
		}
		payloads = append(payloads, p)
	}
	return payloads, nil
}

// ContentType returns the content type of a batch of a chunk's records.
func ContentType(chunk auditrelay.Chunk) string {
	if chunk.MediaType == auditrelay.MediaTypeText {
		return chunk.MediaType
	}
	return "application/x-ndjson"
}

// Extension returns the extension of a batch with that content type, without that of its
// compression. Lines of text, such as CEF's, are not JSON.
func Extension(contentType string) string {
	if strings.HasPrefix(contentType, "text/") {
		return ".log"
	}
	return ".ndjson"
}

func (l Layout) base(replay string) string {
	if replay == "" {
		return l.Prefix
	}
	return l.Prefix + ReplayFolder + Segment(replay) + "/"
}

// batch compresses content and names it. headers become the payload's headers.
func batch(dir, journal, compression string, content []byte, sequences []uint64, headers map[string]string) (auditrelay.Payload, error) {
	digest, body, extension := hexSHA256(content), content, Extension(headers[httpsink.ContentType])
	delete(headers, httpsink.ContentEncoding)
	if compression == httpsink.CompressionGzip {
		var err error
		if body, err = httpsink.Compress(content); err != nil {
			return auditrelay.Payload{}, fmt.Errorf("compress with gzip: %w", err)
		}
		extension += ".gz"
		headers[httpsink.ContentEncoding] = compression
	}
	headers[metaRecords], headers[metaDigest] = strconv.Itoa(len(sequences)), digest
	return auditrelay.Payload{Key: BatchKey(dir, journal, sequences, digest, extension), Body: body, Headers: headers, Sequences: sequences, Digest: digest}, nil
}

// Split halves a batch by its number of records; see auditrelay.Splitter.
func (l Layout) Split(p auditrelay.Payload) (first, second auditrelay.Payload, err error) {
	fail := func(err error) (auditrelay.Payload, auditrelay.Payload, error) {
		return auditrelay.Payload{}, auditrelay.Payload{}, fmt.Errorf("split payload %s: %w", p.Key, err)
	}
	total := len(p.Sequences)
	if total < 2 {
		return fail(errors.New("it has fewer than two records"))
	}
	content, err := httpsink.PlainWithin(p, maxObjectBytes)
	if err != nil {
		return fail(err)
	}
	half := total / 2
	a, b, err := ndjson.Cut(content, half, total)
	if err != nil {
		return fail(err)
	}
	journal, err := url.PathUnescape(p.Headers[metaJournal])
	if err != nil {
		return fail(err)
	}
	compression := httpsink.CompressionNone
	if p.Headers[httpsink.ContentEncoding] != "" {
		compression = httpsink.CompressionGzip
	}
	dir := path.Dir(p.Key) + "/"
	if first, err = batch(dir, journal, compression, append([]byte(nil), a...), append([]uint64(nil), p.Sequences[:half]...), maps.Clone(p.Headers)); err != nil {
		return fail(err)
	}
	if second, err = batch(dir, journal, compression, append([]byte(nil), b...), append([]uint64(nil), p.Sequences[half:]...), maps.Clone(p.Headers)); err != nil {
		return fail(err)
	}
	return first, second, nil
}

// RenderManifest returns a chunk's manifest as one object,
// {prefix}/_manifests/{callback}/{journal}/{number}-{sha256:12}.json. The key contains the
// digest, since numbers start again when a callback is removed and created again.
func (l Layout) RenderManifest(m auditrelay.Manifest) (auditrelay.Payload, error) {
	body, err := json.Marshal(m)
	if err != nil {
		return auditrelay.Payload{}, fmt.Errorf("render manifest %d of callback %s: %w", m.Number, m.Callback, err)
	}
	headers := chunkHeaders(auditrelay.Chunk{Callback: m.Callback, Journal: m.Journal, From: m.From, To: m.To, Replay: m.Replay})
	headers[httpsink.ContentType] = "application/json"
	return l.beside(ManifestFolder, m.Replay, m.Callback, m.Journal, m.Number, ".json", body, headers), nil
}

// RenderProof returns a bundle of proofs as one object,
// {prefix}/_proofs/{callback}/{journal}/{size}-{sha256:12}.tar.
func (l Layout) RenderProof(p auditrelay.Proof) (auditrelay.Payload, error) {
	headers := chunkHeaders(auditrelay.Chunk{Callback: p.Callback, Journal: p.Journal, Replay: p.Replay})
	delete(headers, metaFrom)
	delete(headers, metaTo)
	headers[httpsink.ContentType] = "application/x-tar"
	return l.beside(ProofFolder, p.Replay, p.Callback, p.Journal, p.Size, ".tar", p.Bundle, headers), nil
}

func (l Layout) beside(folder, replay, callback, journal string, number uint64, extension string, body []byte, headers map[string]string) auditrelay.Payload {
	digest := hexSHA256(body)
	headers[metaDigest] = digest
	return auditrelay.Payload{
		Key:  fmt.Sprintf("%s%s/%s/%s/%012d-%s%s", l.base(replay), folder, Segment(callback), Segment(journal), number, digest[:12], extension),
		Body: body, Headers: headers, Digest: digest,
	}
}

// ProbePayload returns the payload of a probe: one small object under a fixed key.
func (l Layout) ProbePayload() auditrelay.Payload {
	body := []byte("auditrelay checked that it may write here; this object may be deleted\n")
	return auditrelay.Payload{Key: l.Prefix + ProbeFolder + "/probe", Body: body, Digest: hexSHA256(body), Headers: map[string]string{httpsink.ContentType: "text/plain"}}
}

// chunkHeaders returns the metadata that all objects of a chunk share.
func chunkHeaders(chunk auditrelay.Chunk) map[string]string {
	headers := map[string]string{
		metaCallback: Cut(url.PathEscape(chunk.Callback), maxMetaBytes),
		metaJournal:  url.PathEscape(chunk.Journal),
		metaFrom:     strconv.FormatUint(chunk.From, 10),
		metaTo:       strconv.FormatUint(chunk.To, 10),
	}
	if chunk.Replay != "" {
		headers[metaReplay] = Cut(url.PathEscape(chunk.Replay), maxMetaBytes)
	}
	return headers
}

// origin adds the records' origin to headers if all have the same.
func origin(headers map[string]string, records []auditrelay.Record) {
	first := records[0]
	for _, r := range records[1:] {
		if r.Namespace != first.Namespace || r.Source != first.Source || r.Principal != first.Principal {
			return
		}
	}
	for name, value := range map[string]string{metaNamespace: first.Namespace, metaSource: first.Source, metaPrincipal: first.Principal} {
		if value != "" {
			headers[name] = Cut(url.PathEscape(value), maxMetaBytes)
		}
	}
}

func hexSHA256(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
