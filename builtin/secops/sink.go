// Package secops delivers records to Google SecOps (Chronicle) as raw logs, with the method
// logs.import of the Chronicle API. It was tested against a stand-in that behaves as
// documented, not against the service.
//
// Delivery is at least once. The API documents no idempotency: if a response is lost, the logs
// are sent again and may be stored twice. The labels auditrelay_journal and auditrelay_sequence
// identify them. Within one process a delivered payload is not sent again.
//
// A payload is sealed as text, one record per line, which the gate can read. Each attempt
// builds the same request from it, with the logs in base64.
//
// Source of the protocol: Google's "Method: logs.import" and "REST Resource:
// projects.locations.instances.logTypes.logs" of the Chronicle API, v1beta, 2025: inlineSource
// with data (base64), logEntryTime and collectionTime, which must be after it; the answer is
// empty; scope cloud-platform, permission chronicle.logs.import. The older Ingestion API ends
// on 2027-07-20. These pages state no limit of a request's size.
package secops

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"auditrelay"
	"auditrelay/builtin/internal/httpsink"
	"auditrelay/builtin/internal/oauth"
	"auditrelay/builtin/internal/recordfields"

	"github.com/tidwall/gjson"
)

// scope is the OAuth scope of the method.
const scope = "https://www.googleapis.com/auth/cloud-platform"

type base = httpsink.Packed

// Sink is one log type of an instance. It is safe for concurrent use.
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
	u, err := o.check()
	if err != nil {
		return nil, err
	}
	client, err := httpsink.NewClient(o.HTTP, u, nil)
	if err != nil {
		return nil, err
	}
	s := &Sink{options: o, client: client, tokens: oauth.New(oauth.Google(o.CredentialsFile, scope), client, o.HTTP.RequestTimeout),
		path: fmt.Sprintf("/projects/%s/locations/%s/instances/%s/logTypes/%s", o.Project, o.Location, o.Instance, o.LogType),
		packing: httpsink.Packing{
			ContentType: "application/x-ndjson", Separator: "\n", Close: "\n",
			MaxBytes: int(o.MaxRequestBytes), MaxItem: int(o.MaxRequestBytes) - 16, MaxItems: o.MaxEvents, Compression: o.HTTP.Compression,
		}}
	s.base = httpsink.NewPacked(client, s.packing, s.tokens.Forget)
	return s, nil
}

// Render returns payloads with one line per record, the source of its log.
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
	at := recordfields.Time(r, 9999)
	collected := r.Received
	if !collected.After(at) { // required by the service
		collected = at.Add(time.Millisecond)
	}
	b := make([]byte, 0, len(r.Data)+512)
	b = at.UTC().AppendFormat(append(b, `{"time":"`...), time.RFC3339Nano)
	b = collected.UTC().AppendFormat(append(b, `","collected":"`...), time.RFC3339Nano)
	b = append(append(b, `","labels":{"auditrelay_journal":`...), httpsink.Quote(chunk.Journal)...)
	b = fmt.Appendf(b, `,"auditrelay_sequence":"%d"`, r.Sequence)
	label := func(name, value string) {
		if value != "" {
			b = append(append(b, `,"auditrelay_`+name+`":`...), httpsink.Quote(value)...)
		}
	}
	label("namespace", r.Namespace)
	label("source", r.Source)
	label("principal", r.Principal)
	data := r.Data
	if chunk.MediaType == auditrelay.MediaTypeText {
		data = []byte(httpsink.Quote(string(r.Data)))
	} else {
		recordfields.Mapped(r, label)
	}
	return append(append(append(b, `},"log":`...), data...), '}')
}

// log is one log of a request.
type log struct {
	Data           []byte           `json:"data"` // as base64
	LogEntryTime   string           `json:"logEntryTime"`
	CollectionTime string           `json:"collectionTime"`
	Namespace      string           `json:"environmentNamespace,omitempty"`
	Labels         map[string]label `json:"labels"`
}

type label struct {
	Value string `json:"value"`
}

// request returns the body of a request for sealed lines.
func (s *Sink) request(lines [][]byte) ([]byte, error) {
	var body struct {
		Source struct {
			Logs      []log  `json:"logs"`
			Forwarder string `json:"forwarder,omitempty"`
		} `json:"inlineSource"`
	}
	body.Source.Forwarder = s.options.Forwarder
	for _, text := range lines {
		sealed := gjson.ParseBytes(text)
		one := log{LogEntryTime: sealed.Get("time").Str, CollectionTime: sealed.Get("collected").Str, Namespace: s.options.Namespace, Labels: map[string]label{}}
		sealed.Get("labels").ForEach(func(name, value gjson.Result) bool {
			one.Labels[name.Str] = label{value.Str}
			return true
		})
		of := sealed.Get("log")
		if one.Data = []byte(of.Raw); of.Type == gjson.String { // a line of text
			one.Data = []byte(of.Str)
		}
		body.Source.Logs = append(body.Source.Logs, one)
	}
	return json.Marshal(body)
}

