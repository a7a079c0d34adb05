package kafka

import (
	"fmt"
	goruntime "runtime"
	"strings"
	"testing"
	"time"

	"auditrelay/cli/internal/sources/intake"
	"auditrelay/runtime"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// compressed writes values of zeros, each in its own batch, which is small when compressed.
func (c *cluster) compressed(t *testing.T, values ...int) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.address()), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0), kgo.ProducerBatchCompression(kgo.ZstdCompression()),
		kgo.ProducerBatchMaxBytes(200<<20), kgo.BrokerMaxWriteBytes(400<<20), kgo.MaxProduceRequestsInflightPerBroker(1), kgo.MaxDecompressBatchBytes(1<<30))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for i, size := range values {
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "audit", Partition: int32(i % 3), Value: make([]byte, size)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCompressedBatchesAreBounded: of many batches that are small when compressed and large in
// memory, only one at a time is in memory.
func TestCompressedBatchesAreBounded(t *testing.T) {
	b := newBrokers(t, "audit")
	b.compressed(t, 20<<20, 20<<20, 20<<20, 20<<20, 20<<20, 20<<20, 20<<20, 20<<20, 20<<20, 20<<20, 20<<20, 20<<20)
	goruntime.GC()
	var before, now goruntime.MemStats
	goruntime.ReadMemStats(&before)
	most := uint64(0)
	r := start(t, t.TempDir(), b.section("{}"))
	r.until("all are set aside", func() bool {
		goruntime.ReadMemStats(&now)
		most = max(most, now.HeapInuse)
		return b.committed("audit") == 12
	})
	if grown := int64(most) - int64(before.HeapInuse); grown > 160<<20 { // 240 MiB in all
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
	if n := r.count(intake.Quarantined); n != 12 {
		t.Errorf("%d in quarantine", n)
	}
}

// TestABatchThatIsTooLarge: it is skipped with a note in quarantine, and everything else is
// read.
func TestABatchThatIsTooLarge(t *testing.T) {
	b := newBrokers(t, "audit")
	b.compressed(t, batchBytes+1)
	b.produce(t, "audit", 0, messages(0, 10)...)
	b.produce(t, "audit", 1, messages(1000, 1000)...)
	r := start(t, t.TempDir(), b.section("{}"))
	r.until("all is committed", func() bool { return b.committed("audit") == 1011 })
	if r.count(intake.Accepted) != 1010 || r.count(intake.Quarantined) != 1 {
		t.Errorf("%d accepted, %d in quarantine", r.count(intake.Accepted), r.count(intake.Quarantined))
	}
	items, err := r.rt.QuarantineItems(t.Context(), runtime.QuarantineQuery{})
	if err != nil || len(items) != 1 || items[0].Reason != "too_large" || !strings.Contains(items[0].Detail, "was not read") {
		t.Fatalf("%+v, %v", items, err)
	}
	item, err := r.rt.QuarantineItem(t.Context(), items[0].Number)
	if err != nil || string(item.Data) != `{"topic":"audit","partition":0,"offset":0,"next_offset":1}` {
		t.Errorf("%s, %v", item.Data, err)
	}
}

// TestOneTopicStallsNoOther: a missing topic is reported, the others are read, and it is read
// once it exists.
func TestOneTopicStallsNoOther(t *testing.T) {
	b := newBrokers(t, "audit")
	r := start(t, t.TempDir(), b.section("{}, other: {}"))
	b.produce(t, "audit", 0, message("a"))
	r.until("audit is read", func() bool { return r.known("litellm", "a") })
	if got := r.topicOf("other"); got.State != stateDisconnected || !strings.Contains(got.Error, "does not exist") {
		t.Errorf("the other topic: %+v", got)
	}
	if got := r.topic(); got.State != stateFollowing || got.Error != "" {
		t.Errorf("audit: %+v", got)
	}
	if err := b.CreateTopic("other", 1, nil); err != nil {
		t.Fatal(err)
	}
	b.produce(t, "other", 0, message("b"))
	r.until("the other is read", func() bool { return r.known("litellm", "b") && r.topicOf("other").State == stateFollowing })
}

// TestAnIdleTopicIsRead: after a failure the status is right without a new message.
func TestAnIdleTopicIsRead(t *testing.T) {
	b := newBrokers(t)
	r := start(t, t.TempDir(), b.section("{}"))
	r.until("it says so", func() bool { return r.topic().State == stateDisconnected })
	if err := b.CreateTopic("audit", 3, nil); err != nil {
		t.Fatal(err)
	}
	r.until("it is read", func() bool {
		got := r.topic()
		return got.State == stateFollowing && got.Error == "" && got.Partitions == 3
	})
}

// TestStopIsBounded: hanging brokers do not delay a stop.
func TestStopIsBounded(t *testing.T) {
	b := newBrokers(t, "audit")
	r := start(t, t.TempDir(), b.section("{}"))
	b.produce(t, "audit", 0, message("a"))
	r.until("it is read", func() bool { return r.count(intake.Accepted) == 1 })
	hold := make(chan struct{})
	defer close(hold)
	held := make(chan struct{}, 100)
	b.Control(func(kmsg.Request) (kmsg.Response, error, bool) {
		b.KeepControl()
		held <- struct{}{}
		b.SleepControl(func() { <-hold })
		return nil, nil, false
	})
	<-held // a request hangs
	began := time.Now()
	r.source.Stop()
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("the stop took %v", took)
	}
}

// TestTransactions: their markers and rolled-back messages are no events, no lag and no loss.
func TestTransactions(t *testing.T) {
	b := newBrokers(t, "audit")
	client, err := kgo.NewClient(kgo.SeedBrokers(b.address()), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0), kgo.TransactionalID("x"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	send := func(id string, commit bool) {
		t.Helper()
		if err := client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "audit", Value: []byte(message(id))}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := client.EndTransaction(t.Context(), kgo.TransactionEndTry(commit)); err != nil {
			t.Fatal(err)
		}
	}
	r := start(t, t.TempDir(), b.section("{}"))
	send("a", true)
	for i := range 3 {
		send(fmt.Sprint("back", i), false)
	}
	end := b.PartitionInfo("audit", 0).HighWatermark
	r.until("all is read", func() bool { return r.count(intake.Accepted) == 1 && b.committed("audit") == end && r.topic().Lag == 0 })
	if err := b.DeleteRecords("audit", 0, end); err != nil {
		t.Fatal(err)
	}
	send("c", true)
	r.until("the next one is read", func() bool { return r.count(intake.Accepted) == 2 })
	if got := r.topic(); got.Deleted != 0 || r.count(intake.Quarantined) != 0 {
		t.Errorf("%+v, %d in quarantine", got, r.count(intake.Quarantined))
	}
}
