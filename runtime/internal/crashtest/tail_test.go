package crashtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"auditrelay/internal/test/pgtest"
	"auditrelay/runtime/internal/journal"
)

// tailed is a relay that tails one of LiteLLM's tables.
type tailed struct {
	*relay
	pg             *pgtest.Server
	db             *pgtest.Conn
	dir            string
	listen, config string
	live           int
}

// tailTable creates a table with rows, and the configuration to tail it.
func tailTable(t *testing.T, rows int, postgres string) *tailed {
	t.Helper()
	x := &tailed{pg: pgtest.Start(t), dir: t.TempDir(), listen: address(t)}
	x.db = x.pg.Connect(t, "owner", "postgres")
	x.db.Exec(pgtest.Table + `; CREATE ROLE reader LOGIN; GRANT SELECT ON "LiteLLM_AuditLog" TO reader`)
	x.db.Exec(fmt.Sprintf(`INSERT INTO "LiteLLM_AuditLog" SELECT gen_random_uuid(), '2026-01-01'::timestamp + i * interval '1 s', 'user-' || i %% 100,
		md5(i::text) || md5(i::text), 'updated', 'LiteLLM_TeamTable', 'team-' || i %% 1000,
		jsonb_build_object('team_alias', 'blue', 'max_budget', i, 'models', jsonb_build_array('gpt-5', 'claude'), 'metadata', jsonb_build_object('note', repeat(md5(i::text), 4))),
		jsonb_build_object('team_alias', 'green', 'max_budget', i + 1, 'models', jsonb_build_array('gpt-5'), 'members_with_roles', jsonb_build_array(jsonb_build_object('role', 'admin', 'user_id', md5(i::text))))
		FROM generate_series(1, %d) i`, rows))
	x.config = filepath.Join(x.dir, "auditrelay.yaml")
	write(t, x.config, fmt.Sprintf(`
data_dir: %s
ingest: {postgres: {url: %q, %s}}
callbacks:
  - name: files
    sink: {file: {path: %s}}
    from: beginning
`, filepath.Join(x.dir, "data"), x.pg.URL("reader", "postgres"), postgres, filepath.Join(x.dir, "files", "events.ndjson")))
	return x
}

// insert commits a row.
func (x *tailed) insert() {
	x.live++
	x.db.Exec(fmt.Sprintf(`INSERT INTO "LiteLLM_AuditLog" (id, action, table_name, object_id) VALUES ('live-%d', 'created', 't', 'o')`, x.live))
}

// tailStatus is the part of a tailing source's status used by this test.
type tailStatus struct {
	State    string    `json:"state"`
	Error    string    `json:"error"`
	Complete time.Time `json:"complete"`
	Backfill *struct {
		Rows uint64 `json:"rows"`
		Of   uint64 `json:"of"`
	} `json:"backfill"`
}

