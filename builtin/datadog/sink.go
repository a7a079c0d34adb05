// Package datadog delivers records to Datadog's log intake, API v2.
//
// Delivery is at least once. The intake has no idempotency: if a response is lost, the events
// are sent again and Datadog has them twice. The attributes auditrelay.journal and
// auditrelay.sequence identify them. Within one process a delivered payload is not sent again.
//
// Source of the protocol: Datadog's "Send logs" (API v2) and "Log collection": 202 is success,
// the limits are 5 MB and 1,000 logs per request and 1 MB per log, and logs over 18 hours old
// are dropped.
package datadog

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"auditrelay"
	"auditrelay/builtin/internal/httpsink"
	"auditrelay/builtin/internal/recordfields"
)

// path is the path of the intake.
const path = "/api/v2/logs"

// maxAge is the maximum age of a log.
const maxAge = 18 * time.Hour

// oldest is the header, sealed with a payload, with the time of its oldest event.
const oldest = "Auditrelay-Oldest"

type base = httpsink.Packed

// Sink is one account's intake. It is safe for concurrent use.
type Sink struct {
	base

	options Options // with defaults
	key     *httpsink.Secret
	client  *httpsink.Client
	packing httpsink.Packing
	common  string // part of each log, encoded
	now     func() time.Time
}

var (
	_ httpsink.Complete = (*Sink)(nil)
	_ auditrelay.Aging  = (*Sink)(nil)
)

// New returns a sink for o. It does no I/O. The error joins an *auditrelay.OptionError for each
// invalid option.
func New(o Options) (*Sink, error) {
	o = o.withDefaults()
	u, key, err := o.check()
	if err != nil {
		return nil, err
	}
	client, err := httpsink.NewClient(o.HTTP, u, nil)
	if err != nil {
		return nil, err
	}
	s := &Sink{options: o, key: key, client: client, now: time.Now}
	s.packing = httpsink.Packing{
		ContentType: "application/json", Open: "[", Separator: ",\n", Close: "]",
		MaxBytes: int(o.MaxRequestBytes), MaxItems: o.MaxEvents, MaxItem: maxEventBytes, Compression: o.HTTP.Compression,
	}
	s.base = httpsink.NewPacked(client, s.packing, key.Forget)
	tags := make([]string, 0, len(o.Tags))
	for _, name := range slices.Sorted(maps.Keys(o.Tags)) {
		tags = append(tags, strings.TrimSuffix(name+":"+o.Tags[name], ":"))
	}
	for _, field := range []struct{ name, value string }{{"ddsource", o.Source}, {"service", o.Service}, {"hostname", o.Hostname}, {"ddtags", strings.Join(tags, ",")}} {
		if field.value != "" {
			s.common += httpsink.Quote(field.name) + ":" + httpsink.Quote(field.value) + ","
		}
	}
	return s, nil
}

// MaxAge returns the maximum age of a log. With time: arrival there is none.
func (s *Sink) MaxAge() time.Duration {
	if s.options.Time == TimeOfArrival {
		return 0
	}
	return maxAge
}

// Render returns payloads of logs with the record as message. The intake parses a JSON message
// and turns its fields into attributes.
func (s *Sink) Render(chunk auditrelay.Chunk) ([]auditrelay.Payload, error) {
	items := make([]httpsink.Item, len(chunk.Records))
	times := make(map[uint64]time.Time, len(chunk.Records))
	for i, r := range chunk.Records {
		items[i].Sequence, items[i].Buried = r.Sequence, httpsink.Buried(&r)
		times[r.Sequence] = timeOf(r)
		if len(r.Data) > 0 {
			items[i].Data = s.log(chunk.Journal, r)
		}
	}
	payloads, err := s.packing.Pack(chunk, items)
	if err != nil || s.options.Time == TimeOfArrival {
		return payloads, err
	}
	for i := range payloads {
		first := times[payloads[i].Sequences[0]]
		for _, sequence := range payloads[i].Sequences {
			if times[sequence].Before(first) {
				first = times[sequence]
			}
		}
		payloads[i].Headers[oldest] = strconv.FormatInt(first.Unix(), 10)
	}
	return payloads, nil
}

