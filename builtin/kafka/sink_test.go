package kafka_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"auditrelay"
	"auditrelay/builtin/internal/httpsink"
	"auditrelay/builtin/kafka"
	"auditrelay/builtin/kafka/brokers"
	"auditrelay/sinktest"
)

const topic = "audit"

func cluster(t *testing.T, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(3, topic)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func options(brokers ...string) kafka.Options {
	return kafka.Options{Brokers: brokers, Topic: topic, Plaintext: true, AllowNetworks: []string{"loopback"}, RequestTimeout: 5 * time.Second}
}

func newSink(t testing.TB, o kafka.Options) *kafka.Sink {
	t.Helper()
	s, err := kafka.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// read consumes the topic from its beginning to its present end.
func read(t *testing.T, c *kfake.Cluster) (all []*kgo.Record) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	ends := kmsg.NewListOffsetsRequest()
	ends.ReplicaID = -1
	of := kmsg.NewListOffsetsRequestTopic()
	of.Topic = topic
	for p := range int32(3) {
		one := kmsg.NewListOffsetsRequestTopicPartition()
		one.Partition, one.Timestamp, one.CurrentLeaderEpoch = p, -1, -1
		of.Partitions = append(of.Partitions, one)
	}
	ends.Topics = append(ends.Topics, of)
	answer, err := ends.RequestWith(ctx, client)
	if err != nil {
		t.Fatal(err)
	}
	want := 0
	for _, p := range answer.Topics[0].Partitions {
		want += int(p.Offset)
	}
	for len(all) < want {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			t.Fatal(err)
		}
		all = append(all, fetches.Records()...)
	}
	return all
}

// silent is a listener that accepts connections and never responds.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// breaking is a listener whose connections break at the next response once lose is set.
type breaking struct {
	net.Listener
	lose *atomic.Bool
}

func (b breaking) Accept() (net.Conn, error) {
	conn, err := b.Listener.Accept()
	return breakingConn{conn, b.lose}, err
}

type breakingConn struct {
	net.Conn
	lose *atomic.Bool
}

func (c breakingConn) Write(p []byte) (int, error) {
	if c.lose.CompareAndSwap(true, false) {
		c.Close()
		return 0, net.ErrClosed
	}
	return c.Conn.Write(p)
}

// refuse makes the brokers return an error for each batch that contains a record.
func refuse(c *kfake.Cluster, record string, code int16) {
	c.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		req := r.(*kmsg.ProduceRequest)
		bad := false
		resp := req.ResponseKind().(*kmsg.ProduceResponse)
		for _, rt := range req.Topics {
			at := kmsg.NewProduceResponseTopic()
			at.Topic, at.TopicID = rt.Topic, rt.TopicID
			for _, rp := range rt.Partitions {
				bad = bad || bytes.Contains(rp.Records, []byte(record))
				p := kmsg.NewProduceResponseTopicPartition()
				p.Partition, p.ErrorCode = rp.Partition, code
				at.Partitions = append(at.Partitions, p)
			}
			resp.Topics = append(resp.Topics, at)
		}
		return resp, nil, bad
	})
}

func TestConformance(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Kit {
		var lose atomic.Bool
		c := cluster(t, kfake.ListenFn(func(network, address string) (net.Listener, error) {
			l, err := net.Listen(network, address)
			return breaking{l, &lose}, err
		}))
		build := func(*testing.T) auditrelay.Sink { return newSink(t, options(c.ListenAddrs()...)) }
		return sinktest.Kit{
			New: build,
			Read: func(t *testing.T) (docs [][]byte) {
				for _, r := range read(t, c) {
					docs = append(docs, r.Value)
				}
				return docs
			},
			Unordered: true, Forgetful: true, TooLarge: 900_000,
			Hang: func(t *testing.T) auditrelay.Sink { return newSink(t, options(silent(t))) },
			Refuse: func(t *testing.T, record string) auditrelay.Sink {
				refuse(c, record, kerr.InvalidRecord.Code)
				return build(t)
			},
			// The broker accepts the batch, and the connection breaks before the response. The
			// producer sends the batch again with the same sequence, so the broker detects the
			// repetition.
			LoseAnswer: func(t *testing.T) auditrelay.Sink {
				var once sync.Once // a control that handles nothing stays installed
				c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
					once.Do(func() { lose.Store(true) })
					return nil, nil, false
				})
				return build(t)
			},
		}
	})
}

func chunk(data ...string) auditrelay.Chunk {
	c := auditrelay.Chunk{Callback: "c", Journal: "j.1", From: 1, To: uint64(len(data)) + 1}
	for i, d := range data {
		c.Records = append(c.Records, auditrelay.Record{Sequence: uint64(i) + 1, Data: []byte(d)})
	}
	return c
}

