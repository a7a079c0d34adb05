// Package splunk delivers records to Splunk's HTTP Event Collector (HEC).
//
// Delivery is at least once. HEC has no idempotency: if a response is lost, the events are sent
// again and Splunk has them twice. The indexed fields auditrelay_journal and
// auditrelay_sequence identify them. Within one process a delivered payload is not sent again.
//
// Without ack, Splunk's response counts as delivery: the events are then in the memory of the
// server that answered. With ack, delivery is the indexer's acknowledgement. If the relay
// restarts while it waits, or if ack_timeout passes, the events are sent again. An indexer
// reports an acknowledgement only once. If that response is lost, ack_timeout passes and Splunk
// has the events twice. Each waiting payload has its own channel.
//
// Source of the protocol: Splunk's "Format events for HTTP Event Collector" and "About HTTP
// Event Collector Indexer Acknowledgment". Codes above 9 come from the tables of several
// clients. Unknown codes are transient.
package splunk

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"strconv"
	"sync"
	"time"

	"auditrelay"
	"auditrelay/builtin/internal/httpsink"
	"auditrelay/builtin/internal/recordfields"
)

const collector = "/services/collector"

type base = httpsink.Packed

// Sink is one HEC endpoint. It is safe for concurrent use.
type Sink struct {
	base

	options Options // with defaults
	token   *httpsink.Secret
	client  *httpsink.Client
	packing httpsink.Packing
	fields  string // encoded, without the closing brace
	channel string // for requests without acknowledgement
	poll    time.Duration
	now     func() time.Time

	mu      sync.Mutex
	waiting map[string]acknowledgement // by payload key
	// channels are the channels with nothing outstanding.
	channels []string
}

// acknowledgement is one awaited acknowledgement.
type acknowledgement struct {
	channel string
	id      int64
	since   time.Time
	indexed bool
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
	jar, err := cookiejar.New(nil) // load balancers use it to keep one channel on one indexer
	if err != nil {
		return nil, err
	}
	client, err := httpsink.NewClient(o.HTTP, u, jar)
	if err != nil {
		return nil, err
	}
	s := &Sink{options: o, token: token, client: client, poll: time.Second, now: time.Now, waiting: map[string]acknowledgement{}, channel: newChannel()}
	s.packing = httpsink.Packing{
		ContentType: "application/json", Separator: "\n",
		MaxBytes: int(o.MaxRequestBytes), MaxItem: int(o.MaxEventBytes), Compression: o.HTTP.Compression,
	}
	s.base = httpsink.NewPacked(client, s.packing, token.Forget)
	for _, name := range sorted(o.Fields) {
		s.fields += "," + quote(name) + ":" + quote(o.Fields[name])
	}
	return s, nil
}

