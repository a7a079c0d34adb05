// Package elastic delivers records to Elasticsearch and OpenSearch with the bulk API.
//
// Delivery is at least once, and idempotent within one index. A record's _id consists of the
// journal's name, its sequence and its document's digest. The action is create, so a repeated
// document gets status 409 and counts as delivered. Another document of the same event, from
// another callback or from a replay with other filters, is stored beside it. After the rollover
// of a data stream the same id is accepted again: a record repeated across it is stored twice.
//
// Source of the protocol: Elastic's "Bulk API" (one result for each item; data streams accept
// only create and require @timestamp), "Failure store" (a document stored there has status 201;
// enabled by default in logs-*-* since 9.2), and OpenSearch's "Bulk".
package elastic

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"auditrelay"
	"auditrelay/builtin/internal/httpsink"
	"auditrelay/builtin/internal/recordfields"

	"github.com/tidwall/gjson"
)

type base = httpsink.Packed

// Sink is one index or data stream. It is safe for concurrent use.
type Sink struct {
	base

	options Options // with defaults
	login   login
	client  *httpsink.Client
	packing httpsink.Packing
	query   string
	brief   string // query without the reasons of errors, which may quote long values
}

var _ httpsink.Complete = (*Sink)(nil)

// New returns a sink for o. It does no I/O. The error joins an *auditrelay.OptionError for each
// invalid option.
func New(o Options) (*Sink, error) {
	o = o.withDefaults()
	u, l, err := o.check()
	if err != nil {
		return nil, err
	}
	client, err := httpsink.NewClient(o.HTTP, u, nil)
	if err != nil {
		return nil, err
	}
	s := &Sink{options: o, login: l, client: client, packing: httpsink.Packing{
		ContentType: "application/x-ndjson", Separator: "\n", Close: "\n",
		MaxBytes: int(o.MaxRequestBytes), MaxItem: int(o.MaxRequestBytes) - 1024, Compression: o.HTTP.Compression,
		// Two lines each: the action and the document.
		Lines: 2, MaxItems: o.MaxEvents,
	}}
	s.base = httpsink.NewPacked(client, s.packing, l.secret.Forget)
	query := url.Values{"filter_path": {answered}}
	if o.Pipeline != "" {
		query.Set("pipeline", o.Pipeline)
	}
	s.brief = query.Encode()
	query.Set("filter_path", answered+",items.*.error.reason")
	s.query = query.Encode()
	return s, nil
}

// answered selects the parts of an answer to return.
const answered = "errors,items.*.status,items.*.error.type,items.*.result,items.*.failure_store"

// Render returns payloads of create actions. A document without @timestamp gets the record's
// time.
func (s *Sink) Render(chunk auditrelay.Chunk) ([]auditrelay.Payload, error) {
	if chunk.MediaType == auditrelay.MediaTypeText {
		return nil, &auditrelay.DeliveryError{Kind: auditrelay.Misconfigured, Err: errors.New("render for elastic: the index accepts only JSON, and the callback's format writes lines of text: set format: ecs")}
	}
	items := make([]httpsink.Item, len(chunk.Records))
	for i, r := range chunk.Records {
		items[i].Sequence = r.Sequence
		if len(r.Data) == 0 || bytes.IndexByte(r.Data, '\n') >= 0 {
			items[i].Data = r.Data // Pack names records without data
			continue
		}
		items[i].Data = s.item(chunk.Journal, r)
	}
	return s.packing.Pack(chunk, items)
}

func (s *Sink) item(journal string, r auditrelay.Record) []byte {
	document := stamped(r)
	b := make([]byte, 0, len(document)+128)
	b = append(b, `{"create":{"_id":`...)
	b = append(b, httpsink.Quote(journal+"-"+strconv.FormatUint(r.Sequence, 10)+"-"+digest(document))...)
	return append(append(b, "}}\n"...), document...)
}

