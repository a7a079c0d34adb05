package crashtest

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestKillWhileReadingATopic kills the program at random moments while it reads a topic with a
// continuous producer. Every message is stored once. The brokers are kfake's.
func TestKillWhileReadingATopic(t *testing.T) {
	n := min(rounds(t, 5), 10)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	// After this timeout the group notices a killed member, and gives its partitions to the
	// next one.
	brokers, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "audit"), kfake.GroupMinSessionTimeout(time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(brokers.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers.ListenAddrs()...), kgo.DefaultProduceTopic("audit"), kgo.ProducerLinger(0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	var ids []string
	produce := func(n int) {
		records := make([]*kgo.Record, n)
		for i := range records {
			ids = append(ids, fmt.Sprint("e", len(ids)))
			records[i] = kgo.StringRecord(fmt.Sprintf(`{"id":%q,"action":"created","table_name":"t","object_id":"o"}`, ids[len(ids)-1]))
		}
		if err := client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Millisecond) // slow enough for the relay
	}
	committed := func() (n int64) {
		if info := brokers.GroupInfo("auditrelay"); info != nil {
			for _, at := range info.Commits["audit"] {
				n += at.Offset
			}
		}
		return n
	}
	dir, listen := t.TempDir(), address(t)
	config := filepath.Join(dir, "auditrelay.yaml")
	write(t, config, fmt.Sprintf(`
data_dir: %s
ingest: {kafka: {brokers: [%q], topics: {audit: {}}, plaintext: true, allow_networks: [loopback], session_timeout: 1s}}
callbacks:
  - name: files
    sink: {file: {path: %s}}
`, filepath.Join(dir, "data"), brokers.ListenAddrs()[0], filepath.Join(dir, "files", "events.ndjson")))
	between := 0
	for range n {
		before := committed()
		r := startRelay(t, listen, config)
		for until := time.Now().Add(30 * time.Second); committed() == before && time.Now().Before(until); {
			produce(5)
		}
		for end := time.Now().Add(time.Duration(random.IntN(200)) * time.Millisecond); time.Now().Before(end); {
			produce(20)
		}
		r.kill()
		if committed() < int64(len(ids)) {
			between++
		}
	}
	r := startRelay(t, listen, config)
	for until := time.Now().Add(30 * time.Second); committed() < int64(len(ids)); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("%d of %d offsets are committed:\n%s", committed(), len(ids), r.log)
		}
	}
	r.kill()
	storedOnce(t, dir, ids)
	t.Logf("%d messages; %d of %d kills came while some were not committed", len(ids), between, n)
	if between == 0 {
		t.Error("no kill came while messages were read: nothing is tested")
	}
}
