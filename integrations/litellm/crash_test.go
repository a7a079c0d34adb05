package litellm

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is the time limit for things that take no time unless the machine is busy.
const patience = 20 * time.Second

func spoolFolder(t *testing.T) string { return filepath.Join(t.TempDir(), "spool") }

// An acknowledged event arrives once, and nothing of it stays in the spool.
func TestEventsArrive(t *testing.T) {
	r := newRelay(t, "")
	r.start(t)
	s := setup{relay: r.url(), spool: spoolFolder(t)}
	p := startProducer(t, s)
	p.do(command{"op": "log", "prefix": "async", "count": 300, "tasks": 32})
	p.do(command{"op": "sync", "prefix": "sync", "count": 20})
	p.drained()
	if n := lost(t, p.acknowledged(), r.delivered(t, "")); n > 0 || p.count() != 320 {
		t.Errorf("%d of %d events are lost", n, p.count())
	}
	eventually(t, "no delivered event lying in the spool", func() (bool, string) { return spooled(t, s.spool) == 0, "" })
	p.exit()
	if left, err := os.ReadDir(s.spool); err != nil || len(left) > 0 {
		t.Errorf("the spool holds %v, %v", left, err)
	}
}

// The relay is killed while events arrive, and is started again.
func TestRelayKilled(t *testing.T) {
	if n := relayKilled(t, ".", patience); n > 0 {
		t.Errorf("%d acknowledged events are lost", n)
	}
}

func relayKilled(t *testing.T, logs string, patience time.Duration) int {
	r := newRelay(t, "")
	r.start(t)
	p := startProducer(t, setup{relay: r.url(), spool: spoolFolder(t), logs: logs})
	p.do(command{"op": "background", "prefix": "e", "count": 1_000_000, "tasks": 16, "pause": 0.005})
	more := func(n int) {
		before := p.count()
		p.await("more events", func() bool { return len(p.acked) >= before+n })
	}
	for range 3 {
		more(150)
		r.kill()
		// Wait for several failed attempts.
		before, _ := p.stat("failed_tries").(float64)
		eventually(t, "tries in vain", func() (bool, string) {
			tries, _ := p.stat("failed_tries").(float64)
			return tries >= before+4, p.log.String()
		})
		more(50)
		r.start(t)
	}
	p.do(command{"op": "stop"})
	within(patience, "an empty spool", t.Logf, func() (bool, string) { return p.stat("pending_bytes") == 0.0, "" })
	return lost(t, p.acknowledged(), r.delivered(t, ""))
}

// The outages of the table in docs/operators/litellm.md: the hook continues to accept events, and
// all of them arrive.
func TestRelayAway(t *testing.T) {
	outages := []struct {
		name   string
		signal os.Signal
		away   time.Duration
	}{
		{"a restart", syscall.SIGTERM, 0},
		{"a kill and a start", syscall.SIGKILL, 0},
		{"2 s away", syscall.SIGKILL, 2 * time.Second},
	}
	if os.Getenv("AUDITRELAY_SOAK") != "" {
		outages = append(outages, outages[0])
		outages[3].name, outages[3].away = "30 s away", 30*time.Second
	}
	r := newRelay(t, "")
	r.start(t)
	p := startProducer(t, setup{relay: r.url(), spool: spoolFolder(t)})
	p.do(command{"op": "background", "prefix": "e", "count": 1_000_000, "tasks": 4, "pause": 0.02})
	for _, o := range outages {
		before := p.count()
		p.await("events", func() bool { return len(p.acked) >= before+30 })
		if err := r.cmd.Process.Signal(o.signal); err != nil {
			t.Fatal(err)
		}
		<-r.done
		time.Sleep(o.away) // the outage that is measured
		r.start(t)
		t.Logf("%s: %d events so far", o.name, p.count())
	}
	p.do(command{"op": "stop"})
	within(patience, "an empty spool", t.Logf, func() (bool, string) { return p.stat("pending_bytes") == 0.0, "" })
	if n := lost(t, p.acknowledged(), r.delivered(t, "")); n > 0 {
		t.Errorf("%d of %d acknowledged events are lost", n, p.count())
	}
}

// LiteLLM is killed while events arrive, and is started again. In the second round the relay is
// killed too. In the third the relay is not running, so all events are in the spool.
func TestLiteLLMKilled(t *testing.T) {
	if n := liteLLMKilled(t, ".", patience); n > 0 {
		t.Errorf("%d acknowledged events are lost", n)
	}
}

func liteLLMKilled(t *testing.T, logs string, patience time.Duration) int {
	r := newRelay(t, "")
	s := setup{relay: r.url(), spool: spoolFolder(t), logs: logs}
	acked := map[string]bool{}
	for round, prefix := range []string{"a", "b", "c", "d"} {
		if round == 0 || round == 3 {
			r.start(t)
		}
		p := startProducer(t, s)
		p.send(command{"op": "background", "prefix": prefix, "count": 5000, "tasks": 16})
		p.await("events", func() bool { return len(p.acked) >= 200+50*round })
		if round == 1 {
			r.kill()
			p.await("events while it is down", func() bool { return len(p.acked) >= 600 })
		}
		p.kill()
		maps.Copy(acked, p.acknowledged())
	}
	p := startProducer(t, s) // it logs nothing; at its start it sends the events that others left
	within(patience, "an empty spool", t.Logf, func() (bool, string) { return spooled(t, s.spool) == 0, p.log.String() })
	return lost(t, acked, r.delivered(t, ""))
}

