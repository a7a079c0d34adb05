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
	"auditrelay/internal/ingest"
	"auditrelay/runtime"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// partitionBytes makes brokers send one batch at a time, however large. They send the first
	// batch of the first partition that has one, and of all others at most this many bytes. The
	// limit counts compressed bytes, so the memory for many batches at once would be unknown.
	partitionBytes = 1
	// batchBytes is the maximum decompressed size of one batch.
	batchBytes = 32 << 20
	// reachWithin limits the first exchange with a broker and a commit of offsets. leaveWithin
	// limits the last exchange.
	reachWithin, leaveWithin = 10 * time.Second, 2 * time.Second
	// pollFor is how long the reader waits for messages before it checks its state.
	pollFor = 2 * time.Second
	// The maximum and the minimum pause between two attempts.
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
	trouble string // why it cannot read
}

// topic is the state of one topic since start.
type topic struct {
	Topic
	schema *runtime.Schema

	trouble string          // why only this topic cannot be read; guarded by the reader's mu
	parts   map[int32]*part // this member's partitions; guarded by the reader's mu
	deleted uint64
}

// part is a partition.
type part struct {
	next int64 // offset of the next message; negative if unknown
	end  int64 // offset after the last known message
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

// run reads until ctx ends. It retries after every failure.
func (r *reader) run(ctx context.Context) {
	for pause := leastPause; ctx.Err() == nil; pause = min(2*pause, mostPause) {
		began := time.Now()
		err := r.session(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil { // topics are checked again
			pause = leastPause
			continue
		}
		r.access.Forget() // the password may have changed
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

// session reads as one member of the group until something fails. It omits topics that cannot
// be read, and checks them again after a while.
func (r *reader) session(ctx context.Context) error {
	readable, err := r.reach(ctx)
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(append(r.options(), kgo.ConsumeTopics(readable...))...)
	if err != nil {
		return fmt.Errorf("the options do not go together: %w", err)
	}
	defer r.forget()
	defer leave(client)
	for again := time.Now().Add(r.source.again); ; {
		poll, cancel := context.WithTimeout(ctx, pollFor)
		fetches := client.PollRecords(poll, intake.Batch)
		cancel()
		err := r.took(ctx, client, fetches)
		client.AllowRebalance()
		switch {
		case errors.Is(err, errPassedOver):
			return nil
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case r.troubled() && time.Now().After(again):
			return nil
		}
	}
}

// leave makes a member leave the group in limited time, so that a broker that hangs blocks
// nothing.
func leave(client *kgo.Client) {
	client.AllowRebalance()
	ctx, cancel := context.WithTimeout(context.Background(), leaveWithin)
	defer cancel()
	_ = client.LeaveGroupContext(ctx) // otherwise the session ends after session_timeout
	go client.Close()
}

func (r *reader) options() []kgo.Opt {
	start := kgo.NewOffset().AtStart()
	return append(r.access.Options(),
		kgo.ConsumerGroup(r.config.Group), kgo.SessionTimeout(r.config.SessionTimeout), kgo.HeartbeatInterval(min(r.config.SessionTimeout/4, 3*time.Second)), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		// Nothing is skipped, whatever the state of an offset. Control records are not events
		// but have offsets.
		kgo.ConsumeStartOffset(start), kgo.ConsumeResetOffset(start), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.FetchMaxPartitionBytes(partitionBytes), kgo.MaxConcurrentFetches(1), kgo.MaxDecompressBatchBytes(batchBytes),
		kgo.FetchMaxWait(500*time.Millisecond), kgo.RequestRetries(3), kgo.MetadataMaxAge(time.Minute), kgo.AdjustFetchOffsetsFn(r.assigned),
		kgo.OnPartitionsRevoked(r.revoked), kgo.OnPartitionsLost(r.revoked))
}

// reach checks addresses, certificates, the password and topics before reading, since the
// client itself would retry silently. It returns the existing topics in order, or an error if
// there are none.
func (r *reader) reach(ctx context.Context) (readable []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, reachWithin)
	defer cancel()
	client, err := kgo.NewClient(append(r.access.Options(), kgo.RequestRetries(3))...)
	if err != nil {
		return nil, fmt.Errorf("the options do not go together: %w", err)
	}
	defer func() { go client.Close() }()
	request := kmsg.NewPtrMetadataRequest()
	for name := range r.topics {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(name)
		request.Topics = append(request.Topics, t)
	}
	answer, err := request.RequestWith(ctx, client)
	if err != nil {
		return nil, err
	}
	var missing error
	for _, t := range answer.Topics {
		if t.Topic == nil || r.topics[*t.Topic] == nil {
			continue
		}
		err := kerr.ErrorForCode(t.ErrorCode)
		if err != nil && kerr.IsRetriable(err) && !errors.Is(err, kerr.UnknownTopicOrPartition) {
			err = nil // temporary errors are retried
		}
		r.told(*t.Topic, err)
		if err == nil {
			readable = append(readable, *t.Topic)
		} else {
			missing = errors.Join(missing, fmt.Errorf("topic %s: %w", *t.Topic, err))
		}
	}
	slices.Sort(readable)
	if len(readable) == 0 {
		return nil, missing
	}
	return readable, nil
}

// assigned records the start offsets of the partitions that this member gets.
func (r *reader) assigned(_ context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	defer r.reading() // the group has admitted this member
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

// forget removes all partitions.
func (r *reader) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range r.topics {
		clear(t.parts)
	}
}

// took makes messages durable and commits their offsets. An error ends the session, and
// uncommitted messages are read again. A fault of one topic ends nothing.
func (r *reader) took(ctx context.Context, client *kgo.Client, fetches kgo.Fetches) error {
	var failed error
	var tooLarge []*kgo.ErrDecompressTooLarge
	fetches.EachError(func(name string, number int32, err error) {
		loss, large := (*kgo.ErrDataLoss)(nil), (*kgo.ErrDecompressTooLarge)(nil)
		switch {
		case errors.As(err, &loss):
			r.source.host.Logger.Warn("a broker has lost messages that were read before: they are in the journal", "topic", name, "partition", number, "read_to", loss.ConsumedTo, "goes_on_at", loss.ResetTo)
		case errors.As(err, &large) && r.topics[large.Topic] != nil:
			tooLarge = append(tooLarge, large)
		case ctx.Err() != nil, errors.Is(err, context.Canceled), name == "" && errors.Is(err, context.DeadlineExceeded): // there was no message
		case r.topics[name] != nil:
			r.told(name, fmt.Errorf("partition %d: %w", number, err))
		default:
			failed = errors.Join(failed, err)
		}
	})
	r.gaps(fetches)
	for name, t := range r.topics {
		var data [][]byte
		var records []*kgo.Record
		fetches.EachTopic(func(f kgo.FetchTopic) {
			if f.Topic != name {
				return
			}
			f.EachRecord(func(one *kgo.Record) {
				if records = append(records, one); !one.Attrs.IsControl() {
					data = append(data, one.Value)
				}
			})
		})
		if len(records) == 0 {
			continue
		}
		events, left := r.intake(ctx, t).Take(context.WithoutCancel(ctx), data)
		r.source.senders.Seen(name, events)
		if left > 0 { // ctx has ended
			return ctx.Err()
		}
		if err := r.acknowledge(ctx, func(ctx context.Context) error { return client.CommitRecords(ctx, records...) }); err != nil {
			return fmt.Errorf("topic %s: commit offsets of group %s: %w", name, r.config.Group, err)
		}
		r.advance(t, records)
	}
	for _, large := range tooLarge {
		if err := r.skip(ctx, client, large); !errors.Is(err, errPassedOver) {
			return err
		}
	}
	if len(tooLarge) > 0 {
		return errPassedOver
	}
	if failed == nil {
		r.reading()
	}
	return failed
}

// errPassedOver ends a session, since the client does not continue after a batch that was too
// large. The next session starts after the batch.
var errPassedOver = errors.New("a batch was passed over")

// skip records a batch that is too large in quarantine, and commits its offsets. It always
// returns an error.
func (r *reader) skip(ctx context.Context, client *kgo.Client, large *kgo.ErrDecompressTooLarge) error {
	in := r.intake(ctx, r.topics[large.Topic])
	note := fmt.Appendf(nil, `{"topic":%q,"partition":%d,"offset":%d,"next_offset":%d}`, large.Topic, large.Partition, large.Offset, large.NextOffset)
	detail := fmt.Sprintf("a batch of messages becomes more than %d MiB when it is decompressed: it was not read, and is in the topic from this offset to the next", batchBytes>>20)
	if in.Aside(context.WithoutCancel(ctx), in.Item(note, string(ingest.TooLarge), detail)) > 0 {
		return ctx.Err()
	}
	r.source.host.Logger.Error("a batch of messages was not read: it is too large in memory, and a note of it is in quarantine", "topic", large.Topic, "partition", large.Partition, "offset", large.Offset, "next_offset", large.NextOffset)
	next := map[string]map[int32]kgo.EpochOffset{large.Topic: {large.Partition: {Epoch: large.Epoch, Offset: large.NextOffset}}}
	err := r.acknowledge(ctx, func(ctx context.Context) (err error) {
		client.CommitOffsetsSync(ctx, next, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, answer *kmsg.OffsetCommitResponse, failed error) {
			err = failed
			if err == nil && len(answer.Topics) > 0 && len(answer.Topics[0].Partitions) > 0 {
				err = kerr.ErrorForCode(answer.Topics[0].Partitions[0].ErrorCode)
			}
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("topic %s: commit offsets of group %s: %w", large.Topic, r.config.Group, err)
	}
	return errPassedOver
}

// acknowledge commits the offsets of messages whose events are durable.
func (r *reader) acknowledge(ctx context.Context, commit func(context.Context) error) error {
	within := reachWithin
	if ctx.Err() != nil {
		within = leaveWithin
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), within)
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(leaveWithin, cancel) })()
	err := commit(bounded)
	if errors.Is(err, kerr.RebalanceInProgress) || errors.Is(err, kerr.IllegalGeneration) || errors.Is(err, kerr.UnknownMemberID) {
		return nil // another member may have the partitions now and will read them again
	}
	return err
}

// gaps detects messages that the brokers deleted before they were read.
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
			p.next = one.Offset + 1
		}
	}
}

// intake returns the intake of a topic's messages.
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

// until repeats f until it succeeds, since the relay currently does not accept events and the
// topic waits. It returns false if ctx ends.
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