func deliver(t *testing.T, s *kafka.Sink, c auditrelay.Chunk) error {
	t.Helper()
	payloads, err := s.Render(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range payloads {
		if _, err := s.Deliver(t.Context(), p); err != nil {
			return err
		}
	}
	return nil
}

// The changes of one object stay in one partition, in order. Headers distinguish a record from a
// duplicate.
func TestKeysAndHeaders(t *testing.T) {
	c := cluster(t)
	s := newSink(t, options(c.ListenAddrs()...))
	var data []string
	for i := range 40 {
		data = append(data, fmt.Sprintf(`{"id":"%d","object_id":"team-%d"}`, i, i%4))
	}
	data = append(data, `{"class_uid":3004,"entity":{"uid":"team-1"}}`, `{"specversion":"1.0","subject":"team-1"}`, `{"origin":{"journal":"j.1"},"event":{"object_id":"team-9"}}`, `{"id":"none"}`)
	if err := deliver(t, s, chunk(data...)); err != nil {
		t.Fatal(err)
	}
	partition, last := map[string]int32{}, map[string]int{}
	for _, r := range read(t, c) {
		key, sequence := string(r.Key), 0
		if p, ok := partition[key]; key != "" && ok && p != r.Partition {
			t.Errorf("%s is in partitions %d and %d", key, p, r.Partition)
		}
		partition[key] = r.Partition
		for _, h := range r.Headers {
			if h.Key == "auditrelay-sequence" {
				fmt.Sscan(string(h.Value), &sequence)
			}
		}
		if key != "" && sequence <= last[key] || sequence == 0 || string(r.Headers[0].Value) != "j.1" || string(r.Value) != data[sequence-1] {
			t.Errorf("%s: sequence %d after %d, headers %v", key, sequence, last[key], r.Headers)
		}
		last[key] = sequence
	}
	if len(partition) != 6 {
		t.Errorf("%d keys: %v", len(partition), partition)
	}
}

// A record of another producer has its mapped object as key. Headers tell its origin, and no event
// can choose them.
func TestMappedKeysAndOrigin(t *testing.T) {
	c := cluster(t)
	s := newSink(t, options(c.ListenAddrs()...))
	in := chunk(`{"objectRef":{"name":"db"},"object_id":"not this"}`, `{"object_id":"team-1"}`)
	in.Records[0].Mapping = &auditrelay.Mapping{Object: "objectRef.name"}
	in.Records[0].Namespace, in.Records[0].Source, in.Records[0].Principal = "kubernetes", "http", "hook:kubernetes"
	payloads, err := s.Render(in)
	if err != nil || len(payloads) != 1 {
		t.Fatal(payloads, err)
	}
	first, second, err := s.Split(payloads[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []auditrelay.Payload{first, second} {
		if _, err := s.Deliver(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range read(t, c) {
		got := map[string]string{}
		for _, h := range r.Headers {
			got[h.Key] = string(h.Value)
		}
		want := map[string]string{"auditrelay-journal": "j.1", "auditrelay-sequence": "2"}
		key := "team-1"
		if got["auditrelay-sequence"] == "1" {
			key = "db"
			want = map[string]string{"auditrelay-journal": "j.1", "auditrelay-sequence": "1", "auditrelay-namespace": "kubernetes", "auditrelay-source": "http", "auditrelay-principal": "hook:kubernetes"}
		}
		if string(r.Key) != key || !maps.Equal(got, want) {
			t.Errorf("key %q, headers %v", r.Key, got)
		}
	}
}

// A payload sealed by an earlier version, with one record a line, can still be delivered and split.
func TestSealedBefore(t *testing.T) {
	c := cluster(t)
	s := newSink(t, options(c.ListenAddrs()...))
	old := auditrelay.Payload{Key: "c/j.1//1-3-000000000000", Body: []byte("{\"object_id\":\"a\"}\n{\"object_id\":\"b\"}\n"), Sequences: []uint64{1, 2},
		Headers: map[string]string{"Content-Type": "application/x-ndjson", "Auditrelay-Journal": "j.1", "Auditrelay-Scope": "c/j.1/"}}
	first, second, err := s.Split(old)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []auditrelay.Payload{old, first, second} {
		if _, err := s.Deliver(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	keys := map[string]int{}
	for _, r := range read(t, c) {
		keys[string(r.Key)+string(r.Value)]++
	}
	if want := map[string]int{`a{"object_id":"a"}`: 2, `b{"object_id":"b"}`: 2}; !maps.Equal(keys, want) {
		t.Errorf("%v", keys)
	}
}

// Both SCRAM mechanisms, with and without TLS: the right password, a wrong one, and one that is
// written to the file later.
func TestSCRAM(t *testing.T) {
	server := httptest.NewTLSServer(nil) // for its certificate
	defer server.Close()
	for mechanism, name := range map[string]string{brokers.MechanismSHA256: "SCRAM-SHA-256", brokers.MechanismSHA512: "SCRAM-SHA-512"} {
		for _, secured := range []bool{false, true} {
			opts := []kfake.Opt{kfake.EnableSASL(), kfake.Superuser(name, "relay", "the-right-one")}
			if secured {
				opts = append(opts, kfake.TLS(&tls.Config{Certificates: server.TLS.Certificates}))
			}
			c := cluster(t, opts...)
			file := filepath.Join(t.TempDir(), "password")
			if err := os.WriteFile(file, []byte("a-wrong-one"), 0o600); err != nil {
				t.Fatal(err)
			}
			o := options(c.ListenAddrs()...)
			if o.Plaintext = !secured; secured {
				o.TLS = httpsink.TLS{CA: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))}
			}
			o.SASL = brokers.SASL{Mechanism: mechanism, Username: "relay", PasswordFile: file}
			s := newSink(t, o)
			err := deliver(t, s, chunk(`{"a":1}`))
			if err == nil || strings.Contains(err.Error(), "wrong-one") {
				t.Errorf("%s, TLS %v, a wrong password: %v", name, secured, err)
			}
			if err := os.WriteFile(file, []byte("the-right-one\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := deliver(t, s, chunk(`{"a":1}`)); err != nil {
				t.Errorf("%s, TLS %v: %v", name, secured, err)
			}
		}
	}
}

func TestErrors(t *testing.T) {
	for _, tt := range []struct {
		err  *kerr.Error
		want auditrelay.ErrorKind
	}{
		{kerr.MessageTooLarge, auditrelay.TooLarge},
		{kerr.TopicAuthorizationFailed, auditrelay.Unauthorized},
		{kerr.InvalidRecord, auditrelay.Refused},
		{kerr.UnknownServerError, auditrelay.Transient},
		{kerr.PolicyViolation, auditrelay.Misconfigured},
	} {
		c := cluster(t)
		refuse(c, "secret-of-an-event", tt.err.Code)
		s := newSink(t, options(c.ListenAddrs()...))
		err := deliver(t, s, chunk(`{"id":"secret-of-an-event"}`))
		if auditrelay.KindOf(err) != tt.want || err == nil || strings.Contains(err.Error(), "secret-of") {
			t.Errorf("%s is %v, want %v: %v", tt.err.Message, auditrelay.KindOf(err), tt.want, err)
		}
	}
	c := cluster(t)
	o := options(c.ListenAddrs()...)
	o.Topic = "missing"
	if err := deliver(t, newSink(t, o), chunk(`{}`)); auditrelay.KindOf(err) != auditrelay.Misconfigured {
		t.Errorf("no such topic: %v", err)
	}
	o = options(c.ListenAddrs()...)
	o.AllowNetworks = nil
	if err := deliver(t, newSink(t, o), chunk(`{}`)); auditrelay.KindOf(err) != auditrelay.Misconfigured || !strings.Contains(err.Error(), "allow_networks") {
		t.Errorf("a broker of the inside: %v", err)
	}
}

// A payload that one partition refuses is halved. The other partitions have their records once.
func TestRefusedByOnePartition(t *testing.T) {
	c := cluster(t, kfake.NumBrokers(3)) // one leader, and so one request, for each partition
	refuse(c, `"bad"`, kerr.InvalidRecord.Code)
	s := newSink(t, options(c.ListenAddrs()...))
	var data []string
	for i := range 64 {
		data = append(data, fmt.Sprintf(`{"id":"%d","object_id":"team-%d"}`, i, i))
	}
	data[20] = `{"id":"bad","object_id":"team-20"}`
	payloads, err := s.Render(chunk(data...))
	if err != nil {
		t.Fatal(err)
	}
	var dead []uint64
	for len(payloads) > 0 {
		p := payloads[0]
		payloads = payloads[1:]
		_, err := s.Deliver(t.Context(), p)
		switch {
		case err == nil:
		case auditrelay.KindOf(err) != auditrelay.Refused:
			t.Fatal(err)
		case len(p.Sequences) == 1:
			dead = append(dead, p.Sequences...)
		default:
			first, second, err := s.Split(p)
			if err != nil {
				t.Fatal(err)
			}
			payloads = append(payloads, first, second)
		}
	}
	times := map[string]int{}
	for _, r := range read(t, c) {
		times[string(r.Value)]++
	}
	for i, d := range data {
		if i != 20 && times[d] != 1 {
			t.Errorf("record %d is there %d times", i+1, times[d])
		}
	}
	if !slices.Equal(dead, []uint64{21}) {
		t.Errorf("dead: %v", dead)
	}
}

// A probe checks that the topic exists, and creates none.
func TestProbe(t *testing.T) {
	c := cluster(t)
	if err := newSink(t, options(c.ListenAddrs()...)).Probe(t.Context()); !errors.Is(err, auditrelay.ErrNotChecked) || !strings.Contains(err.Error(), "the topic exists") {
		t.Error(err)
	}
	o := options(c.ListenAddrs()...)
	o.Topic = "missing"
	for range 2 {
		if err := newSink(t, o).Probe(t.Context()); auditrelay.KindOf(err) != auditrelay.Misconfigured || errors.Is(err, auditrelay.ErrNotChecked) {
			t.Errorf("no such topic: %v", err)
		}
	}
}

// TLS with a password, as Event Hubs requires it. A rotated password takes effect.
func TestPasswordOverTLS(t *testing.T) {
	server := httptest.NewTLSServer(nil) // for its certificate
	defer server.Close()
	c := cluster(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "$ConnectionString", "Endpoint=sb://x"), kfake.TLS(&tls.Config{Certificates: server.TLS.Certificates}))
	file := filepath.Join(t.TempDir(), "password")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("Endpoint=sb://old")
	o := options(c.ListenAddrs()...)
	o.Plaintext = false
	o.TLS = httpsink.TLS{CA: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))}
	o.SASL = brokers.SASL{Mechanism: brokers.MechanismPlain, Username: "$ConnectionString", PasswordFile: file}
	s := newSink(t, o)
	// kfake only drops the connection after a wrong password. Real brokers return the reason.
	c.ControlKey(int16(kmsg.SASLAuthenticate), func(r kmsg.Request) (kmsg.Response, error, bool) {
		resp := r.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		if strings.Contains(string(r.(*kmsg.SASLAuthenticateRequest).SASLAuthBytes), "sb://x") {
			return nil, nil, false
		}
		resp.ErrorCode = kerr.SaslAuthenticationFailed.Code
		return resp, nil, true
	})
	if err := deliver(t, s, chunk(`{"a":1}`)); auditrelay.KindOf(err) != auditrelay.Unauthorized || strings.Contains(err.Error(), "sb://") {
		t.Errorf("a wrong password: %v", err)
	}
	write("Endpoint=sb://x\n")
	if err := deliver(t, s, chunk(`{"a":1}`)); err != nil {
		t.Errorf("the right one: %v", err)
	}
	o.TLS.CA = ""
	if err := deliver(t, newSink(t, o), chunk(`{"a":1}`)); auditrelay.KindOf(err) != auditrelay.Transient || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate of nobody's: %v", err)
	}
}

func TestOptions(t *testing.T) {
	good := kafka.Options{Brokers: []string{"b.example:9093"}, Topic: topic}
	for want, change := range map[string]func(*kafka.Options){
		"brokers: it is required":                     func(o *kafka.Options) { o.Brokers = nil },
		"brokers[0]: expected host:port":              func(o *kafka.Options) { o.Brokers = []string{"b.example"} },
		"topic: expected letters":                     func(o *kafka.Options) { o.Topic = "a b" },
		"compression: expected none":                  func(o *kafka.Options) { o.Compression = "lzma" },
		"allow_networks[0]: expected loopback":        func(o *kafka.Options) { o.AllowNetworks = []string{"all"} },
		"sasl.mechanism: it is required":              func(o *kafka.Options) { o.SASL.Username = "u" },
		"sasl.mechanism: expected plain":              func(o *kafka.Options) { o.SASL.Mechanism = "gssapi" },
		"sasl.username: it is required":               func(o *kafka.Options) { o.SASL.Mechanism = "plain" },
		"sasl.password: it is required":               func(o *kafka.Options) { o.SASL.Mechanism = "plain" },
		"plaintext: the mechanism plain would expose": func(o *kafka.Options) { o.Plaintext, o.SASL.Mechanism = true, "plain" },
		"plaintext: tls is set too":                   func(o *kafka.Options) { o.Plaintext, o.TLS.CA = true, "x" },
		"tls.cert_file: cert_file and key_file go":    func(o *kafka.Options) { o.TLS.CertFile = "x" },
		"max_request_bytes: expected 10KB to 10MB":    func(o *kafka.Options) { o.MaxRequestBytes = 1 },
	} {
		o := good
		change(&o)
		if _, err := kafka.New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if _, err := kafka.New(good); err != nil {
		t.Error(err)
	}
}
