package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"auditrelay"
	"auditrelay/builtin/kafka/brokers"
	"auditrelay/cli/internal/sources/intake"
	"auditrelay/runtime"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// What a broker sends at once, at most, but for one batch that is larger; and what that
	// may become when it is decompressed.
	fetchBytes, partitionBytes, batchBytes = 8 << 20, 1 << 20, 128 << 20
	// reachWithin bounds the first words with a broker, and a commit of offsets.
	reachWithin = 10 * time.Second
	// The longest pause between two attempts, and the shortest.
	mostPause, leastPause = 5 * time.Second, 50 * time.Millisecond
)

// reader reads topics as a member of a consumer group.
type reader struct {
	source *Source
	config Config
	access *brokers.Access
	topics map[string]*topic

	mu      sync.Mutex
	state   string
	since   time.Time
	trouble string // why it does not read
}

// topic is what is known of one, since start.
type topic struct {
	Topic
	schema *runtime.Schema

	parts   map[int32]*part // those that are this member's; under the reader's mu
	deleted uint64
}

// part is a partition.
type part struct {
	next int64 // offset of the message to come; negative: not known yet
	end  int64 // offset behind the last one there, as last seen
}

func newReader(s *Source, c Config, access *brokers.Access) *reader {
	r := &reader{source: s, config: c, access: access, topics: map[string]*topic{}, state: stateConnecting, since: time.Now()}
	for _, t := range c.Topics {
		r.topics[t.Name] = &topic{Topic: t, parts: map[int32]*part{}}
	}
	return r
}

// reads reports whether another reader's topics have the same schemas.
func (r *reader) reads(other *reader) bool {
	if r == nil || other == nil {
		return r == other
	}
	for name, t := range r.topics {
		if o := other.topics[name]; o == nil || o.schema != t.schema {
			return false
		}
	}
	return true
}

