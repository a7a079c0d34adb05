// Versus runs one fault script against auditrelay and against Benthos with the same kind of
// sinks. It reports accepted, lost, doubled and leaked events, and the cost of an event.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"sync/atomic"
	"time"
)

const (
	planted = "planted-4c81" // the beginning of each secret
	poison  = "poison-77"    // marks a record that the destination refuses
	senders = 32
	tries   = 3
	dwell   = 3 * time.Second // how long the destination keeps its state after the last event
)

func main() {
	n := flag.Int("events", 1_800, "events of the fault script")
	only := flag.String("only", "", "run only script, or only sinks")
	wanted := flag.String("rows", "", "a regular expression: of the sinks, measure only these rows")
	postgres := flag.String("postgres", "", "URL of a database, for the sink postgres: without it that is not measured")
	flag.Parse()
	if err := run(*n, *only, *wanted, *postgres); err != nil {
		fmt.Fprintln(os.Stderr, "versus:", err)
		os.Exit(1)
	}
}

func run(n int, only, rows, postgres string) error {
	wanted, err := regexp.Compile(rows)
	if err != nil {
		return fmt.Errorf("-rows: %w", err)
	}
	dir, err := os.MkdirTemp("", "versus-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ours, peer := filepath.Join(dir, "auditrelay"), filepath.Join(dir, "benthos")
	for program, pkg := range map[string]string{ours: "./cmd/auditrelay", peer: "./versus/peer"} {
		build := exec.Command("go", "build", "-o", program, pkg)
		if program == ours {
			build.Dir = ".." // it belongs to another module
		}
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w: %s", pkg, err, out)
		}
	}
	if only != "sinks" {
		if err := scripts(dir, ours, peer, n); err != nil {
			return err
		}
	}
	if only == "script" {
		return nil
	}
	return sinkHoles(dir, ours, peer, 20*n, wanted, postgres)
}

// scripts runs the fault script against each system.
func scripts(dir, ours, peer string, n int) error {
	fmt.Printf("The fault script, %d events of about 0.6 KB, %d senders that try an event %d times\n\n", n, senders, tries)
	fmt.Println("| | accepted | lost | lost of the file | set aside | doubled | leaked | CPU an event, us |\n|---|---|---|---|---|---|---|---|")
	for i, make := range []func(dir, hook string) (*system, error){
		func(dir, hook string) (*system, error) { return relay(ours, dir, hook) },
		func(dir, hook string) (*system, error) { return benthos(peer, dir, hook, "none") },
		func(dir, hook string) (*system, error) { return benthos(peer, dir, hook, "memory") },
	} {
		d := newDestination()
		at := filepath.Join(dir, fmt.Sprint("script", i))
		if err := os.Mkdir(at, 0o700); err != nil {
			return err
		}
		s, err := make(at, d.server.URL)
		if err != nil {
			return err
		}
		if err := script(s, d, n); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		d.server.CloseClientConnections()
		d.server.Close()
	}
	return nil
}

// script is the same for all systems. A sixth of the events is sent while the destination is
// healthy, flaky, dead (with a kill -9 in the middle), refusing poison, showing a log-in page,
// and healthy again.
func script(s *system, d *destination, n int) error {
	if err := s.start(); err != nil {
		return err
	}
	accepted := &sent{ids: map[string]bool{}}
	for i, m := range []mode{healthy, flaky, dead, rejected, login, healthy} {
		d.set(m)
		from, to := n*i/6, n*(i+1)/6
		if m == dead {
			half := (from + to) / 2
			accepted.send(s, from, half)
			s.kill()
			if err := s.start(); err != nil {
				return err
			}
			from = half
		}
		accepted.send(s, from, to)
		time.Sleep(dwell)
	}
	quiet(d)
	aside := s.setAside("hook")
	s.stop()
	tell(s, d, accepted, aside)
	return nil
}

