package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// rounds is the number of runs of each row of the sink-hole's table, in turns.
const rounds = 3

// sinkRow is one sink of one system.
type sinkRow struct {
	name  string
	make  func(dir string) (*system, error)
	ours  bool
	base  int  // the row without a sink
	floor bool // a row without a sink
	way   bool // a whole way: requests of 100 events, one in ten dropped

	rate, cpu []float64 // events per second; us per event
}

// sinkHoles measures each sink whose row matches wanted against a local sink-hole, beside the
// rows without a sink. postgres is the URL of a database; without it that sink has no row.
func sinkHoles(dir, ours, peer string, n int, wanted *regexp.Regexp, postgres string) error {
	h, err := newHole(dir)
	if err != nil {
		return err
	}
	defer h.close()
	rows := h.rows(ours, peer, postgres)
	rows = slices.DeleteFunc(rows, func(r *sinkRow) bool { return !r.floor && !wanted.MatchString(r.name) })
	for round := range rounds {
		for i, r := range rows {
			at := filepath.Join(dir, fmt.Sprintf("hole-%d-%d", round, i))
			if err := r.measure(at, n); err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
			if err := os.RemoveAll(at); err != nil {
				return err
			}
		}
	}
	fmt.Printf("\nSinks against a sink-hole on this machine, %d events, medians of %d runs in turns\n\n", n, rounds)
	fmt.Println("| | events/s | CPU an event, us | of it the sink's |\n|---|---|---|---|")
	for _, r := range rows {
		own := "-"
		if !r.floor && !r.way {
			own = fmt.Sprintf("%.1f", middle(r.cpu)-middle(rows[r.base].cpu))
		}
		fmt.Printf("| %s | %.0f (%.0f to %.0f) | %.1f (%.1f to %.1f) | %s |\n", r.name, middle(r.rate), slices.Min(r.rate), slices.Max(r.rate),
			middle(r.cpu), slices.Min(r.cpu), slices.Max(r.cpu), own)
	}
	return nil
}

func middle(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// relayTo returns auditrelay with one callback and no filters.
func relayTo(program, dir, sink string) (*system, error) {
	if sink == "" {
		return relayWith(program, dir, "callbacks: []\n")
	}
	return relayWith(program, dir, fmt.Sprintf("callbacks:\n  - {name: c, sink: {%s}}\n", sink))
}

func relayWith(program, dir, callbacks string) (*system, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	s := &system{name: "auditrelay", program: program, events: "http://" + address + "/v1/events", ready: "http://" + address + "/readyz",
		account: "http://" + address + "/v1/callbacks/"}
	config := filepath.Join(dir, "auditrelay.yaml")
	s.args = []string{"serve", "--config", config, "--listen", address}
	callbacks = strings.ReplaceAll(callbacks, "out/", dir+"/out/")
	return s, os.WriteFile(config, fmt.Appendf(nil, "data_dir: %s/data\njournal: {reserve: 0}\n%s", dir, callbacks), 0o600)
}

// benthosTo returns Benthos with one output. It answers once the output has the events.
func benthosTo(program, dir, output string) (*system, error) {
	return benthosWith(program, dir, fmt.Sprintf("output: {%s}\n", output))
}

func benthosWith(program, dir, pipeline string) (*system, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	s := &system{name: "Benthos", program: program, events: "http://" + address + "/post", ready: "http://" + address + "/ready"}
	config := filepath.Join(dir, "benthos.yaml")
	s.args = []string{"run", config}
	return s, os.WriteFile(config, fmt.Appendf(nil, `
http: {enabled: true, address: %q}
logger: {level: ERROR}
input:
  http_server: {path: /post, timeout: 60s}
  processors: [{unarchive: {format: lines}}]
%s`, address, strings.ReplaceAll(pipeline, "DIR", dir)), 0o600)
}

// measure sends n events in requests of 1,000, eight at a time, and waits until all are
// delivered.
func (r *sinkRow) measure(dir string, n int) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	s, err := r.make(dir)
	if err != nil {
		return err
	}
	if err := s.start(); err != nil {
		return err
	}
	per, expected := 1000, n
	if r.way {
		per, expected = 100, n-n/10
	}
	bodies := make(chan []byte, n/per+1)
	for at := 0; at < n; at += per {
		var body bytes.Buffer
		for i := at; i < min(at+per, n); i++ {
			data := event(i)
			if r.way && i%10 == 9 {
				data = bytes.Replace(data, []byte(`"action":"updated"`), []byte(`"action":"blocked"`), 1)
			}
			body.Write(append(data, '\n'))
		}
		bodies <- bytes.TrimSuffix(body.Bytes(), []byte("\n"))
	}
	close(bodies)
	begun := time.Now()
	failed := make(chan error, 8)
	for range cap(failed) {
		go func() {
			for body := range bodies {
				answer, err := http.Post(s.events, "application/x-ndjson", bytes.NewReader(body))
				if err == nil {
					answer.Body.Close()
					if answer.StatusCode/100 != 2 {
						err = fmt.Errorf("status %d", answer.StatusCode)
					}
				}
				if err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
	}
	for range cap(failed) {
		if err := <-failed; err != nil {
			s.kill()
			return fmt.Errorf("send: %w: %.1000s", err, s.log.String())
		}
	}
	if r.ours && !r.floor {
		if err := s.delivered("c", expected); err != nil {
			s.kill()
			return err
		}
	}
	took := time.Since(begun)
	s.stop()
	if r.way {
		if err := wholeWay(dir, r.ours, expected); err != nil {
			return err
		}
	}
	r.rate = append(r.rate, float64(n)/took.Seconds())
	r.cpu = append(r.cpu, float64(s.cpu.Microseconds())/float64(n))
	return nil
}

// wholeWay checks the output file of a whole way.
func wholeWay(dir string, ours bool, expected int) error {
	name := filepath.Join(dir, "audit.ndjson")
	if ours {
		name = filepath.Join(dir, "out", "audit.ndjson")
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	came := 0
	for line := range bytes.Lines(text) {
		if !bytes.Contains(line, []byte(`"id":"event-`)) {
			continue // one of the relay's own records
		}
		came++
		if !bytes.Contains(line, []byte(`"changed_by_api_key":"***"`)) || bytes.Contains(line, []byte("password")) || bytes.Contains(line, []byte(`"blocked"`)) {
			return fmt.Errorf("an event came out that should not, or not so: %s", line)
		}
	}
	if came != expected {
		return fmt.Errorf("%d events came out, of %d", came, expected)
	}
	return nil
}

// delivered waits until a callback has delivered n events.
func (s *system) delivered(callback string, n int) error {
	for deadline := time.Now().Add(5 * time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		answer, err := http.Get(s.account + callback)
		if err != nil {
			return err
		}
		var status struct {
			Account struct{ Delivered int } `json:"account"`
		}
		err = json.NewDecoder(answer.Body).Decode(&status)
		answer.Body.Close()
		if err != nil {
			return err
		}
		if status.Account.Delivered >= n {
			return nil
		}
	}
	return fmt.Errorf("%d events are not delivered after five minutes", n)
}