// stamped returns a record's document with a @timestamp.
func stamped(r auditrelay.Record) []byte {
	if gjson.GetBytes(r.Data, `\@timestamp`).Exists() { // format ecs and some producers write it
		return r.Data
	}
	at := recordfields.Time(r, 9999)
	b := append(make([]byte, 0, len(r.Data)+64), `{"@timestamp":"`...)
	b = at.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, '"')
	if bytes.TrimSpace(r.Data[1:])[0] != '}' {
		b = append(b, ',')
	}
	return append(b, r.Data[1:]...)
}

// digest returns 64 bits of a document's SHA-256 in letters: the gate may take twelve digits in
// a row for a personal number.
func digest(document []byte) string {
	sum := sha256.Sum256(document)
	var b [16]byte
	for i := range b {
		b[i] = 'a' + sum[i/2]>>(4*(i%2))&15
	}
	return string(b[:])
}

// Deliver posts one payload. An *auditrelay.RecordErrors names the records that the index
// refuses. The others are stored.
func (s *Sink) Deliver(ctx context.Context, p auditrelay.Payload) (auditrelay.Receipt, error) {
	return s.client.Deliver(ctx, p, func(ctx context.Context) error {
		answer, err := s.call(ctx, p, s.query)
		if err == nil && len(answer.Body) >= maxAnswer(len(p.Sequences)) {
			// The answer was truncated, since reasons quote documents. Stored documents answer
			// 409 now.
			answer, err = s.call(ctx, p, s.brief)
		}
		if err != nil {
			return err
		}
		return s.outcome(answer, p)
	})
}

func (s *Sink) call(ctx context.Context, p auditrelay.Payload, query string) (httpsink.Answer, error) {
	h := httpsink.Header(p)
	if err := s.authorize(h); err != nil {
		return httpsink.Answer{}, err
	}
	return s.client.Send(ctx, httpsink.Request{Path: "/" + s.options.Index + "/_bulk", Query: query, Header: h, Body: p.Body, MaxAnswer: maxAnswer(len(p.Sequences))})
}

func (s *Sink) authorize(h http.Header) error {
	if s.login.secret == nil {
		return nil
	}
	secret, err := s.login.secret.Get()
	switch {
	case err != nil:
		return err
	case s.login.user == "":
		h.Set("Authorization", "ApiKey "+secret)
	default:
		h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(s.login.user+":"+secret)))
	}
	return nil
}

// result is the result of an item, under the action's name.
type result struct {
	Status       int    `json:"status"`
	Result       string `json:"result"`
	FailureStore string `json:"failure_store"`
	Error        struct {
		Type   string `json:"type"`
		Reason string `json:"reason"` // it may quote the document, so no error contains it
	} `json:"error"`
}

// maxAnswer is the maximum number of bytes read of an answer to n documents. A reason takes
// some hundred bytes.
func maxAnswer(n int) int { return 2048 * (n + 16) }

// refusal returns why a record is not in the index. It returns "" if it is, or if only its
// status decides.
func (r result) refusal() string {
	switch {
	case r.FailureStore == "used", r.FailureStore == "failed":
		return "the index rejected the document; the failure store has it, or rejected it too"
	case r.Result == "noop":
		return "a pipeline dropped it"
	}
	return ""
}

// ofIndex are types of errors without a document as their cause. Every document fails alike.
var ofIndex = map[string]bool{
	"index_closed_exception": true, "invalid_index_name_exception": true, "invalid_alias_name_exception": true,
	"index_not_found_exception": true, "cluster_block_exception": true, "alias_not_found_exception": true,
}

// ofArgument are types of errors caused by a document or by a setting. Reasons of other types
// quote documents, so they are not used.
var ofArgument = map[string]bool{"illegal_argument_exception": true, "validation_exception": true}

// ofSetting are beginnings of reasons, for the types in ofArgument, that blame a setting.
var ofSetting = []struct {
	form *regexp.Regexp
	what string
}{
	{regexp.MustCompile(`^pipeline with id \[[^\]]*\] does not exist`), "the ingest pipeline does not exist: create it, or correct pipeline or the index's default_pipeline"},
	{regexp.MustCompile(`^no write index is defined for alias`), "the alias has no write index"},
	{regexp.MustCompile(`^no matching index template found for data stream`), "the data stream has no index template"},
	{regexp.MustCompile(`^(Validation Failed: \d+: )?this action would add \[\d+\] (total )?shards`), "the cluster has no room for another shard"},
}