// quiet waits until nothing has arrived for longer than any pause between retries: a
// misconfigured callback of ours retries after a minute.
func quiet(d *destination) {
	last, since := d.arrived(), time.Now()
	for time.Since(since) < 75*time.Second {
		time.Sleep(200 * time.Millisecond)
		if now := d.arrived(); now != last {
			last, since = now, time.Now()
		}
	}
}

func tell(s *system, d *destination, accepted *sent, aside int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	lost, doubled := 0, 0
	inFile, leaked := inFile(s.file)
	lostOfFile := 0
	for id := range accepted.ids {
		if d.seen[id] == 0 {
			lost++
		}
		if !inFile[id] {
			lostOfFile++
		}
	}
	for _, times := range d.seen {
		doubled += times - 1
	}
	for id := range d.leaked {
		leaked[id] = true
	}
	n := len(accepted.ids)
	fmt.Printf("| %s | %d | %d | %d | %d | %d | %d | %.0f |\n", s.name, n, max(0, lost-aside), lostOfFile, aside, doubled, len(leaked),
		float64(s.cpu.Microseconds())/float64(max(1, n)))
}

// inFile returns the ids in a file, and the ids of the events that leaked there.
func inFile(name string) (ids, leaked map[string]bool) {
	ids, leaked = map[string]bool{}, map[string]bool{}
	text, err := os.ReadFile(name)
	if err != nil {
		return ids, leaked
	}
	for line := range bytes.Lines(text) {
		var e struct{ ID string }
		if json.Unmarshal(line, &e) != nil {
			continue
		}
		ids[e.ID] = true
		if bytes.Contains(line, []byte(planted)) {
			leaked[e.ID] = true
		}
	}
	return ids, leaked
}

// sent contains the accepted events: those answered with 2xx.
type sent struct {
	mu  sync.Mutex
	ids map[string]bool
}

// send sends events, one per request, and retries as a sender would.
func (a *sent) send(s *system, from, to int) {
	client := &http.Client{Timeout: 8 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: senders}}
	defer client.CloseIdleConnections()
	var next atomic.Int64
	next.Store(int64(from))
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			for i := int(next.Add(1) - 1); i < to; i = int(next.Add(1) - 1) {
				body := event(i)
				for try := range tries {
					if try > 0 {
						time.Sleep(200 * time.Millisecond)
					}
					answer, err := client.Post(s.events, "application/json", bytes.NewReader(body))
					if err != nil {
						continue
					}
					answer.Body.Close()
					if answer.StatusCode/100 == 2 {
						a.mu.Lock()
						a.ids[idOf(i)] = true
						a.mu.Unlock()
						break
					}
				}
			}
		})
	}
	wg.Wait()
}

func idOf(i int) string { return fmt.Sprintf("event-%07d", i) }

// event returns the event with this number. Each contains a secret, in varying places.
func event(i int) []byte {
	secret := fmt.Sprintf("%s-%07dQz", planted, i)
	var values map[string]any
	switch i % 4 {
	case 0:
		values = map[string]any{"password": secret}
	case 1:
		values = map[string]any{"metadata": map[string]any{"logging": []any{map[string]any{"callback_vars": map[string]any{"langfuse_secret_key": secret}}}}}
	case 2:
		values = map[string]any{"database_url": "postgresql://relay:" + secret + "@db.internal:5432/litellm"}
	case 3:
		values = map[string]any{"litellm_params": map[string]any{"extra_headers": map[string]any{"Authorization": "Bearer " + secret}}}
	}
	if i%100 == 7 {
		values["note"] = poison
	}
	values["models"] = []string{"gpt-4o", "claude-sonnet-4"}
	text, _ := json.Marshal(values)
	data, _ := json.Marshal(map[string]any{
		"id": idOf(i), "updated_at": time.Now().UTC().Format("2006-01-02T15:04:05.000000+00:00"), "changed_by": "user-8f14e45f",
		"changed_by_api_key": "88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b",
		"action":             "updated", "table_name": "LiteLLM_TeamTable", "object_id": "team-9bf31c7ff062936a",
		"before_value": `{"max_budget": 100.0, "models": ["gpt-4o"]}`, "updated_values": string(text),
	})
	return data
}