// After a power loss, the spool contains the synced data. That is enough.
func TestPowerLoss(t *testing.T) {
	if n := powerLoss(t, ".", patience); n > 0 {
		t.Errorf("%d acknowledged events are lost", n)
	}
}

func powerLoss(t *testing.T, logs string, patience time.Duration) int {
	r := newRelay(t, "")
	s := setup{relay: r.url(), spool: spoolFolder(t), logs: logs, env: []string{"SHADOW=1"}}
	p := startProducer(t, s)
	p.send(command{"op": "background", "prefix": "e", "count": 100000, "tasks": 16})
	p.await("events", func() bool { return len(p.acked) >= 300 })
	acked := p.acknowledged()
	image := filepath.Join(t.TempDir(), "image")
	p.do(command{"op": "image", "to": image})
	p.kill()

	r.start(t)
	again := startProducer(t, setup{relay: r.url(), spool: image, logs: logs})
	within(patience, "an empty spool", t.Logf, func() (bool, string) { return spooledAnyMode(image) == 0, again.log.String() })
	return lost(t, acked, r.delivered(t, ""))
}

func spooledAnyMode(spool string) (n int) {
	files, _ := filepath.Glob(filepath.Join(spool, "worker-*", "*.events"))
	return len(files)
}

// Two workers share one spool. If one is killed, the other sends its events.
func TestWorkersAdopt(t *testing.T) {
	r := newRelay(t, "")
	s := setup{relay: r.url(), spool: spoolFolder(t)}
	one, two := startProducer(t, s), startProducer(t, s)
	one.do(command{"op": "log", "prefix": "one", "count": 50})
	two.do(command{"op": "log", "prefix": "two", "count": 50})
	one.kill()
	r.start(t)
	eventually(t, "both workers' events sent by the one that lives", func() (bool, string) {
		return spooled(t, s.spool) == 0, two.log.String()
	})
	acked := one.acknowledged()
	maps.Copy(acked, two.acknowledged())
	if n := lost(t, acked, r.delivered(t, "")); n > 0 || len(acked) != 100 {
		t.Errorf("%d of %d events are lost", n, len(acked))
	}
	two.exit()
	if left, err := os.ReadDir(s.spool); err != nil || len(left) > 0 {
		t.Errorf("the spool holds %v, %v", left, err)
	}
}

// A process forks after it has logged. Each side has its own threads and directory, and the
// parent's events are sent after its end even if the child still runs.
func TestFork(t *testing.T) {
	r := newRelay(t, "")
	s := setup{relay: r.url(), spool: spoolFolder(t)}
	p := startProducer(t, s)
	p.do(command{"op": "log", "prefix": "before", "count": 10})
	p.do(command{"op": "fork", "prefix": "child", "count": 10})
	p.do(command{"op": "log", "prefix": "after", "count": 10})
	r.start(t)
	p.do(command{"op": "fork", "prefix": "drained", "count": 10, "close": true})
	eventually(t, "all events sent", func() (bool, string) { return spooled(t, s.spool) == 0, p.log.String() })
	if n := lost(t, p.acknowledged(), r.delivered(t, "")); n > 0 || p.count() != 40 {
		t.Errorf("%d of %d events are lost; refused: %v", n, p.count(), p.refused())
	}
}

// At its end, the process sends the remaining events.
func TestDrainAtExit(t *testing.T) {
	r := newRelay(t, "")
	r.start(t)
	s := setup{relay: r.url(), spool: spoolFolder(t)}
	p := startProducer(t, s)
	p.do(command{"op": "log", "prefix": "e", "count": 500, "tasks": 64})
	p.exit()
	if n := lost(t, p.acknowledged(), r.delivered(t, "")); n > 0 || p.count() != 500 {
		t.Errorf("%d of %d events were not sent before the end", n, p.count())
	}
	if n := spooled(t, s.spool); n > 0 {
		t.Errorf("%d bytes are left in the spool", n)
	}
}

// Without a relay, the process ends within the deadline. The next start sends the remaining events.
func TestDrainIsBounded(t *testing.T) {
	r := newRelay(t, "")
	s := setup{relay: r.url(), spool: spoolFolder(t), env: []string{"AUDITRELAY_DRAIN=0.5"}}
	p := startProducer(t, s)
	p.do(command{"op": "log", "prefix": "e", "count": 20})
	if took := p.exit(); took > 5*time.Second {
		t.Errorf("the end took %s", took)
	}
	if !strings.Contains(p.log.String(), "stay in the spool for the next start") {
		t.Errorf("the log does not say what is left:\n%s", p.log)
	}
	r.start(t)
	again := startProducer(t, s)
	eventually(t, "what was left being sent", func() (bool, string) { return spooled(t, s.spool) == 0, again.log.String() })
	if n := lost(t, p.acknowledged(), r.delivered(t, "")); n > 0 || p.count() != 20 {
		t.Errorf("%d of %d events are lost", n, p.count())
	}
}