// newChannel returns a random UUID, the form that HEC requires for a channel.
func newChannel() string {
	b := make([]byte, 16)
	rand.Read(b) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Render returns payloads of concatenated events in HEC's envelope.
func (s *Sink) Render(chunk auditrelay.Chunk) ([]auditrelay.Payload, error) {
	items := make([]httpsink.Item, len(chunk.Records))
	for i, r := range chunk.Records {
		items[i].Sequence, items[i].Buried = r.Sequence, httpsink.Buried(&r)
		if len(r.Data) > 0 {
			if chunk.MediaType == auditrelay.MediaTypeText {
				r.Data = []byte(httpsink.Quote(string(r.Data)))
			}
			items[i].Data = s.envelope(chunk.Journal, r)
		}
	}
	return s.packing.Pack(chunk, items)
}

func (s *Sink) envelope(journal string, r auditrelay.Record) []byte {
	o := s.options
	b := make([]byte, 0, len(r.Data)+256)
	b = append(b, `{"time":`...)
	b = append(b, epoch(r)...)
	for _, meta := range []struct{ name, value string }{{"host", o.Host}, {"source", o.Source}, {"sourcetype", o.SourceType}, {"index", o.Index}} {
		if meta.value != "" {
			b = append(b, `,"`+meta.name+`":`...)
			b = append(b, quote(meta.value)...)
		}
	}
	b = append(b, `,"fields":{"auditrelay_journal":`...)
	b = append(b, quote(journal)...)
	b = append(b, `,"auditrelay_sequence":"`...)
	b = strconv.AppendUint(b, r.Sequence, 10)
	b = append(b, '"')
	for _, origin := range []struct{ name, value string }{{"namespace", r.Namespace}, {"source", r.Source}, {"principal", r.Principal}} {
		if origin.value != "" {
			b = append(b, `,"auditrelay_`+origin.name+`":`...)
			b = append(b, quote(origin.value)...)
		}
	}
	recordfields.Mapped(r, func(name, value string) {
		b = append(append(b, `,"auditrelay_`+name+`":`...), quote(value)...)
	})
	b = append(b, s.fields...)
	b = append(b, `},"event":`...)
	b = append(b, r.Data...)
	return append(b, '}')
}

// epoch returns the record's time in HEC's format: seconds as a plain decimal.
func epoch(r auditrelay.Record) string {
	t := recordfields.Time(r, 9999)
	return fmt.Sprintf("%d.%03d", t.Unix(), t.Nanosecond()/1e6)
}

// Deliver posts one payload. With ack, it waits until the payload is indexed.
func (s *Sink) Deliver(ctx context.Context, p auditrelay.Payload) (auditrelay.Receipt, error) {
	return s.client.Deliver(ctx, p, func(ctx context.Context) error {
		waiting, sent := s.waitsFor(p.Key)
		if !sent && !s.options.Ack {
			_, err := s.post(ctx, p, s.channel)
			return err
		}
		if !sent {
			channel := s.takeChannel()
			id, err := s.post(ctx, p, channel)
			if err != nil {
				// Without an answer, drop the channel: HEC may have assigned a number on it.
				if answered, ok := errors.AsType[*auditrelay.DeliveryError](err); ok && answered.Status != 0 {
					s.giveChannel(channel)
				}
				return err
			}
			waiting = s.wait(p.Key, channel, id)
		}
		return s.acknowledged(ctx, p.Key, waiting)
	})
}

// post sends a payload. With ack it returns the number of its acknowledgement.
func (s *Sink) post(ctx context.Context, p auditrelay.Payload, channel string) (id int64, err error) {
	answer, err := s.call(ctx, collector+"/event", channel, p.Body, p.Headers)
	if err != nil {
		return 0, err
	}
	reply, err := s.reply(answer)
	if err != nil {
		return 0, err
	}
	if s.options.Ack && reply.AckID == nil {
		return 0, s.client.Fail(auditrelay.Misconfigured, answer, "the response has no acknowledgement id: indexer acknowledgement is off for the token")
	}
	if reply.AckID != nil {
		id = *reply.AckID
	}
	return id, nil
}

func (s *Sink) call(ctx context.Context, path, channel string, body []byte, headers map[string]string) (httpsink.Answer, error) {
	token, err := s.token.Get()
	if err != nil {
		return httpsink.Answer{}, err
	}
	h := http.Header{"Authorization": {"Splunk " + token}, "X-Splunk-Request-Channel": {channel}}
	for _, name := range []string{httpsink.ContentType, httpsink.ContentEncoding} {
		if headers[name] != "" {
			h.Set(name, headers[name])
		}
	}
	return s.client.Send(ctx, httpsink.Request{Path: path, Header: h, Body: body})
}

// reply is HEC's answer.
type reply struct {
	Code  *int   `json:"code"`
	AckID *int64 `json:"ackId"`
	// Acks is the answer to a poll.
	Acks map[string]bool `json:"acks"`
}

// reply reads an answer to events. Its error is classified.
func (s *Sink) reply(a httpsink.Answer) (reply, error) {
	var r reply
	readable := json.Unmarshal(a.Body, &r) == nil && r.Code != nil
	if !readable {
		if err := s.client.Refusal(a); err != nil {
			return r, httpsink.ForgetAfter(err, s.token.Forget)
		}
		return r, s.client.Fail(auditrelay.Misconfigured, a, "the response is not from an event collector: is the URL right?")
	}
	meaning, known := codes[*r.Code]
	if known && meaning.delivered && a.Status >= 200 && a.Status < 300 {
		return r, nil
	}
	kind := meaning.kind
	switch {
	case a.Status == http.StatusRequestEntityTooLarge:
		kind = auditrelay.TooLarge
	case !known || meaning.delivered:
		// Retry an unknown code: treating it as a refusal could dead-letter events that Splunk
		// would accept.
		if kind = httpsink.KindOf(a.Status); kind == auditrelay.Refused || a.Status < 300 {
			kind = auditrelay.Transient
		}
	}
	return r, httpsink.ForgetAfter(s.client.Fail(kind, a, fmt.Sprintf("code %d: %s", *r.Code, meaning.text())), s.token.Forget)
}

// code is the meaning of one of HEC's codes.
type code struct {
	delivered bool
	kind      auditrelay.ErrorKind
	what      string
}

func (c code) text() string {
	if c.what == "" {
		return "unknown to this program; the relay retries"
	}
	return c.what
}

// codes are HEC's codes. 0 to 9 come from the vendor's page, the others from its clients. 10,
// 11 and 16 concern the request and not a record. Every record would fail alike, so they stall
// the callback instead of dead-lettering every event.
var codes = map[int]code{
	0:  {delivered: true, what: "success"},
	1:  {kind: auditrelay.Unauthorized, what: "the token is disabled"},
	2:  {kind: auditrelay.Unauthorized, what: "a token is required"},
	3:  {kind: auditrelay.Unauthorized, what: "invalid authorization"},
	4:  {kind: auditrelay.Unauthorized, what: "the token is not known"},
	5:  {kind: auditrelay.Refused, what: "no data"},
	6:  {kind: auditrelay.Refused, what: "invalid data format"},
	7:  {kind: auditrelay.Misconfigured, what: "the token may not write to this index: correct index, or the token"},
	8:  {kind: auditrelay.Transient, what: "internal server error"},
	9:  {kind: auditrelay.Throttled, what: "the server is busy"},
	10: {kind: auditrelay.Misconfigured, what: "the data channel is missing"},
	11: {kind: auditrelay.Misconfigured, what: "invalid data channel"},
	12: {kind: auditrelay.Refused, what: "the event field is required"},
	13: {kind: auditrelay.Refused, what: "the event field is blank"},
	14: {kind: auditrelay.Misconfigured, what: "acknowledgement is off for the token: turn it on, or leave ack out"},
	15: {kind: auditrelay.Refused, what: "an indexed field cannot be handled"},
	16: {kind: auditrelay.Misconfigured, what: "query string authorization is off"},
	18: {kind: auditrelay.Transient, what: "the queues are full"},
	19: {kind: auditrelay.Transient, what: "the collector is unhealthy"},
	20: {kind: auditrelay.Transient, what: "the queues are full"},
	21: {kind: auditrelay.Unauthorized, what: "the token cannot be used here"},
	22: {kind: auditrelay.Unauthorized, what: "the token has expired"},
	23: {kind: auditrelay.Transient, what: "the server is shutting down"},
	24: {delivered: true, what: "the queues are nearly full"},
	25: {delivered: true, what: "acknowledgements are nearly full"},
	26: {kind: auditrelay.Throttled, what: "the queues are at capacity"},
	27: {kind: auditrelay.Throttled, what: "acknowledgements are at capacity"},
}