// status returns the status of the source that tails the table.
func (x *tailed) status(t *testing.T) tailStatus {
	t.Helper()
	resp, err := http.Get(x.url + "/v1/sources")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var sources []struct {
		Tail *tailStatus `json:"tail"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&sources); err != nil {
		t.Fatal(err)
	}
	for _, s := range sources {
		if s.Tail != nil {
			return *s.Tail
		}
	}
	return tailStatus{}
}

// onceEach compares the table with the stored events of the killed relay.
func (x *tailed) onceEach(t *testing.T) {
	t.Helper()
	storedOnce(t, x.dir, x.db.Exec(`SELECT id FROM "LiteLLM_AuditLog"`))
}

// storedOnce compares the ids of a producer's events with the stored events of a killed relay
// in dir.
func storedOnce(t *testing.T, dir string, ids []string) {
	t.Helper()
	j, err := journal.Open(filepath.Join(dir, "data", "journal"), journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	stored := map[string]int{}
	for at := j.Oldest(); at < j.Head().Next; {
		events, next, err := j.Read(at, 1000, 8<<20)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if e.Namespace == "litellm" {
				stored[e.ID]++
			}
		}
		at = next
	}
	wrong := 0
	for _, id := range ids {
		if stored[id] != 1 {
			wrong++
		}
		delete(stored, id)
	}
	if wrong > 0 || len(stored) > 0 {
		t.Errorf("%d of %d events are not stored once, %d are of no producer", wrong, len(ids), len(stored))
	}
}

// cpu returns the CPU time of the relay.
func (x *tailed) cpu(t *testing.T) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", x.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	user, err := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}

// TestKillWhileTailing kills the program at random moments while it reads existing rows of a
// table and follows new ones.
func TestKillWhileTailing(t *testing.T) {
	n := min(rounds(t, 5), 20)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	x := tailTable(t, 30_000, "poll: 10ms, rate: 15000, batch: 500")
	held := x.pg.Connect(t, "owner", "postgres")
	held.Exec(`BEGIN; INSERT INTO "LiteLLM_AuditLog" (id, action, table_name, object_id) VALUES ('held', 'created', 't', 'o')`)
	past := 0
	for i := range n {
		x.relay = startRelay(t, x.listen, x.config)
		if x.status(t).State != "following" {
			past++
		}
		for range 20 {
			x.insert()
		}
		if i == n/2 {
			held.Exec("COMMIT")
		}
		select {
		case <-time.After(time.Duration(random.IntN(400)) * time.Millisecond):
		case <-x.done:
			t.Fatalf("the program ended:\n%s", x.log)
		}
		x.kill()
	}
	x.relay = startRelay(t, x.listen, x.config)
	begun := time.Now()
	x.eventually(t, time.Minute, "a look at all", func() (bool, string) {
		s := x.status(t)
		return s.State == "following" && s.Complete.After(begun), fmt.Sprintf("%+v", s)
	})
	x.kill()
	x.onceEach(t)
	t.Logf("%d of %d kills while the past was read", past, n)
	if past == 0 {
		t.Error("no kill came while the past was read: nothing is tested")
	}
}

// TestWhatTheTableLoses: the outages of TestWhatLiteLLMLoses while LiteLLM writes to its table.
// No row is lost.
func TestWhatTheTableLoses(t *testing.T) {
	x := tailTable(t, 10, "poll: 10ms")
	for _, o := range outages() {
		x.relay = startRelay(t, x.listen, x.config)
		before := x.live
		x.insertFor(600 * time.Millisecond)
		down := time.Now()
		if err := x.cmd.Process.Signal(o.signal); err != nil {
			t.Fatal(err)
		}
		gone := x.done
		for ended := false; !ended; {
			x.insertFor(logEvery)
			select {
			case <-gone:
				ended = true
			default:
			}
		}
		x.insertFor(o.away + logEvery)
		x.relay = spawnRelay(t, x.listen, x.config)
		x.insertFor(200 * time.Millisecond)
		x.ready(t)
		x.insertFor(200 * time.Millisecond)
		t.Logf("%s: %d rows, the relay was gone for some %v", o.name, x.live-before, time.Since(down).Round(time.Millisecond))
		begun := time.Now()
		x.eventually(t, time.Minute, "a look at all", func() (bool, string) {
			s := x.status(t)
			return s.State == "following" && s.Complete.After(begun), fmt.Sprintf("%+v", s)
		})
		x.kill()
		x.onceEach(t)
	}
}

// insertFor commits a row every 10 ms.
func (x *tailed) insertFor(long time.Duration) {
	tick := time.NewTicker(logEvery)
	defer tick.Stop()
	for end := time.Now().Add(long); time.Now().Before(end); <-tick.C {
		x.insert()
	}
}

// TestBackfill reads a million rows while others are added, and reports speed and memory. It
// runs only with AUDITRELAY_SOAK; a number above 1 is the number of rows.
func TestBackfill(t *testing.T) {
	soak := os.Getenv("AUDITRELAY_SOAK")
	if soak == "" {
		t.Skip("AUDITRELAY_SOAK is not set")
	}
	rows := 1_000_000
	if n, err := strconv.Atoi(soak); err == nil && n > 1 {
		rows = n
	}
	x := tailTable(t, rows, "rate: 1000000")
	t.Logf("the table has %s", x.db.Exec(`SELECT pg_size_pretty(pg_table_size('"LiteLLM_AuditLog"'))`)[0])
	begun := time.Now()
	x.relay = startRelay(t, x.listen, x.config)
	x.eventually(t, 15*time.Minute, "the past", func() (bool, string) {
		x.insert()
		s := x.status(t)
		return s.State == "following", fmt.Sprintf("%+v", s.Backfill)
	})
	took := time.Since(begun)
	t.Logf("%d rows in %s: %.0f a second, with %d more inserted meanwhile; %d MiB resident at the peak",
		rows, took.Round(time.Millisecond), float64(rows)/took.Seconds(), x.live, x.memory(t, "VmHWM")>>20)
	t.Logf("%s of CPU time in the relay, its deliveries included: %.0f rows a second of one CPU", x.cpu(t), float64(rows)/x.cpu(t).Seconds())
	now := time.Now()
	x.eventually(t, time.Minute, "a look at all", func() (bool, string) {
		s := x.status(t)
		return s.Complete.After(now), fmt.Sprintf("%+v", s)
	})
	x.kill()
	x.onceEach(t)
}