// run reads until ctx ends. Whatever fails is tried again.
func (r *reader) run(ctx context.Context) {
	for pause := leastPause; ctx.Err() == nil; pause = min(2*pause, mostPause) {
		began := time.Now()
		err := r.session(ctx)
		if ctx.Err() != nil {
			return
		}
		r.access.Forget() // the password may be another
		r.failed(err)
		if time.Since(began) > time.Minute {
			pause = leastPause
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// session reads as one member of the group until something fails.
func (r *reader) session(ctx context.Context) error {
	client, err := kgo.NewClient(r.options()...)
	if err != nil {
		return fmt.Errorf("the options do not go together: %w", err)
	}
	defer client.CloseAllowingRebalance()
	defer r.forget()
	if err := r.reach(ctx, client); err != nil {
		return err
	}
	for {
		fetches := client.PollRecords(ctx, intake.Batch)
		if err := r.took(ctx, client, fetches); err != nil {
			return err
		}
		client.AllowRebalance()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

func (r *reader) options() []kgo.Opt {
	names := make([]string, 0, len(r.topics))
	for name := range r.topics {
		names = append(names, name)
	}
	slices.Sort(names)
	start := kgo.NewOffset().AtStart()
	return append(r.access.Options(),
		kgo.ConsumerGroup(r.config.Group), kgo.SessionTimeout(r.config.SessionTimeout), kgo.HeartbeatInterval(min(r.config.SessionTimeout/4, 3*time.Second)), kgo.ConsumeTopics(names...), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		// Nothing is skipped, whatever became of an offset.
		kgo.ConsumeStartOffset(start), kgo.ConsumeResetOffset(start), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxBytes(fetchBytes), kgo.FetchMaxPartitionBytes(partitionBytes), kgo.MaxConcurrentFetches(1), kgo.MaxDecompressBatchBytes(batchBytes),
		kgo.FetchMaxWait(500*time.Millisecond), kgo.RequestRetries(3), kgo.MetadataMaxAge(time.Minute), kgo.AdjustFetchOffsetsFn(r.assigned),
		kgo.OnPartitionsRevoked(r.revoked), kgo.OnPartitionsLost(r.revoked))
}

// reach says what is wrong with addresses, certificates, the password and topics before
// reading begins: the client itself would try again in silence.
func (r *reader) reach(ctx context.Context, client *kgo.Client) error {
	ctx, cancel := context.WithTimeout(ctx, reachWithin)
	defer cancel()
	request := kmsg.NewPtrMetadataRequest()
	for name := range r.topics {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(name)
		request.Topics = append(request.Topics, t)
	}
	answer, err := request.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	for _, t := range answer.Topics {
		err := kerr.ErrorForCode(t.ErrorCode)
		if t.Topic == nil || err == nil || kerr.IsRetriable(err) && !errors.Is(err, kerr.UnknownTopicOrPartition) {
			continue // what passes is awaited
		}
		return fmt.Errorf("topic %s: %w", *t.Topic, err)
	}
	return nil
}

// assigned notes where the partitions begin that this member gets.
func (r *reader) assigned(_ context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, parts := range offsets {
		if t := r.topics[name]; t != nil {
			for number, offset := range parts {
				t.parts[number] = &part{next: offset.EpochOffset().Offset, end: -1}
			}
		}
	}
	return offsets, nil
}

func (r *reader) revoked(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, numbers := range parts {
		for _, number := range numbers {
			if t := r.topics[name]; t != nil {
				delete(t.parts, number)
			}
		}
	}
}

// forget gives all partitions up.
func (r *reader) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range r.topics {
		clear(t.parts)
	}
}

// took makes what was read durable, and acknowledges it. An error ends the session: what was
// not acknowledged is read again.
func (r *reader) took(ctx context.Context, client *kgo.Client, fetches kgo.Fetches) error {
	var failed error
	fetches.EachError(func(name string, number int32, err error) {
		switch loss := (*kgo.ErrDataLoss)(nil); {
		case errors.As(err, &loss):
			r.source.host.Logger.Warn("a broker has lost messages that were read before: they are in the journal", "topic", name, "partition", number, "read_to", loss.ConsumedTo, "goes_on_at", loss.ResetTo)
		case ctx.Err() == nil && !errors.Is(err, context.Canceled):
			failed = errors.Join(failed, fmt.Errorf("topic %s, partition %d: %w", name, number, err))
		}
	})
	r.gaps(fetches)
	for name, t := range r.topics {
		var data [][]byte
		var records []*kgo.Record
		fetches.EachTopic(func(f kgo.FetchTopic) {
			if f.Topic == name {
				f.EachRecord(func(one *kgo.Record) { records, data = append(records, one), append(data, one.Value) })
			}
		})
		if len(records) == 0 {
			continue
		}
		events, left := r.intake(ctx, t).Take(context.WithoutCancel(ctx), data)
		r.source.senders.Seen(name, events)
		if left > 0 { // ctx has ended
			return ctx.Err()
		}
		if err := r.acknowledge(ctx, client, records); err != nil {
			return fmt.Errorf("topic %s: commit offsets of group %s: %w", name, r.config.Group, err)
		}
		r.advance(t, records)
	}
	if failed == nil {
		r.reading()
	}
	return failed
}

// acknowledge commits the offsets of messages whose events are durable.
func (r *reader) acknowledge(ctx context.Context, client *kgo.Client, records []*kgo.Record) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reachWithin)
	defer cancel()
	err := client.CommitRecords(ctx, records...)
	if errors.Is(err, kerr.RebalanceInProgress) || errors.Is(err, kerr.IllegalGeneration) || errors.Is(err, kerr.UnknownMemberID) {
		return nil // they may be another member's now, and are read again
	}
	return err
}

// gaps looks for messages that the brokers deleted before they were read.
func (r *reader) gaps(fetches kgo.Fetches) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		t := r.topics[f.Topic]
		if t == nil || t.parts[f.Partition] == nil {
			return
		}
		p := t.parts[f.Partition]
		if f.HighWatermark >= 0 && f.Err == nil {
			p.end = f.HighWatermark
		}
		if p.next >= 0 && f.Err == nil && f.LogStartOffset > p.next {
			deleted := f.LogStartOffset - p.next
			t.deleted += uint64(deleted)
			p.next = f.LogStartOffset
			r.source.host.Logger.Error("the brokers deleted messages before they were read: keep a topic for longer than the relay may be away", "topic", f.Topic, "partition", f.Partition, "messages", deleted)
		}
	})
}

func (r *reader) advance(t *topic, records []*kgo.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, one := range records {
		if p := t.parts[one.Partition]; p != nil {
			p.next = max(p.next, one.Offset+1)
		}
	}
}

// intake is how a topic's messages become durable.
func (r *reader) intake(ctx context.Context, t *topic) *intake.Intake {
	host := r.source.host
	return &intake.Intake{
		Runtime: host.Runtime, Events: host.Limits.Events,
		Provenance: auditrelay.Provenance{Source: kind, Principal: t.Name},
		Namespace:  t.Namespace, Schema: t.schema,
		Until: func(f func() error) bool { return r.until(ctx, f) },
		Count: func(result intake.Result, n int) { r.source.counts.Add(t.Name, result, n) },
		Digested: func(bytes int64) string {
			return fmt.Sprintf("a message of %d bytes: its digest alone is kept here, the message is in the topic", bytes)
		},
	}
}

// until repeats f until it has no error: the relay does not accept for now, and the topic
// waits. It reports false if ctx ends.
func (r *reader) until(ctx context.Context, f func() error) bool {
	for pause := leastPause; ; pause = min(2*pause, mostPause) {
		err := f()
		if err == nil {
			return true
		}
		r.waiting(err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return false
		}
	}
}
