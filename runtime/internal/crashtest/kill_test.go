package crashtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"auditrelay/internal/test/corpus"
	"auditrelay/internal/test/s3test"
	"auditrelay/runtime/internal/delivery"
	"auditrelay/runtime/internal/journal"

	"github.com/tidwall/gjson"
)

const (
	producers    = 32
	acksPerRound = 1000
)

func rounds(t *testing.T, otherwise int) int {
	t.Helper()
	if testing.Short() {
		t.Skip("takes the program down many times; run without -short")
	}
	if s := os.Getenv("AUDITRELAY_KILLS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return otherwise
}

// lives divides n kills among data directories, two of which run at a time. Each kill is
// followed by a verification of everything in one directory, which takes longer each time.
func lives(t *testing.T, n int, life func(t *testing.T, kills int)) {
	t.Helper()
	most := 10
	if os.Getenv("AUDITRELAY_SOAK") != "" {
		most = 200
	}
	t.Run("lives", func(t *testing.T) {
		for ; n > 0; n -= most {
			kills := min(n, most)
			t.Run(fmt.Sprint("with ", n, " kills to come"), func(t *testing.T) {
				t.Parallel()
				life(t, kills)
			})
		}
	})
}

// TestKill repeatedly kills the program at random times while 32 producers send, with one data
// directory and one bucket.
func TestKill(t *testing.T) { kill(t, rounds(t, 5), "", journal.Options{}) }

// TestKillEncrypted is TestKill with an encrypted journal and half as many kills.
func TestKillEncrypted(t *testing.T) {
	key := strings.Repeat("0123456789abcdef", 4)
	kill(t, max(2, rounds(t, 2)/2), fmt.Sprintf("journal: {encryption: {key: %s}}", key), journal.Options{Encryption: journal.Encryption{Key: []byte(key)}})
}

func kill(t *testing.T, n int, options string, o journal.Options) {
	seen, mu := map[string]int{}, sync.Mutex{}
	lives(t, n, func(t *testing.T, kills int) {
		found := killInALife(t, kills, options, o)
		mu.Lock()
		defer mu.Unlock()
		for where, n := range found {
			seen[where] += n
		}
	})
	t.Logf("%d kills; found at them: %v", n, seen)
	if n >= 20 {
		for _, where := range []string{atAppend, atSeal, atDelivery, atOutcome} {
			if seen[where] == 0 {
				t.Errorf("no kill was seen %s", where)
			}
		}
	}
}

// killInALife returns the places where its kills were seen.
func killInALife(t *testing.T, n int, options string, o journal.Options) map[string]int {
	t.Helper()
	seen := map[string]int{}
	gateway := s3test.Start(t, "audit")
	dir := t.TempDir()
	dataDir, files := filepath.Join(dir, "data"), filepath.Join(dir, "files")
	config := filepath.Join(dir, "auditrelay.yaml")
	write(t, config, fmt.Sprintf(`
data_dir: %s
%s
%s
callbacks:
  - name: archive
    sink: {s3: {bucket: audit, prefix: archive, %s}}
    chunk: {age: 30ms, events: 200}
    backoff: {initial: 10ms, max: 100ms}
  - name: rotations
    when: {action: [rotated]}
    sink: {s3: {bucket: audit, prefix: rotations, layout: litellm, %s}}
    chunk: {age: 30ms}
    backoff: {initial: 10ms, max: 100ms}
  - name: files
    sink: {file: {path: %s}}
    chunk: {age: 20ms, events: 100}
`, dataDir, options, oftenSigned, s3Options(gateway), s3Options(gateway), filepath.Join(files, "events.ndjson")))

	listen := address(t)
	book := newLedger(t)
	bucket := filepath.Join(gateway.Root, "audit")
	auditor := newAuditor(t, dataDir, config, filepath.Join(bucket, "archive"), filepath.Join(bucket, "rotations"), files)
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	for round := range n {
		r := startRelay(t, listen, config)
		unanswered := load(t, r, book, uint64(round+1), random)
		inspect(t, dataDir, o, bucket, unanswered, seen)
		if err := auditor.left(t); err != nil {
			t.Fatalf("kill %d: %v", round+1, err)
		}
	}
	t.Logf("%d kills, %d acknowledged", n, book.count())

	r := startRelay(t, listen, config)
	r.settle(t, 2*time.Minute)
	all := func(string) bool { return true }
	lost := book.compare(t, "archive", objects(t, filepath.Join(bucket, "archive")), all)
	lost += book.compare(t, "rotations", objects(t, filepath.Join(bucket, "rotations")),
		func(action string) bool { return action == "rotated" })
	lost += book.compare(t, "files", objects(t, files), all)
	if lost > 0 {
		t.Errorf("%d acknowledged events are lost", lost)
	}
	if err := auditor.whole(t, r); err != nil {
		t.Error(err)
	}
	return seen
}

// load lets producers send until enough is acknowledged, and kills the program at a random
// moment afterwards. It returns the unanswered events.
func load(t *testing.T, r *relay, book *ledger, seed uint64, random *rand.Rand) (unanswered []string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: producers}}
	defer client.CloseIdleConnections()
	before := book.count()
	enough := make(chan struct{})
	var once sync.Once
	var mu sync.Mutex
	var wg sync.WaitGroup
	for p := range producers {
		wg.Go(func() {
			g := corpus.New(seed<<16 + uint64(p))
			for ctx.Err() == nil {
				batch := make([][]byte, 1+p%4)
				for i := range batch {
					batch[i] = g.Next().Data
				}
				book.send(batch)
				ids, err := r.post(ctx, client, batch)
				if err != nil {
					mu.Lock()
					for _, e := range batch {
						unanswered = append(unanswered, gjson.GetBytes(e, "id").Str)
					}
					mu.Unlock()
					return
				}
				if err := book.acknowledge(ids); err != nil {
					t.Errorf("log acknowledgements: %v", err)
					return
				}
				if book.count()-before >= acksPerRound {
					once.Do(func() { close(enough) })
				}
			}
		})
	}
	select {
	case <-enough:
	case <-time.After(time.Minute):
		t.Errorf("fewer than %d acknowledgements in a minute", acksPerRound)
	}
	time.Sleep(time.Duration(20+random.IntN(780)) * time.Millisecond) // the moment of the kill
	r.kill()
	cancel()
	wg.Wait()
	return unanswered
}