func (s *Sink) log(journal string, r auditrelay.Record) []byte {
	b := make([]byte, 0, len(r.Data)+len(r.Data)/8+256)
	b = append(b, '{')
	b = append(b, s.common...)
	if s.options.Time == TimeOfEvent {
		b = append(b, `"timestamp":`...)
		b = strconv.AppendInt(b, timeOf(r).UnixMilli(), 10)
		b = append(b, ',')
	}
	// Further attributes are strings: receivers of this protocol reject other types.
	b = append(b, `"auditrelay.journal":`...)
	b = append(b, httpsink.Quote(journal)...)
	b = append(b, `,"auditrelay.sequence":"`...)
	b = strconv.AppendUint(b, r.Sequence, 10)
	b = append(b, '"')
	for _, origin := range []struct{ name, value string }{{"namespace", r.Namespace}, {"source", r.Source}, {"principal", r.Principal}} {
		if origin.value != "" {
			b = append(b, `,"auditrelay.`+origin.name+`":`...)
			b = append(b, httpsink.Quote(origin.value)...)
		}
	}
	recordfields.Mapped(r, func(name, value string) {
		b = append(append(b, `,"auditrelay.`+name+`":`...), httpsink.Quote(value)...)
	})
	b = append(b, `,"message":`...)
	b = append(b, httpsink.Quote(string(r.Data))...)
	return append(b, '}')
}

// timeOf returns the record's own time. If it has none, or one far in the future that the
// intake would reject, timeOf returns its time of receipt.
func timeOf(r auditrelay.Record) time.Time {
	if r.TimeFrom == auditrelay.TimeMissing || r.TimeFrom == auditrelay.TimeUnreadable || r.Time.Unix() < 0 || r.Time.After(r.Received.Add(time.Hour)) {
		return r.Received
	}
	return r.Time
}

// Deliver posts one payload.
func (s *Sink) Deliver(ctx context.Context, p auditrelay.Payload) (auditrelay.Receipt, error) {
	return s.client.Deliver(ctx, p, func(ctx context.Context) error {
		if err := s.tooOld(p); err != nil {
			return err
		}
		key, err := s.key.Get()
		if err != nil {
			return err
		}
		h := httpsink.Header(p)
		h.Set("DD-API-KEY", key)
		answer, err := s.client.Send(ctx, httpsink.Request{Path: path, Header: h, Body: p.Body})
		if err != nil {
			return err
		}
		return s.outcome(answer)
	})
}

// tooOld stalls a payload that the intake would silently drop.
func (s *Sink) tooOld(p auditrelay.Payload) error {
	if p.Headers[oldest] == "" || s.options.OldEvents == OldEventsSend {
		return nil
	}
	seconds, err := strconv.ParseInt(p.Headers[oldest], 10, 64)
	if err != nil {
		return fmt.Errorf("read the stored payload: %s is not a time: %w", oldest, err)
	}
	if age := s.now().Sub(time.Unix(seconds, 0)); age > maxAge {
		return &auditrelay.DeliveryError{Kind: auditrelay.Misconfigured, Reason: auditrelay.ReasonAge, Err: fmt.Errorf(
			"post to %s: events %d to %d include one that is %v old, and Datadog drops logs older than %v without an error: set time: arrival for new events, and old_events: send for the pending ones, or replay to another callback",
			s.client.Target(), p.Sequences[0], p.Sequences[len(p.Sequences)-1], age.Truncate(time.Minute), maxAge)}
	}
	return nil
}

// outcome classifies an answer. The intake answers 202 if it accepted the logs; other stores
// with its protocol answer 200 with a JSON object or nothing. A 400 concerns the request as a
// whole.
func (s *Sink) outcome(a httpsink.Answer) error {
	err := s.client.Refusal(a)
	body := bytes.TrimSpace(a.Body)
	taken := a.Status == http.StatusAccepted || a.Status == http.StatusOK && (len(body) == 0 || body[0] == '{' && json.Valid(body))
	if err == nil && !taken {
		err = s.client.Fail(auditrelay.Misconfigured, a, "expected status 202: is the URL right?")
	}
	return httpsink.ForgetAfter(err, s.key.Forget)
}

// Probe posts an empty list, which stores nothing.
func (s *Sink) Probe(ctx context.Context) error {
	key, err := s.key.Get()
	if err != nil {
		return err
	}
	h := http.Header{"Dd-Api-Key": {key}, httpsink.ContentType: {"application/json"}}
	answer, err := s.client.Send(ctx, httpsink.Request{Path: path, Header: h, Body: []byte("[]")})
	if err != nil {
		return s.client.Failure(ctx, err)
	}
	if answer.Status == http.StatusBadRequest {
		return nil // the key was accepted, the empty list was not
	}
	return s.outcome(answer)
}
