package kafka

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"auditrelay/cli/internal/api"
	"auditrelay/cli/internal/sources"
	"auditrelay/cli/internal/sources/intake"
	"auditrelay/config"
	"auditrelay/internal/ingest"
	"auditrelay/runtime"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

const testEventBytes = 4 << 10

// cluster is a set of kfake's brokers. No Apache broker runs here.
type cluster struct {
	*kfake.Cluster
	client *kgo.Client
}

func newBrokers(t testing.TB, topics ...string) *cluster {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, topics...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &cluster{c, client}
}

func (b *cluster) address() string { return b.ListenAddrs()[0] }

// produce writes messages to a partition.
func (b *cluster) produce(t testing.TB, topic string, partition int32, values ...string) {
	t.Helper()
	var records []*kgo.Record
	for _, v := range values {
		one := &kgo.Record{Topic: topic, Partition: partition, Value: []byte(v)}
		if v == "" {
			one.Value = nil
		}
		records = append(records, one)
	}
	if err := b.client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// clear deletes all messages.
func (b *cluster) clear(t testing.TB, topic string) {
	t.Helper()
	for _, p := range b.PartitionInfos(topic) {
		if err := b.DeleteRecords(topic, p.Partition, -1); err != nil {
			t.Fatal(err)
		}
	}
}

// committed returns the number of acknowledged messages of a topic.
func (b *cluster) committed(topic string) (n int64) {
	info := b.GroupInfo(defaultGroup)
	if info == nil {
		return 0
	}
	for _, offset := range info.Commits[topic] {
		n += offset.Offset
	}
	return n
}

// relay is a source in a relay.
type relay struct {
	t      testing.TB
	rt     *runtime.Runtime
	source *Source
	log    *lockedLog
	stop   func()
}

type lockedLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func parse(t testing.TB, text string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("relay.yaml", []byte(text+"callbacks: []\n"), config.LoadOptions{Sources: map[string]config.SourceCheck{kind: Check(targets)}})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// start runs a source with a section in a relay with a directory.
func start(t testing.TB, dir, section string) *relay {
	t.Helper()
	r := &relay{t: t, log: new(lockedLog)}
	logger := slog.New(slog.NewTextHandler(r.log, nil))
	var err error
	if r.rt, err = runtime.Open(t.Context(), runtime.Options{Dir: dir, Logger: slog.New(slog.DiscardHandler), Limits: runtime.Limits{EventBytes: testEventBytes}}); err != nil {
		t.Fatal(err)
	}
	r.source = NewSource(&sources.Host{Runtime: r.rt, Logger: logger, Limits: ingest.Limits{EventBytes: testEventBytes, BodyBytes: 1 << 20, Events: 1000}})
	r.source.again = time.Second
	change, err := r.source.Prepare(t.Context(), parse(t, section))
	if err != nil {
		t.Fatal(err)
	}
	change.Apply()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := r.source.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	r.stop = sync.OnceFunc(func() {
		cancel()
		<-done
		_ = r.rt.Close()
	})
	t.Cleanup(r.stop)
	return r
}

func (r *relay) count(what intake.Result) uint64 {
	return r.source.counts.All()[intake.Of{Name: "audit", Result: what}]
}

func (r *relay) topic() api.Topic { return r.topicOf("audit") }

func (r *relay) topicOf(name string) api.Topic {
	for _, line := range r.source.Status() {
		if line.Name == name {
			return *line.Topic
		}
	}
	return api.Topic{}
}

func (r *relay) known(namespace, id string) bool {
	_, err := r.rt.Explain(r.t.Context(), namespace, id)
	return err == nil
}

func (r *relay) until(what string, done func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); {
		if time.Now().After(deadline) {
			r.t.Fatalf("not in time: %s; %v %+v\n%s", what, r.source.counts.All(), r.topic(), r.log)
		}
		<-time.After(2 * time.Millisecond) // poll progress elsewhere
	}
}

// section returns the configuration with a topic and more options.
func (b *cluster) section(topic string, more ...string) string {
	return "ingest: {kafka: {brokers: [" + strings.Join(append([]string{"'" + b.address() + "'], topics: {audit: " + topic + "}, plaintext: true, allow_networks: [loopback]"}, more...), ", ") + "}}\n"
}

// check parses a configuration with a section, and returns its faults.
func check(section string) error {
	_, err := config.Parse("relay.yaml", []byte("ingest: {kafka: "+section+"}\ncallbacks: []\n"), config.LoadOptions{Sources: map[string]config.SourceCheck{kind: Check(targets)}})
	return err
}

// targets returns one callback, which delivers to topic out.
func targets(*config.Config) []Target {
	return []Target{{Callback: "back", Brokers: []string{"c:1", "b:1"}, Topic: "out"}}
}