// The place of a kill, derived from what it left.
const (
	atAppend   = "in append: durable, and its producer never heard"
	atSeal     = "before seal: accepted, and beyond the cursor"
	atDelivery = "in delivery: sealed, and not at the destination"
	atOutcome  = "in cursor commit: at the destination, and its outcome not recorded"
)

// inspect opens the data of the killed program and reports the place of the kill.
func inspect(t *testing.T, dataDir string, o journal.Options, bucket string, unanswered []string, seen map[string]int) {
	t.Helper()
	j, err := journal.Open(filepath.Join(dataDir, "journal"), o)
	if err != nil {
		t.Fatalf("open the journal after a kill: %v", err)
	}
	defer j.Close()
	for _, id := range unanswered {
		if found, err := j.Lookups("litellm", []string{id}, true); err != nil {
			t.Fatal(err)
		} else if found[0] > 0 {
			seen[atAppend]++
			break
		}
	}
	for _, name := range []string{"archive", "rotations"} {
		state, err := delivery.LoadState(j, name)
		if err != nil || state == nil {
			t.Fatalf("state of %s after a kill: %v", name, err)
		}
		if state.Cursor < j.Head().Next {
			seen[atSeal]++
		}
		from, to := journal.AllOf(journal.KindPayload, state.ID, 0)
		err = j.Scan(from, to, func(_ journal.Key, value []byte) error {
			key := gjson.GetBytes(value, "key").Str
			if _, err := os.Stat(filepath.Join(bucket, key)); err == nil {
				seen[atOutcome]++
			} else {
				seen[atDelivery]++
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func s3Options(g *s3test.Server) string {
	return fmt.Sprintf("endpoint: %q, region: %s, addressing: path, credentials: {access_key_id: %s, secret_access_key: %s}",
		g.Endpoint, s3test.Region, s3test.AccessKey, g.SecretKey)
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
