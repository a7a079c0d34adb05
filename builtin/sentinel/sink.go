// Package sentinel delivers records to a table of Microsoft Sentinel, by the Logs Ingestion
// API of Azure Monitor. It was tested against a stand-in that answers as the documentation
// says, and not yet against the service.
//
// Delivery is at least once. The API has no idempotency: rows whose answer was lost are sent
// again and stand there twice, told apart by Journal and Sequence. Within one process a
// payload that was delivered is not sent again.
//
// A row has the columns of Row, which the rule's stream must declare: columns that it does
// not declare are dropped over there without an error. A value of more than 64 KB would be
// cut short over there, so that such a record is dead-lettered here.
//
// Source of the protocol: Microsoft's "Logs Ingestion API in Azure Monitor" (REST version
// 2023-01-01: a JSON array, optionally gzip; 204 is success) and "Azure Monitor service
// limits", custom logs (2022-02-22: 1 MB a call, compressed and not; values over 64 KB are
// truncated; 2 GB and 12,000 requests a minute for each rule, then Retry-After).
package sentinel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"auditrelay"
	"auditrelay/builtin/internal/httpsink"
	"auditrelay/builtin/internal/oauth"
	"auditrelay/builtin/internal/recordfields"

	"github.com/tidwall/gjson"
)

// maxValueBytes is what the service keeps of one value.
const maxValueBytes = 64_000

type base = httpsink.Packed

// Sink is one stream of a data collection rule. It is safe for concurrent use.
type Sink struct {
	base

	options Options // defaults filled in
	client  *httpsink.Client
	packing httpsink.Packing
	tokens  *oauth.Tokens
	path    string
}

var _ httpsink.Complete = (*Sink)(nil)

// New returns a sink for o. It does no I/O. The error joins an *auditrelay.OptionError
// for each bad option.
func New(o Options) (*Sink, error) {
	o = o.withDefaults()
	u, open, err := o.check()
	if err != nil {
		return nil, err
	}
	client, err := httpsink.NewClient(o.HTTP, u, nil)
	if err != nil {
		return nil, err
	}
	if open == nil {
		open = oauth.AzureSearch(client.Tokens(), o.Scope, o.HTTP.RequestTimeout)
	}
	s := &Sink{options: o, client: client, tokens: oauth.New(open, client, o.HTTP.RequestTimeout),
		path: "/dataCollectionRules/" + o.Rule + "/streams/" + o.Stream,
		packing: httpsink.Packing{
			ContentType: "application/json", Open: "[", Separator: ",\n", Close: "]",
			MaxBytes: int(o.MaxRequestBytes), MaxItems: o.MaxEvents, MaxItem: int(o.MaxRequestBytes) - 16, Compression: o.HTTP.Compression,
		}}
	s.base = httpsink.NewPacked(client, s.packing, s.tokens.Forget)
	return s, nil
}

// Render gives payloads of rows.
func (s *Sink) Render(chunk auditrelay.Chunk) ([]auditrelay.Payload, error) {
	items := make([]httpsink.Item, len(chunk.Records))
	var large []auditrelay.RecordError
	for i, r := range chunk.Records {
		items[i].Sequence, items[i].Buried = r.Sequence, httpsink.Buried(&r)
		if len(r.Data) == 0 || bytes.IndexByte(r.Data, '\n') >= 0 {
			items[i].Data = r.Data // named by Pack
			continue
		}
		if len(r.Data) > maxValueBytes {
			large = append(large, auditrelay.RecordError{Sequence: r.Sequence, Cause: auditrelay.CauseTooLarge,
				Err: fmt.Errorf("%d bytes: the service cuts a value of more than %d short", len(r.Data), maxValueBytes)})
			continue
		}
		items[i].Data = row(chunk, r)
	}
	if large != nil {
		return nil, &auditrelay.RecordErrors{Records: large}
	}
	return s.packing.Pack(chunk, items)
}

