// Package kafka delivers records to a topic of Apache Kafka, or of a service with its protocol,
// such as Azure Event Hubs.
//
// Delivery is at least once. The producer is idempotent and waits for all in-sync replicas
// (acks=all): its own retries write a record once. If the relay repeats a delivery, after a
// timeout or a restart, the topic may have the records twice. What one partition accepted is
// not repeated because another partition refused its batch. The headers auditrelay-journal
// and auditrelay-sequence identify a record. A record's key is the id of the changed object, so
// that the changes of one object stay in order in one partition.
//
// Source of the protocol: Apache Kafka's "Protocol" and "Producer configs", and Microsoft's
// "Event Hubs for Kafka: configurations" and "quotas".
package kafka

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"auditrelay"
	"auditrelay/builtin/internal/httpsink"
	"auditrelay/builtin/internal/recordfields"
	"auditrelay/builtin/kafka/brokers"

	"github.com/tidwall/gjson"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The headers of a message. The last three are set only if the record has them.
const (
	headerJournal   = "auditrelay-journal"
	headerSequence  = "auditrelay-sequence"
	headerNamespace = "auditrelay-namespace"
	headerSource    = "auditrelay-source"
	headerPrincipal = "auditrelay-principal"
)

// Headers that are sealed with a payload: the journal's name, and that a line of metadata
// precedes each record. A payload of an older version has none.
const (
	journalOf = "Auditrelay-Journal"
	lines     = "Auditrelay-Lines"
)

