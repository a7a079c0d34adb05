package s3

import (
	"encoding/json"
	"fmt"

	"auditrelay"
	"auditrelay/builtin/internal/objects"
)

// RenderManifest returns a chunk's manifest, one JSON object under
// {prefix}/_manifests/{callback}/{journal}/{number}-{sha256:12}.json (a replay's under
// {prefix}/replay={id}/_manifests/...). The key contains the digest, since numbers start again
// when a callback is removed and created again.
func (s *Sink) RenderManifest(m auditrelay.Manifest) (auditrelay.Payload, error) {
	body, err := json.Marshal(m)
	if err != nil {
		return auditrelay.Payload{}, fmt.Errorf("render manifest %d of callback %s: %w", m.Number, m.Callback, err)
	}
	digest := hexSHA256(body)
	headers := chunkHeaders(auditrelay.Chunk{Callback: m.Callback, Journal: m.Journal, From: m.From, To: m.To, Replay: m.Replay})
	headers[contentType] = "application/json"
	return s.seal(auditrelay.Payload{
		Key: fmt.Sprintf("%s%s/%s/%s/%012d-%s.json", s.base(m.Replay), objects.ManifestFolder,
			objects.Segment(m.Callback), objects.Segment(m.Journal), m.Number, digest[:12]),
		Body:    body,
		Headers: headers,
		Digest:  digest,
	}), nil
}

// RenderProof returns a bundle of proofs as one object under
// {prefix}/_proofs/{callback}/{journal}/{size}-{sha256:12}.tar (a replay's under
// {prefix}/replay={id}/_proofs/...).
func (s *Sink) RenderProof(p auditrelay.Proof) (auditrelay.Payload, error) {
	digest := hexSHA256(p.Bundle)
	headers := chunkHeaders(auditrelay.Chunk{Callback: p.Callback, Journal: p.Journal, Replay: p.Replay})
	delete(headers, metaFrom)
	delete(headers, metaTo)
	headers[contentType] = "application/x-tar"
	return s.seal(auditrelay.Payload{
		Key: fmt.Sprintf("%s%s/%s/%s/%012d-%s.tar", s.base(p.Replay), objects.ProofFolder,
			objects.Segment(p.Callback), objects.Segment(p.Journal), p.Size, digest[:12]),
		Body:    p.Bundle,
		Headers: headers,
		Digest:  digest,
	}), nil
}
