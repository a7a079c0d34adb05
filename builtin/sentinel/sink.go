// Package sentinel delivers records to a table of Microsoft Sentinel, with the Logs Ingestion
// API of Azure Monitor. It was tested against a stand-in that behaves as documented, not
// against the service.
//
// Delivery is at least once. The API has no idempotency: if a response is lost, the rows are
// sent again and stored twice. Journal and Sequence identify them. Within one process a
// delivered payload is not sent again.
//
// A row has the columns of Row. The rule's stream must declare them: the service silently drops
// undeclared columns. It also truncates values over 64 KB, so the sink dead-letters such a
// record.
//
// Source of the protocol: Microsoft's "Logs Ingestion API in Azure Monitor" (REST version
// 2023-01-01: a JSON array, optionally gzip; 204 is success) and "Azure Monitor service
// limits", custom logs (2022-02-22: 1 MB per call, compressed or not; values over 64 KB are
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

// maxValueBytes is the maximum size of a value that the service does not truncate.
const maxValueBytes = 64_000

type base = httpsink.Packed

// Sink is one stream of a data collection rule. It is safe for concurrent use.
type Sink struct {
	base

	options Options // with defaults
	client  *httpsink.Client
	packing httpsink.Packing
	tokens  *oauth.Tokens
	path    string
}

var _ httpsink.Complete = (*Sink)(nil)

// New returns a sink for o. It does no I/O. The error joins an *auditrelay.OptionError for each
// invalid option.
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

// Render returns payloads of rows.
func (s *Sink) Render(chunk auditrelay.Chunk) ([]auditrelay.Payload, error) {
	items := make([]httpsink.Item, len(chunk.Records))
	var large []auditrelay.RecordError
	for i, r := range chunk.Records {
		items[i].Sequence, items[i].Buried = r.Sequence, httpsink.Buried(&r)
		if len(r.Data) == 0 || bytes.IndexByte(r.Data, '\n') >= 0 {
			items[i].Data = r.Data // Pack names records without data
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

// row returns a record as a row. TimeGenerated is the record's own time, or its time of receipt
// if it has none. Both also have their own columns, since the service may replace the first.
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
	if chunk.MediaType == "application/json" { // the id of a CloudEvent differs
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

// ofSetting are the codes of a 400 that blame rule, stream or url. Every row would fail alike.
// The API's reference specifies the form of an error (error.code, 2023-01-01) but lists no
// codes: these come from clients of the service.
var ofSetting = map[string]string{
	"InvalidStream":         "the rule has no such stream: correct stream, or wait some minutes after a change of the rule",
	"InvalidDcrImmutableId": "the endpoint does not know the rule: url and rule must be in the same region",
}

// outcome classifies an answer. A 400 whose code is not in ofSetting may concern a row: the
// payload is halved until the row is alone.
func (s *Sink) outcome(a httpsink.Answer) error {
	err := s.client.Refusal(a)
	code := gjson.GetBytes(a.Body, "error.code").Str
	switch {
	case err == nil && a.Status != http.StatusNoContent:
		return s.client.Fail(auditrelay.Misconfigured, a, "expected status 204: is the URL a logs endpoint?")
	case err != nil && auditrelay.KindOf(err) == auditrelay.Refused && ofSetting[code] != "":
		return s.client.Fail(auditrelay.Misconfigured, a, code+": "+ofSetting[code])
	case err != nil && auditrelay.KindOf(err) == auditrelay.Refused:
		return s.client.Fail(auditrelay.Refused, a, "the rows were refused")
	case a.Status == http.StatusNotFound:
		return s.client.Fail(auditrelay.Misconfigured, a, "the endpoint does not know the rule or its stream: are url, rule and stream right?")
	case a.Status == http.StatusForbidden:
		return s.client.Fail(auditrelay.Unauthorized, a, "the application lacks the role Monitoring Metrics Publisher on the rule; a new role takes up to half an hour")
	}
	return err
}

// Probe gets a token. Only a row can show whether the rule accepts rows: with a token, its
// error wraps auditrelay.ErrNotChecked.
func (s *Sink) Probe(ctx context.Context) error {
	if _, err := s.tokens.Get(ctx); err != nil {
		return s.client.Failure(ctx, err)
	}
	return fmt.Errorf("%w: %w", auditrelay.ErrNotChecked, errors.New("the token service issued a token; run auditrelay sink test to check that the rule accepts rows"))
}
