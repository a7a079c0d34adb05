package kafka

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"auditrelay/cli/internal/sources/intake"
	"auditrelay/runtime"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func message(id string) string {
	return fmt.Sprintf(`{"id":%q,"action":"created","table_name":"t","object_id":"o"}`, id)
}

func messages(from, n int) (all []string) {
	for i := range n {
		all = append(all, message(fmt.Sprint("e", from+i)))
	}
	return all
}

// TestMessages: the possible messages of a topic and their results. For every message, its
// offset is committed and reading continues.
func TestMessages(t *testing.T) {
	const vault = `{"type":"request","time":"2026-01-02T03:04:05Z","request":{"id":"v1","operation":"update","path":"secret/data/x"}}`
	for _, tt := range []struct {
		name, topic string
		values      []string
		namespace   string
		ids         []string
		reasons     []string // in quarantine
	}{
		{"events", "{}", []string{message("a"), message("b")}, "litellm", []string{"a", "b"}, nil},
		{"an event twice", "{}", []string{message("a"), message("a")}, "litellm", []string{"a"}, nil},
		{"another event with the id", "{}", []string{message("a"), strings.Replace(message("a"), "created", "deleted", 1)}, "litellm", []string{"a"}, []string{"conflict"}},
		{"no JSON", "{}", []string{"no JSON", message("b")}, "litellm", []string{"b"}, []string{"not_object"}},
		{"no value", "{}", []string{"", message("b")}, "litellm", []string{"b"}, []string{"syntax"}},
		{"no event", "{}", []string{`{"a":1}`, message("b")}, "litellm", []string{"b"}, []string{"missing"}},
		{"too large", "{}", []string{`{"id":"a","action":"created","x":"` + strings.Repeat("x", 2*testEventBytes) + `"}`, message("b")}, "litellm", []string{"b"}, []string{"too_large"}},
		{"of another producer", "{schema: vault, namespace: prod}", []string{vault}, "prod", nil, nil},
		{"a namespace", "{namespace: other}", []string{message("a")}, "other", []string{"a"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBrokers(t, "audit")
			r := start(t, t.TempDir(), b.section(tt.topic))
			b.produce(t, "audit", 1, tt.values...)
			r.until("all offsets are committed", func() bool { return b.committed("audit") == int64(len(tt.values)) })
			for _, id := range tt.ids {
				if !r.known(tt.namespace, id) {
					t.Errorf("event %s is not stored", id)
				}
			}
			if accepted := r.count(intake.Accepted); accepted != uint64(max(len(tt.ids), 1)) {
				t.Errorf("%d accepted", accepted)
			}
			items, err := r.rt.QuarantineItems(t.Context(), runtime.QuarantineQuery{})
			if err != nil {
				t.Fatal(err)
			}
			var reasons []string
			for _, item := range items {
				reasons = append(reasons, item.Reason)
				if item.Provenance.Principal != "audit" || item.Provenance.Source != kind {
					t.Errorf("%+v", item.Provenance)
				}
			}
			if !slices.Equal(reasons, tt.reasons) {
				t.Errorf("in quarantine: %q, want %q", reasons, tt.reasons)
			}
		})
	}
}

// TestOffsetsFollowWhatIsDurable: while the relay accepts nothing, nothing is committed, and
// the next relay reads it.
func TestOffsetsFollowWhatIsDurable(t *testing.T) {
	b := newBrokers(t, "audit")
	dir := t.TempDir()
	r := start(t, dir, b.section("{}"))
	b.produce(t, "audit", 0, messages(0, 10)...)
	r.until("ten are committed", func() bool { return b.committed("audit") == 10 })
	if err := r.rt.Close(); err != nil {
		t.Fatal(err)
	}
	b.produce(t, "audit", 0, messages(10, 10)...)
	r.until("reading waits", func() bool { return r.topic().State == stateWaiting })
	r.stop()
	if n := b.committed("audit"); n != 10 {
		t.Errorf("%d are committed, 10 are durable", n)
	}
	next := start(t, dir, b.section("{}"))
	next.until("all are committed", func() bool { return b.committed("audit") == 20 })
	for i := range 20 {
		if !next.known("litellm", fmt.Sprint("e", i)) {
			t.Errorf("event %d is lost", i)
		}
	}
	if next.count(intake.Accepted) != 10 {
		t.Errorf("%d accepted after the restart", next.count(intake.Accepted))
	}
}

// TestACommitThatFails: durable but uncommitted messages are read again and stored once.
func TestACommitThatFails(t *testing.T) {
	b := newBrokers(t, "audit")
	failing := true
	b.ControlKey(int16(kmsg.OffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
		if !failing {
			return nil, nil, false
		}
		failing = false
		resp := req.ResponseKind().(*kmsg.OffsetCommitResponse)
		for _, of := range req.(*kmsg.OffsetCommitRequest).Topics {
			one := kmsg.NewOffsetCommitResponseTopic()
			one.Topic, one.TopicID = of.Topic, of.TopicID
			for _, p := range of.Partitions {
				part := kmsg.NewOffsetCommitResponseTopicPartition()
				part.Partition, part.ErrorCode = p.Partition, kerr.GroupAuthorizationFailed.Code
				one.Partitions = append(one.Partitions, part)
			}
			resp.Topics = append(resp.Topics, one)
		}
		return resp, nil, true
	})
	r := start(t, t.TempDir(), b.section("{}"))
	b.produce(t, "audit", 2, messages(0, 5)...)
	r.until("all are committed", func() bool { return b.committed("audit") == 5 })
	if got := []uint64{r.count(intake.Accepted), r.count(intake.Duplicate)}; got[0] != 5 || got[1] != 5 {
		t.Errorf("accepted and duplicates: %v", got)
	}
	if log := r.log.String(); !strings.Contains(log, "needs READ on the group") {
		t.Errorf("the log does not say what is wrong:\n%s", log)
	}
}