// about is the line of metadata before a record.
type about struct {
	Key       string `json:"key,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Source    string `json:"source,omitempty"`
	Principal string `json:"principal,omitempty"`
}

// overhead is the maximum size of a record's key, headers and framing besides its value.
const overhead = 2048

// maxKeyBytes limits a key, since a longer key has no benefit.
const maxKeyBytes = 1024

// Sink writes to one topic. It is safe for concurrent use.
type Sink struct {
	options Options // with defaults filled in
	access  *brokers.Access
	packing httpsink.Packing

	mu     sync.Mutex
	client *kgo.Client // nil until the first delivery, and after a failure

	known httpsink.Known // keys of delivered payloads
	taken taken
}

var (
	_ auditrelay.Sink      = (*Sink)(nil)
	_ auditrelay.Splitter  = (*Sink)(nil)
	_ auditrelay.Prober    = (*Sink)(nil)
	_ auditrelay.Refresher = (*Sink)(nil)
)

// New returns a sink for o. It does no I/O. The error joins an *auditrelay.OptionError for each
// invalid option.
func New(o Options) (*Sink, error) {
	o = o.withDefaults()
	access, err := o.check()
	if err != nil {
		return nil, err
	}
	return &Sink{options: o, access: access, packing: httpsink.Packing{
		ContentType: "application/x-ndjson", Separator: "\n", Close: "\n", Compression: httpsink.CompressionNone,
		MaxBytes: int(o.MaxRequestBytes), MaxItem: int(o.MaxRequestBytes) - overhead, Lines: 2,
	}}, nil
}

// Render returns payloads with one record a line, each at most as large as a batch.
func (s *Sink) Render(chunk auditrelay.Chunk) ([]auditrelay.Payload, error) {
	items := make([]httpsink.Item, len(chunk.Records))
	for i, r := range chunk.Records {
		items[i] = httpsink.Item{Sequence: r.Sequence, Data: r.Data}
		if len(r.Data) == 0 || bytes.IndexByte(r.Data, '\n') >= 0 {
			continue // Pack names it
		}
		line, err := json.Marshal(about{Key: keyOf(r), Namespace: r.Namespace, Source: r.Source, Principal: r.Principal})
		if err != nil {
			return nil, fmt.Errorf("render record %d: %w", r.Sequence, err)
		}
		items[i].Data = slices.Concat(line, []byte("\n"), r.Data)
	}
	payloads, err := s.packing.Pack(chunk, items)
	for i := range payloads {
		payloads[i].Headers[journalOf], payloads[i].Headers[lines] = chunk.Journal, "2"
	}
	return payloads, err
}

// Split halves a payload.
func (s *Sink) Split(p auditrelay.Payload) (first, second auditrelay.Payload, err error) {
	packing := s.packing
	if p.Headers[lines] == "" {
		packing.Lines = 1
	}
	return packing.Split(p)
}

// Refresh makes the next delivery connect again, with the current password.
func (s *Sink) Refresh() { s.drop(nil) }

// Close closes the connections.
func (s *Sink) Close() error { s.drop(nil); return nil }

// drop forgets a client. nil means the current one.
func (s *Sink) drop(client *kgo.Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client == nil || client != nil && s.client != client {
		return
	}
	go s.client.Close() // Close may wait for brokers
	s.client = nil
	s.access.Forget()
}

// Deliver produces a payload's records and waits until all in-sync replicas have them.
func (s *Sink) Deliver(ctx context.Context, p auditrelay.Payload) (auditrelay.Receipt, error) {
	receipt := auditrelay.Receipt{Location: "kafka://" + s.options.Brokers[0] + "/" + s.options.Topic}
	if s.known.Has(p.Key) {
		receipt.Duplicate = true
		return receipt, nil
	}
	records, err := s.records(p)
	if err != nil {
		return auditrelay.Receipt{}, err
	}
	rest := s.taken.rest(p, records)
	if len(rest) == 0 {
		s.delivered(p)
		receipt.Duplicate = true
		return receipt, nil
	}
	attempt, cancel := context.WithTimeout(ctx, s.options.RequestTimeout)
	defer cancel()
	client, err := s.connected(attempt)
	if err != nil {
		return auditrelay.Receipt{}, s.failure(ctx, err)
	}
	done := make(chan kgo.ProduceResults, 1)
	go func() { done <- client.ProduceSync(attempt, rest...) }()
	select {
	case results := <-done:
		if err := results.FirstErr(); err != nil {
			s.taken.add(p, records, results)
			s.drop(client)
			return auditrelay.Receipt{}, s.failure(ctx, err)
		}
		receipt.Version = fmt.Sprintf("%d/%d", results[0].Record.Partition, results[0].Record.Offset)
	case <-attempt.Done(): // records that are being sent may still arrive
		s.drop(client)
		return auditrelay.Receipt{}, s.failure(ctx, attempt.Err())
	}
	s.delivered(p)
	return receipt, nil
}

func (s *Sink) delivered(p auditrelay.Payload) {
	s.known.Add(p.Key)
	s.taken.forget(p)
}

// linger collects the records of a payload in one batch for each partition, so that a broker
// accepts or rejects all of them.
const linger = 10 * time.Millisecond

// records returns a payload's records in newly allocated memory, since a producer may hold them
// after a delivery was given up.
func (s *Sink) records(p auditrelay.Payload) ([]*kgo.Record, error) {
	content := bytes.Split(bytes.TrimSuffix(bytes.Clone(p.Body), []byte("\n")), []byte("\n"))
	each := 1
	if p.Headers[lines] != "" {
		each = 2
	}
	if len(content) != each*len(p.Sequences) {
		return nil, fmt.Errorf("read the stored payload: %d lines, expected %d", len(content), each*len(p.Sequences))
	}
	journal := []byte(p.Headers[journalOf])
	records := make([]*kgo.Record, len(p.Sequences))
	for i := range records {
		value := content[each*i+each-1]
		of := about{Key: keyIn(value)}
		if each == 2 {
			of = about{}
			if err := json.Unmarshal(content[2*i], &of); err != nil {
				return nil, errors.New("read the stored payload: the line before a record is damaged")
			}
		}
		records[i] = &kgo.Record{Topic: s.options.Topic, Value: value, Headers: []kgo.RecordHeader{
			{Key: headerJournal, Value: journal},
			{Key: headerSequence, Value: strconv.AppendUint(nil, p.Sequences[i], 10)},
		}}
		if of.Key != "" {
			records[i].Key = []byte(of.Key)
		}
		for _, h := range []struct{ name, value string }{{headerNamespace, of.Namespace}, {headerSource, of.Source}, {headerPrincipal, of.Principal}} {
			if h.value != "" {
				records[i].Headers = append(records[i].Headers, kgo.RecordHeader{Key: h.name, Value: []byte(h.value)})
			}
		}
	}
	return records, nil
}

// objectPaths are the possible places of the object's id in a record: in an event, and in the
// formats ocsf, cloudevents, ecs and envelope.
var objectPaths = []string{"object_id", "event.object_id", "entity.uid", "user.uid", "subject", "lite_llm.audit.object_id", "auditrelay.object.id", "fields.object"}

// keyOf returns the object's id, or "" if the record has none. Any partition then gets the
// record.
func keyOf(r auditrelay.Record) string {
	if r.Mapping == nil {
		return keyIn(r.Data)
	}
	if id := recordfields.Of(r).Object; len(id) <= maxKeyBytes {
		return id
	}
	return ""
}

// keyIn returns the object's id in a record without a mapping.
func keyIn(line []byte) string {
	for _, path := range objectPaths {
		if v := gjson.GetBytes(line, path); v.Type == gjson.String && v.Str != "" && len(v.Str) <= maxKeyBytes {
			return v.Str
		}
	}
	return ""
}

// connected returns the client, creating it if necessary. Its first request shows problems with
// addresses, certificates and the password.
func (s *Sink) connected(ctx context.Context) (*kgo.Client, error) {
	s.mu.Lock()
	client := s.client
	s.mu.Unlock()
	if client != nil {
		return client, nil
	}
	client, err := kgo.NewClient(s.clientOptions()...)
	if err != nil {
		return nil, &auditrelay.DeliveryError{Kind: auditrelay.Misconfigured, Err: fmt.Errorf("connect to %s: the options do not go together: %w", s.options.Brokers[0], err)}
	}
	reached := make(chan error, 1)
	go func() { reached <- client.Ping(ctx) }() // Ping may take longer than ctx
	select {
	case err = <-reached:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		go client.Close()
		s.access.Forget()
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("%w: %w", errNoAnswer, err)
		}
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != nil { // a probe connected meanwhile
		go client.Close()
		return s.client, nil
	}
	s.client = client
	return client, nil
}

func (s *Sink) clientOptions() []kgo.Opt {
	o := s.options
	codec := kgo.NoCompression()
	switch o.Compression {
	case httpsink.CompressionGzip:
		codec = kgo.GzipCompression()
	case "zstd":
		codec = kgo.ZstdCompression()
	}
	return append(s.access.Options(), kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchCompression(codec), kgo.ProducerLinger(linger), kgo.RecordDeliveryTimeout(o.RequestTimeout), kgo.ProduceRequestTimeout(o.RequestTimeout),
		// One batch per request, at most as large as Event Hubs accepts.
		kgo.ProducerBatchMaxBytes(int32(o.MaxRequestBytes)+overhead), kgo.BrokerMaxWriteBytes(int32(o.MaxRequestBytes)+32*overhead),
		kgo.RequestRetries(2), kgo.RetryTimeout(o.RequestTimeout))
}

// Probe connects, authenticates and requests the topic's metadata, which creates no topic. Only
// a record can show whether the relay may write to it.
func (s *Sink) Probe(ctx context.Context) error {
	attempt, cancel := context.WithTimeout(ctx, s.options.RequestTimeout)
	defer cancel()
	client, err := s.connected(attempt)
	if err != nil {
		return s.failure(ctx, err)
	}
	request := kmsg.NewPtrMetadataRequest()
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = &s.options.Topic
	request.Topics = append(request.Topics, topic)
	answer, err := request.RequestWith(attempt, client)
	if err == nil && len(answer.Topics) != 1 {
		err = errors.New("the response does not contain the topic")
	}
	if err == nil {
		err = kerr.ErrorForCode(answer.Topics[0].ErrorCode)
	}
	if err != nil {
		return s.failure(ctx, err)
	}
	return fmt.Errorf("%w: %w", auditrelay.ErrNotChecked, errors.New("a broker was reached, and the topic exists; run auditrelay sink test to check that it accepts records"))
}
