// Package otlp delivers records as OpenTelemetry logs, with OTLP over HTTP and Protobuf.
//
// Delivery is at least once. OTLP has no idempotency: if a response is lost, the records are
// sent again and the receiver has them twice. The attributes auditrelay.journal and
// auditrelay.sequence identify them. Within one process a delivered payload is not sent again.
//
// A payload is sealed as text, one record a line, which the gate can read. Each attempt encodes
// the same Protobuf message from it. The few messages are encoded field by field, without the
// generated packages of the protocol and of gRPC.
//
// Source of the protocol: OpenTelemetry's "OTLP specification" 1.9 (success is 200, and 204 of
// Grafana Loki; a partially rejected request is not sent again) and the logs messages of
// opentelemetry-proto 1.9.
package otlp

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"auditrelay"
	"auditrelay/builtin/internal/httpsink"
	"auditrelay/builtin/internal/recordfields"
)

type base = httpsink.Packed

// Sink writes to one receiver. It is safe for concurrent use.
type Sink struct {
	base

	options  Options // with defaults filled in
	token    *httpsink.Secret
	client   *httpsink.Client
	packing  httpsink.Packing
	resource []byte // encoded
}

var _ httpsink.Complete = (*Sink)(nil)

// New returns a sink for o. It does no I/O. The error joins an *auditrelay.OptionError for each
// invalid option.
func New(o Options) (*Sink, error) {
	o = o.withDefaults()
	u, token, err := o.check()
	if err != nil {
		return nil, err
	}
	client, err := httpsink.NewClient(o.HTTP, u, nil)
	if err != nil {
		return nil, err
	}
	s := &Sink{options: o, token: token, client: client, packing: httpsink.Packing{
		ContentType: "application/x-ndjson", Separator: "\n", Close: "\n",
		MaxBytes: int(o.MaxRequestBytes), MaxItem: int(o.MaxRequestBytes) - 4096, MaxItems: o.MaxEvents, Compression: o.HTTP.Compression,
	}}
	s.base = httpsink.NewPacked(client, s.packing, token.Forget)
	s.resource = appendAttribute(nil, 1, "service.name", o.Service)
	for _, name := range slices.Sorted(maps.Keys(o.Resource)) {
		s.resource = appendAttribute(s.resource, 1, name, o.Resource[name])
	}
	return s, nil
}

// Render returns payloads with one line for each record. The line has the content of the log
// record.
func (s *Sink) Render(chunk auditrelay.Chunk) ([]auditrelay.Payload, error) {
	items := make([]httpsink.Item, len(chunk.Records))
	for i, r := range chunk.Records {
		items[i].Sequence, items[i].Buried = r.Sequence, httpsink.Buried(&r)
		if len(r.Data) > 0 {
			items[i].Data = line(chunk, r)
		}
	}
	return s.packing.Pack(chunk, items)
}

// line returns a record in its sealed form.
func line(chunk auditrelay.Chunk, r auditrelay.Record) []byte {
	at := recordfields.Time(r, 2200) // nanoseconds since 1970 overflow in 2262
	b := make([]byte, 0, len(r.Data)+512)
	b = strconv.AppendInt(append(b, `{"time":`...), at.UnixNano(), 10)
	b = strconv.AppendInt(append(b, `,"observed":`...), r.Received.UnixNano(), 10)
	b = append(b, `,"event":"audit.`+r.Action.Closed()+`","attributes":{"auditrelay.journal":`...)
	b = append(b, httpsink.Quote(chunk.Journal)...)
	b = strconv.AppendUint(append(b, `,"auditrelay.sequence":"`...), r.Sequence, 10)
	b = append(b, '"')
	attribute := func(name, value string) {
		if value != "" {
			b = append(append(b, `,"`+name+`":`...), httpsink.Quote(value)...)
		}
	}
	attribute("auditrelay.namespace", r.Namespace)
	attribute("auditrelay.source", r.Source)
	attribute("auditrelay.principal", r.Principal)
	data := r.Data
	if chunk.MediaType == auditrelay.MediaTypeText {
		data = []byte(httpsink.Quote(string(r.Data)))
	} else {
		of := recordfields.Of(r)
		attribute("user.id", of.Actor)
		attribute("audit.object.id", of.Object)
		attribute("audit.object.type", of.ObjectType)
		if r.Mapping != nil {
			attribute("audit.action", of.Action)
			attribute("audit.id", of.ID)
		}
	}
	return append(append(append(b, `},"body":`...), data...), '}')
}

// Deliver sends one payload.
func (s *Sink) Deliver(ctx context.Context, p auditrelay.Payload) (auditrelay.Receipt, error) {
	return s.client.Deliver(ctx, p, func(ctx context.Context) error {
		lines, err := httpsink.Lines(p)
		if err != nil {
			return err
		}
		answer, err := s.post(ctx, request(s.resource, lines))
		if err != nil {
			return err
		}
		return s.outcome(answer, p)
	})
}

func (s *Sink) post(ctx context.Context, body []byte) (httpsink.Answer, error) {
	h := http.Header{httpsink.ContentType: {"application/x-protobuf"}}
	for name, value := range s.options.Headers {
		h.Set(name, value.Reveal())
	}
	if s.token != nil {
		token, err := s.token.Get()
		if err != nil {
			return httpsink.Answer{}, err
		}
		h.Set("Authorization", "Bearer "+token)
	}
	body, err := s.client.Encode(h, body)
	if err != nil {
		return httpsink.Answer{}, err
	}
	return s.client.Send(ctx, httpsink.Request{Path: "/v1/logs", Header: h, Body: body})
}

// outcome classifies a response. If the receiver rejected some records, it does not name them,
// and the specification forbids sending the payload again. So all its records become dead
// letters, and none is lost silently. With isolate the payload is sent again in halves. If the
// receiver rejected all records, all become dead letters.
func (s *Sink) outcome(a httpsink.Answer, p auditrelay.Payload) error {
	if err := s.client.Refusal(a); err != nil {
		return httpsink.ForgetAfter(err, s.Refresh)
	}
	if a.Status == http.StatusNoContent {
		return nil
	}
	if a.Status != http.StatusOK {
		return s.client.Fail(auditrelay.Misconfigured, a, "expected status 200: is the URL right?")
	}
	rejected, ok := rejectedIn(a.Body)
	if !ok {
		return s.client.Fail(auditrelay.Misconfigured, a, "the response is not OTLP: is the URL right?")
	}
	if rejected <= 0 {
		return nil
	}
	n := len(p.Sequences)
	text := fmt.Errorf("%d of %d records rejected without naming them: this one may have arrived", rejected, n)
	switch {
	case rejected >= int64(n):
		text = fmt.Errorf("all %d records of the request rejected", n)
	case s.options.Isolate:
		return s.client.Fail(auditrelay.Refused, a, text.Error())
	}
	named := &auditrelay.RecordErrors{}
	for _, sequence := range p.Sequences {
		named.Records = append(named.Records, auditrelay.RecordError{Sequence: sequence, Cause: auditrelay.CauseRefused, Err: text})
	}
	return named
}

// Probe sends a request without records, which stores nothing.
func (s *Sink) Probe(ctx context.Context) error {
	answer, err := s.post(ctx, nil)
	if err != nil {
		return s.client.Failure(ctx, err)
	}
	if err := s.client.Refusal(answer); err != nil {
		if auditrelay.KindOf(err) == auditrelay.Refused {
			return fmt.Errorf("%w: %w", auditrelay.ErrNotChecked, errors.New("the receiver was reached, but refuses a request without records; run auditrelay sink test"))
		}
		return err
	}
	return nil
}