// Deliver posts one payload.
func (s *Sink) Deliver(ctx context.Context, p auditrelay.Payload) (auditrelay.Receipt, error) {
	return s.client.Deliver(ctx, p, func(ctx context.Context) error {
		lines, err := httpsink.Lines(p)
		if err != nil {
			return err
		}
		body, err := s.request(lines)
		if err != nil {
			return fmt.Errorf("encode the request: %w", err)
		}
		token, err := s.tokens.Get(ctx)
		if err != nil {
			return err
		}
		h := http.Header{httpsink.ContentType: {"application/json"}, "Authorization": {"Bearer " + token}}
		if body, err = s.client.Encode(h, body); err != nil {
			return err
		}
		answer, err := s.client.Send(ctx, httpsink.Request{Path: s.path + "/logs:import", Header: h, Body: body})
		if err != nil {
			return err
		}
		return s.tokens.ForgetAfter(s.outcome(answer))
	})
}

// aboutLogs reports whether a 400 may concern a log. In google.rpc.Code, both INVALID_ARGUMENT
// and FAILED_PRECONDITION map to 400; the second concerns the state of the service. In
// google.rpc.BadRequest, an error names its fields, such as
// inline_source.logs[0].labels[0].value.
func aboutLogs(a httpsink.Answer) bool {
	reply := gjson.ParseBytes(a.Body)
	if reply.Get("error.status").Str == "FAILED_PRECONDITION" {
		return false
	}
	named, logs := false, false
	reply.Get("error.details.#.fieldViolations.#.field|@flatten").ForEach(func(_, field gjson.Result) bool {
		named, logs = true, logs || ofLog.MatchString(field.Str)
		return true
	})
	return logs || !named
}

// ofLog matches the name of a log's field, in either JSON spelling of Protobuf.
var ofLog = regexp.MustCompile(`^inline_?[sS]ource\.logs\b`)

// outcome classifies an answer. Success is 200 with an empty object. A 400 that may concern a
// log is refused: the payload is halved until the log is alone.
func (s *Sink) outcome(a httpsink.Answer) error {
	err := s.client.Refusal(a)
	var empty map[string]json.RawMessage
	switch {
	case err == nil && (a.Status != http.StatusOK || len(bytes.TrimSpace(a.Body)) > 0 && (json.Unmarshal(a.Body, &empty) != nil || len(empty) > 0)):
		return s.client.Fail(auditrelay.Misconfigured, a, "expected status 200 with an empty object: is the URL right?")
	case err != nil && auditrelay.KindOf(err) == auditrelay.Refused && aboutLogs(a):
		return s.client.Fail(auditrelay.Refused, a, "the logs were refused")
	case err != nil && auditrelay.KindOf(err) == auditrelay.Refused:
		return s.client.Fail(auditrelay.Misconfigured, a, "the request was refused: are project, instance, log_type and forwarder right?")
	case a.Status == http.StatusForbidden:
		return s.client.Fail(auditrelay.Unauthorized, a, "the credentials lack the permission chronicle.logs.import")
	}
	return err
}

// Probe requests the log type, which stores nothing. It needs the permission
// chronicle.logTypes.get. Without it the error wraps auditrelay.ErrNotChecked.
func (s *Sink) Probe(ctx context.Context) error {
	token, err := s.tokens.Get(ctx)
	if err != nil {
		return s.client.Failure(ctx, err)
	}
	answer, err := s.client.Send(ctx, httpsink.Request{Method: http.MethodGet, Path: s.path, Header: http.Header{"Authorization": {"Bearer " + token}}})
	if err != nil {
		return s.client.Failure(ctx, err)
	}
	if answer.Status == http.StatusForbidden {
		return fmt.Errorf("%w: %w", auditrelay.ErrNotChecked, errors.New("the token service issued a token, but the credentials may not read the log type (403); run auditrelay sink test to check that they may import"))
	}
	if err := s.client.Refusal(answer); err != nil {
		if auditrelay.KindOf(err) == auditrelay.Refused { // there is no log that could be the cause
			err = s.client.Fail(auditrelay.Misconfigured, answer, "are project, instance and log_type right?")
		}
		return s.tokens.ForgetAfter(err)
	}
	return fmt.Errorf("%w: %w", auditrelay.ErrNotChecked, errors.New("the log type exists; run auditrelay sink test to check that the credentials may import"))
}
