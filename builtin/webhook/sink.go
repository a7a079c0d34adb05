// Package webhook posts records to an HTTP endpoint according to the Standard Webhooks
// specification 1.0.0. webhook-id identifies the payload and is the same on every retry, so a
// receiver that remembers ids accepts each payload once. webhook-timestamp is the time of the
// attempt. webhook-signature signs both together with the body.
//
// Delivery is at least once, and idempotent for receivers that remember webhook-id. A 2xx is
// delivery, unless it comes with an HTML page. Redirects are not followed.
package webhook

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"auditrelay"
	"auditrelay/builtin/internal/httpsink"
)

type base = httpsink.Packed

// Sink is one endpoint. It is safe for concurrent use.
type Sink struct {
	base

	options Options // with defaults
	file    *httpsink.Secret
	client  *httpsink.Client
	packing httpsink.Packing
	now     func() time.Time
}

var _ httpsink.Complete = (*Sink)(nil)

// New returns a sink for o. It does no I/O. The error joins an *auditrelay.OptionError for each
// invalid option.
func New(o Options) (*Sink, error) {
	o = o.withDefaults()
	u, err := o.check()
	if err != nil {
		return nil, err
	}
	client, err := httpsink.NewClient(o.HTTP, u, nil)
	if err != nil {
		return nil, err
	}
	s := &Sink{options: o, client: client, now: time.Now}
	if o.SecretFile != "" {
		if s.file, err = httpsink.NewSecret("secret", "", o.SecretFile); err != nil {
			return nil, err
		}
	}
	s.packing = httpsink.Packing{MaxBytes: int(o.MaxRequestBytes), MaxItem: int(o.MaxRequestBytes), MaxItems: o.MaxEvents, Compression: o.HTTP.Compression}
	switch o.Body {
	case BodyEvent:
		s.packing.Separator, s.packing.MaxItems = "\n", 1
	case BodyArray:
		s.packing.Open, s.packing.Separator, s.packing.Close = "[", ",\n", "]"
	case BodyNDJSON:
		s.packing.Separator, s.packing.Close = "\n", "\n"
	}
	s.base = httpsink.NewPacked(client, s.packing, s.file.Forget)
	return s, nil
}

// Render returns one payload for each event, or for as many events as fit in a request.
func (s *Sink) Render(chunk auditrelay.Chunk) ([]auditrelay.Payload, error) {
	items := make([]httpsink.Item, len(chunk.Records))
	for i, r := range chunk.Records {
		items[i] = httpsink.Item{Sequence: r.Sequence, Data: r.Data}
		if s.options.Body == BodyArray && chunk.MediaType == auditrelay.MediaTypeText {
			items[i].Data = []byte(httpsink.Quote(string(r.Data)))
		}
	}
	packing := s.packing
	packing.ContentType = s.options.contentType(chunk.MediaType)
	payloads, err := packing.Pack(chunk, items)
	if err == nil {
		addOrigins(payloads, chunk)
	}
	return payloads, err
}

// originHeaders state the origin of a payload's records if it is the same for all of them, and
// the sequence of a single record. An event cannot choose their values.
var originHeaders = []string{"Auditrelay-Namespace", "Auditrelay-Source", "Auditrelay-Principal", "Auditrelay-Journal", "Auditrelay-Sequence"}

func addOrigins(payloads []auditrelay.Payload, chunk auditrelay.Chunk) {
	records := make(map[uint64]*auditrelay.Record, len(chunk.Records))
	for i := range chunk.Records {
		records[chunk.Records[i].Sequence] = &chunk.Records[i]
	}
	for i := range payloads {
		p := &payloads[i]
		var first *auditrelay.Record
		one := true
		for _, sequence := range p.Sequences {
			r := records[sequence]
			if first == nil {
				first = r
			}
			one = one && r.Namespace == first.Namespace && r.Source == first.Source && r.Principal == first.Principal
		}
		if first == nil || !one {
			continue
		}
		values := []string{first.Namespace, first.Source, first.Principal, chunk.Journal, ""}
		if len(p.Sequences) == 1 {
			values[4] = strconv.FormatUint(first.Sequence, 10)
		}
		for k, value := range values {
			if value != "" {
				p.Headers[originHeaders[k]] = url.PathEscape(value)
			}
		}
	}
}

// ID returns the payload's webhook-id: a digest of its key. An event cannot choose it, and it
// is the same on every retry.
func ID(p auditrelay.Payload) string {
	sum := sha256.Sum256([]byte(p.Key))
	return "msg_" + hex.EncodeToString(sum[:16])
}

// Deliver posts one payload.
func (s *Sink) Deliver(ctx context.Context, p auditrelay.Payload) (auditrelay.Receipt, error) {
	receipt, err := s.client.Deliver(ctx, p, func(ctx context.Context) error {
		h, err := s.headers(p)
		if err != nil {
			return err
		}
		answer, err := s.client.Send(ctx, httpsink.Request{Header: h, Body: p.Body})
		if err != nil {
			return err
		}
		return s.outcome(answer)
	})
	receipt.Version = ID(p)
	return receipt, err
}

func (s *Sink) headers(p auditrelay.Payload) (http.Header, error) {
	h := s.options.static()
	for _, name := range append([]string{httpsink.ContentType, httpsink.ContentEncoding}, originHeaders...) {
		if p.Headers[name] != "" {
			h.Set(name, p.Headers[name])
		}
	}
	id, at := ID(p), s.now()
	h.Set("Webhook-Id", id)
	h.Set("Webhook-Timestamp", strconv.FormatInt(at.Unix(), 10))
	secrets, err := s.secrets()
	if err != nil || len(secrets) == 0 {
		return h, err
	}
	body, err := httpsink.Plain(p)
	if err != nil {
		return nil, fmt.Errorf("read the stored payload: %w", err)
	}
	signed, err := signatures(secrets, id, at, body)
	if err != nil {
		return nil, &auditrelay.DeliveryError{Kind: auditrelay.Unauthorized, Err: fmt.Errorf("sign for %s: secret_file: %w", s.client.Target(), err)}
	}
	h.Set("Webhook-Signature", signed)
	return h, nil
}

func (s *Sink) secrets() ([]string, error) {
	if s.file != nil {
		text, err := s.file.Get()
		return strings.Fields(text), err
	}
	all := make([]string, len(s.options.Secrets))
	for i, secret := range s.options.Secrets {
		all[i] = secret.Reveal()
	}
	return all, nil
}

// outcome classifies an answer. According to the specification, 410 means that the endpoint
// wants no more requests, and 429, 502 and 504 ask for a slower rate.
func (s *Sink) outcome(a httpsink.Answer) error {
	switch a.Status {
	case http.StatusGone:
		return s.client.Fail(auditrelay.Misconfigured, a, "the endpoint wants no more events: the callback waits until an operator resumes it")
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		return s.client.Fail(auditrelay.Throttled, a, "the gateway cannot reach the endpoint")
	}
	return httpsink.ForgetAfter(s.client.Refusal(a), s.Refresh)
}

// Probe connects and sends nothing, since every request is an event to the receiver. If the
// connection succeeds, its error wraps auditrelay.ErrNotChecked.
func (s *Sink) Probe(ctx context.Context) error {
	if _, err := s.secrets(); err != nil {
		return err
	}
	if err := s.client.Connect(ctx); err != nil {
		return s.client.Failure(ctx, err)
	}
	return fmt.Errorf("%w: %w", auditrelay.ErrNotChecked, errors.New("the endpoint was reached; run auditrelay sink test to check that it accepts events"))
}