// setting returns the fault of a setting, or "" if none is known.
func (r result) setting() string {
	if ofIndex[r.Error.Type] {
		return typeOf(r)
	}
	for _, one := range ofSetting {
		if ofArgument[r.Error.Type] && one.form.MatchString(r.Error.Reason) {
			return one.what
		}
	}
	return ""
}

// outcome classifies an answer item by item. 201, and 409 for an existing document, count as
// delivery. If some documents must be sent again, all are: the existing ones then answer 409.
func (s *Sink) outcome(a httpsink.Answer, p auditrelay.Payload) error {
	if err := s.client.Refusal(a); err != nil {
		if auditrelay.KindOf(err) == auditrelay.Refused { // for a whole request: an option is wrong
			err = s.client.Fail(auditrelay.Misconfigured, a, "the request was refused: is the index's name right?")
		}
		return httpsink.ForgetAfter(err, s.Refresh)
	}
	var reply struct {
		Errors *bool               `json:"errors"`
		Items  []map[string]result `json:"items"`
	}
	if len(a.Body) >= maxAnswer(len(p.Sequences)) && len(p.Sequences) > 1 { // truncated; stored documents answer 409
		return s.client.Fail(auditrelay.TooLarge, a, "the response is too long")
	}
	if json.Unmarshal(a.Body, &reply) != nil || reply.Errors == nil || len(reply.Items) != len(p.Sequences) {
		return s.client.Fail(auditrelay.Misconfigured, a, "the response does not have one result per record: is the URL that of a cluster?")
	}
	var refused []auditrelay.RecordError
	for i, item := range reply.Items {
		r := item["create"]
		switch kind := httpsink.KindOf(r.Status); {
		case r.refusal() != "":
			refused = append(refused, auditrelay.RecordError{Sequence: p.Sequences[i], Cause: auditrelay.CauseRefused, Err: fmt.Errorf("status %d: %s", r.Status, r.refusal())})
		case r.Status >= 300 && r.Status != http.StatusTooManyRequests && r.setting() != "":
			a.Status = r.Status
			return s.client.Fail(auditrelay.Misconfigured, a, "one item: "+r.setting())
		case r.Status >= 200 && r.Status < 300, r.Status == http.StatusConflict:
		case kind == auditrelay.Refused, r.Status == http.StatusRequestEntityTooLarge:
			refused = append(refused, auditrelay.RecordError{Sequence: p.Sequences[i], Cause: auditrelay.CauseRefused, Err: fmt.Errorf("status %d: %s", r.Status, typeOf(r))})
		default:
			a.Status = r.Status
			return s.client.Fail(kind, a, "one item: "+typeOf(r))
		}
	}
	if refused != nil {
		return &auditrelay.RecordErrors{Records: refused}
	}
	return nil
}

// typeOf returns an error's type. It returns "" for a text in another form, which may quote a
// document.
func typeOf(r result) string {
	if !typeForm.MatchString(r.Error.Type) {
		return ""
	}
	return r.Error.Type
}

var typeForm = regexp.MustCompile(`^[a-z_]{1,64}$`)

// Probe requests the cluster's information, which stores nothing.
func (s *Sink) Probe(ctx context.Context) error {
	h := http.Header{}
	if err := s.authorize(h); err != nil {
		return err
	}
	answer, err := s.client.Send(ctx, httpsink.Request{Method: http.MethodGet, Path: "/", Header: h})
	if err != nil {
		return s.client.Failure(ctx, err)
	}
	if answer.Status == http.StatusForbidden { // the key is known, but may only write to the index
		return fmt.Errorf("%w: %w", auditrelay.ErrNotChecked, errors.New("the cluster was reached, but the credentials may not read its name (403); run auditrelay sink test to check that they may write"))
	}
	if err := s.client.Refusal(answer); err != nil {
		return err
	}
	return fmt.Errorf("%w: %w", auditrelay.ErrNotChecked, errors.New("the cluster answered; run auditrelay sink test to check that the index accepts documents"))
}