// TestDeletedBeforeTheyWereRead: messages that the brokers delete while the relay is away are
// counted and reported as lost.
func TestDeletedBeforeTheyWereRead(t *testing.T) {
	b := newBrokers(t, "audit")
	dir := t.TempDir()
	r := start(t, dir, b.section("{}"))
	b.produce(t, "audit", 0, messages(0, 10)...)
	r.until("ten are committed", func() bool { return b.committed("audit") == 10 })
	r.stop()
	b.produce(t, "audit", 0, messages(10, 10)...)
	if err := b.DeleteRecords("audit", 0, 15); err != nil {
		t.Fatal(err)
	}
	next := start(t, dir, b.section("{}"))
	next.until("the rest is committed", func() bool { return b.committed("audit") == 20 })
	if got := next.topic(); got.Deleted != 5 || next.count(intake.Accepted) != 5 {
		t.Errorf("%d deleted, %d accepted", got.Deleted, next.count(intake.Accepted))
	}
	if !strings.Contains(next.log.String(), "deleted messages before they were read") {
		t.Error("the log does not say so")
	}
}

// TestTwoMembers: relays of one group share a topic's partitions. If one stops, the other reads
// all of them, and every event is in one of the journals.
func TestTwoMembers(t *testing.T) {
	b := newBrokers(t, "audit")
	one, two := start(t, t.TempDir(), b.section("{}")), start(t, t.TempDir(), b.section("{}"))
	both := func() bool {
		return one.topic().Partitions > 0 && two.topic().Partitions > 0 && one.topic().Partitions+two.topic().Partitions == 3
	}
	one.until("both read", both)
	send := func(from int) {
		for p := range int32(3) {
			b.produce(t, "audit", p, messages(from+100*int(p), 50)...)
		}
	}
	send(0)
	one.until("all is committed", func() bool { return b.committed("audit") == 150 })
	one.stop()
	two.until("one reads all", func() bool { return two.topic().Partitions == 3 })
	send(1000)
	two.until("all is committed", func() bool { return b.committed("audit") == 300 })
	if n := one.count(intake.Accepted) + two.count(intake.Accepted); n != 300 || one.count(intake.Accepted) == 0 {
		t.Errorf("%d and %d accepted", one.count(intake.Accepted), two.count(intake.Accepted))
	}
}

// TestWhatIsWrong: the status gives the reason why a topic is not read, and reading begins once
// it is corrected.
func TestWhatIsWrong(t *testing.T) {
	t.Run("no topic", func(t *testing.T) {
		b := newBrokers(t)
		r := start(t, t.TempDir(), b.section("{}"))
		r.until("it says so", func() bool {
			return strings.Contains(r.topic().Error, "topic audit") && r.topic().State == stateDisconnected
		})
		if err := b.CreateTopic("audit", 3, nil); err != nil {
			t.Fatal(err)
		}
		b.produce(t, "audit", 0, message("a"))
		r.until("it is read", func() bool {
			return r.known("litellm", "a") && r.topic().State == stateFollowing && r.topic().Error == ""
		})
	})
	t.Run("an address of the inside", func(t *testing.T) {
		b := newBrokers(t, "audit")
		r := start(t, t.TempDir(), strings.Replace(b.section("{}"), "allow_networks: [loopback]", "group: g", 1))
		r.until("it says so", func() bool { return strings.Contains(r.topic().Error, "allow_networks") })
	})
	t.Run("a wrong password", func(t *testing.T) {
		c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "audit"), kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-256", "relay", "the-right-one"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		b := &cluster{Cluster: c}
		r := start(t, t.TempDir(), b.section("{}", "sasl: {mechanism: scram-sha-256, username: relay, password: the-wrong-one}"))
		r.until("it says so", func() bool { return r.topic().State == stateDisconnected })
		text := r.topic().Error + r.log.String()
		if !strings.Contains(text, "see sasl") || strings.Contains(text, "the-wrong-one") {
			t.Error(text)
		}
	})
	t.Run("nobody listens", func(t *testing.T) {
		b := newBrokers(t, "audit")
		section := b.section("{}")
		b.Close()
		r := start(t, t.TempDir(), section)
		r.until("it says so", func() bool { return r.topic().State == stateDisconnected })
	})
}

// TestConfiguration: all faults of a section are reported at once, at their places.
func TestConfiguration(t *testing.T) {
	for section, want := range map[string][]string{
		"{}": {"brokers: it is required", "topics: it is required"},
		"{brokers: [b], topics: {'a b': {schema: nope, namespace: 'x y'}}, group: 'g g'}": {"brokers[0]", "not a topic's name", "there is no schema", "namespace", "group"},
		"{brokers: ['b:1'], topics: {a: {}}, sasl: {mechanism: nope}, unknown: 1}":        {"sasl.mechanism", "unknown"},
	} {
		err := check(section)
		for _, part := range want {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%s: want %s in %v", section, part, err)
			}
		}
	}
	if err := check("{brokers: ['b:1'], topics: {out: {}}, plaintext: true}"); err == nil || !strings.Contains(err.Error(), "callback back delivers to this topic") {
		t.Errorf("a circle: %v", err)
	}
}