// row is a record as a row. TimeGenerated is the record's own time, or that of its receipt
// where it has none; both stand in columns of their own too, since the service may replace
// the first.
func row(chunk auditrelay.Chunk, r auditrelay.Record) []byte {
	at := recordfields.Time(r, 9999)
	b := make([]byte, 0, len(r.Data)+512)
	b = at.UTC().AppendFormat(append(b, `{"TimeGenerated":"`...), time.RFC3339Nano)
	b = at.UTC().AppendFormat(append(b, `","EventTime":"`...), time.RFC3339Nano)
	b = r.Received.UTC().AppendFormat(append(b, `","ReceivedTime":"`...), time.RFC3339Nano)
	b = append(append(b, `","Journal":`...), httpsink.Quote(chunk.Journal)...)
	b = strconv.AppendUint(append(b, `,"Sequence":`...), r.Sequence, 10)
	text := chunk.MediaType == auditrelay.MediaTypeText
	of := recordfields.Fields{}
	if chunk.MediaType == "application/json" { // a CloudEvent's id is another
		of = recordfields.Of(r)
	}
	for _, column := range []struct{ name, value string }{
		{"Namespace", r.Namespace}, {"Source", r.Source}, {"Principal", r.Principal},
		{"Id", of.ID}, {"Action", of.Action}, {"Actor", of.Actor}, {"ObjectType", of.ObjectType}, {"Object", of.Object},
	} {
		if column.value != "" {
			b = append(append(b, `,"`+column.name+`":`...), httpsink.Quote(column.value)...)
		}
	}
	b = append(b, `,"Event":`...)
	if text {
		b = append(b, httpsink.Quote(string(r.Data))...)
	} else {
		b = append(b, r.Data...)
	}
	return append(b, '}')
}

// Deliver posts one payload.
func (s *Sink) Deliver(ctx context.Context, p auditrelay.Payload) (auditrelay.Receipt, error) {
	return s.client.Deliver(ctx, p, func(ctx context.Context) error {
		token, err := s.tokens.Get(ctx)
		if err != nil {
			return err
		}
		h := httpsink.Header(p)
		h.Set("Authorization", "Bearer "+token)
		answer, err := s.client.Send(ctx, httpsink.Request{Path: s.path, Query: "api-version=2023-01-01", Header: h, Body: p.Body})
		if err != nil {
			return err
		}
		return s.tokens.ForgetAfter(s.outcome(answer))
	})
}

// ofSetting are the codes of a 400 that say of rule, stream or url that they are wrong, so
// that every row would fail alike. The API's reference gives the form of an error
// (error.code, 2023-01-01) and no list of codes: these are what clients of the service know.
var ofSetting = map[string]string{
	"InvalidStream":         "the rule has no such stream: correct stream, or wait for the rule's last change, which takes minutes",
	"InvalidDcrImmutableId": "the endpoint does not know the rule: url and rule must be of one region",
}

// outcome judges an answer. A 400 whose code is none of ofSetting may be about a row: the
// payload is halved until that is alone.
func (s *Sink) outcome(a httpsink.Answer) error {
	err := s.client.Refusal(a)
	code := gjson.GetBytes(a.Body, "error.code").Str
	switch {
	case err == nil && a.Status != http.StatusNoContent:
		return s.client.Fail(auditrelay.Misconfigured, a, "the service answers 204: is the URL a logs endpoint?")
	case err != nil && auditrelay.KindOf(err) == auditrelay.Refused && ofSetting[code] != "":
		return s.client.Fail(auditrelay.Misconfigured, a, code+": "+ofSetting[code])
	case err != nil && auditrelay.KindOf(err) == auditrelay.Refused:
		return s.client.Fail(auditrelay.Refused, a, "the rows are not taken")
	case a.Status == http.StatusForbidden:
		return s.client.Fail(auditrelay.Unauthorized, a, "the application lacks the role Monitoring Metrics Publisher on the rule; a new role takes up to half an hour")
	}
	return err
}

// Probe gets a token. Whether the rule takes rows only one shows: its error wraps
// auditrelay.ErrNotChecked then.
func (s *Sink) Probe(ctx context.Context) error {
	if _, err := s.tokens.Get(ctx); err != nil {
		return s.client.Failure(ctx, err)
	}
	return fmt.Errorf("%w: %w", auditrelay.ErrNotChecked, errors.New("the token service gave a token; run auditrelay sink test to see whether the rule takes rows"))
}
