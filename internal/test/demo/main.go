// Demo runs the main use of auditrelay with the real binary on embedded defaults. Generated
// LiteLLM audit events pass a redacting guest (Go) and a dropping guest (C) and arrive in
// files. It ends with an error if the delivered data contains a secret that the redacting guest
// names, or if an account does not balance.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"auditrelay/internal/test/corpus"
)

func main() {
	d := demo{}
	flag.StringVar(&d.binary, "binary", "bin/auditrelay", "the program")
	flag.StringVar(&d.dir, "dir", "demo-data", "where the demo keeps its files; emptied at the start")
	flag.IntVar(&d.events, "events", 5000, "how many events to send")
	flag.Uint64Var(&d.seed, "seed", 1, "the seed of the generated events")
	flag.StringVar(&d.redactor, "redactor", "testdata/wasm/redact-go/redact-go.wasm", "the redacting guest")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := d.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

type demo struct {
	binary, dir, redactor string
	events                int
	seed                  uint64

	url     string
	before  map[string][]byte // events by id
	planted corpus.Secrets
}

func (d *demo) run(ctx context.Context) error {
	if err := os.RemoveAll(d.dir); err != nil {
		return err
	}
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return err
	}
	kinds := named()
	input, err := d.generate(kinds)
	if err != nil {
		return err
	}
	fmt.Printf("Generated %d LiteLLM audit events (seed %d) in %s, with %d secrets planted in %d kinds of place:\n", d.events, d.seed, input, d.planted.Len(), len(kinds))
	for _, k := range kinds {
		fmt.Printf("  %-20s %s\n", k.Name, k.Description)
	}

	config, err := d.configure()
	if err != nil {
		return err
	}
	stop, err := d.serve(ctx, config)
	if err != nil {
		return err
	}
	defer stop()
	fmt.Printf("\nStarted the relay with %s. Sending.\n", config)
	begin := time.Now()
	send := exec.CommandContext(ctx, d.binary, "send", input, "--server", d.url)
	if out, err := send.CombinedOutput(); err != nil {
		return fmt.Errorf("send: %w\n%s", err, out)
	}
	sent := time.Since(begin)
	accounts, err := d.settle(ctx)
	if err != nil {
		return err
	}
	settled := time.Since(begin)
	fmt.Printf("Accepted %d events in %s (%.0f events/s); every outcome settled after %s (%.0f events/s).\n\n",
		d.events, sent.Round(time.Millisecond), float64(d.events)/sent.Seconds(), settled.Round(time.Millisecond), float64(d.events)/settled.Seconds())

	list := exec.CommandContext(ctx, d.binary, "callbacks", "--server", d.url)
	list.Stdout, list.Stderr = os.Stdout, os.Stderr
	if err := list.Run(); err != nil {
		return fmt.Errorf("callbacks: %w", err)
	}
	return d.verdict(accounts)
}

// named returns the kinds of place whose field or name the redacting guest knows.
func named() []corpus.Kind {
	var kinds []corpus.Kind
	for _, k := range corpus.Kinds() {
		if k.By != corpus.ByValue && !k.Opaque {
			kinds = append(kinds, k)
		}
	}
	return kinds
}

func (d *demo) generate(kinds []corpus.Kind) (string, error) {
	g := corpus.New(d.seed)
	g.Plant(4, kinds...)
	d.before = map[string][]byte{}
	var ndjson bytes.Buffer
	for range d.events {
		e := g.Next()
		d.planted.Add(e.Planted...)
		ndjson.Write(e.Data)
		ndjson.WriteByte('\n')
		d.before[idOf(e.Data)] = e.Data
	}
	path := filepath.Join(d.dir, "events.ndjson")
	return path, os.WriteFile(path, ndjson.Bytes(), 0o600)
}

func idOf(event []byte) string {
	var e struct {
		ID string `json:"id"`
	}
	_ = json.Unmarshal(event, &e)
	return e.ID
}

func (d *demo) configure() (string, error) {
	modules, err := filepath.Abs("testdata/wasm")
	if err != nil {
		return "", err
	}
	redactor, err := filepath.Abs(d.redactor)
	if err != nil {
		return "", err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	d.url = "http://" + l.Addr().String()
	l.Close()
	text := fmt.Sprintf(`# The configuration of the demo.
listen: %s
data_dir: data
keys:
  pseudonyms: demo-key-not-for-production
filters:
  redact: {wasm: %s, grants: {write: ["**"], keys: [pseudonyms]}}
  no-caches: {wasm: %s, config: {tables: [LiteLLM_CacheConfig], actions: [created]}}
callbacks:
  - name: archive
    filters: [redact]
    sink: {file: {path: delivered/archive/events.ndjson}}
  - name: changes
    filters: [no-caches, redact]
    sink: {file: {path: delivered/changes/events.ndjson}}
  - name: security
    when: {action: [deleted, blocked, rotated]}
    filters: [redact]
    sink: {file: {path: delivered/security/events.ndjson}}
`, strings.TrimPrefix(d.url, "http://"), redactor, filepath.Join(modules, "drop-c", "drop-c.wasm"))
	path := filepath.Join(d.dir, "auditrelay.yaml")
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// serve starts the relay and waits until it accepts events.
func (d *demo) serve(ctx context.Context, config string) (stop func(), err error) {
	log, err := os.Create(filepath.Join(d.dir, "relay.log"))
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(d.binary, "serve", "--config", config)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	gone := make(chan error, 1)
	go func() { gone <- cmd.Wait() }()
	stop = func() {
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case failure := <-gone:
			if failure != nil {
				fmt.Fprintln(os.Stderr, "the relay ended with:", failure)
			}
		case <-time.After(30 * time.Second):
			cmd.Process.Kill()
		}
		log.Close()
	}
	for {
		resp, err := http.Get(d.url + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return stop, nil
			}
		}
		select {
		case err := <-gone:
			gone <- err
			text, _ := os.ReadFile(log.Name())
			return nil, fmt.Errorf("the relay ended while starting: %w\n%s", err, text)
		case <-ctx.Done():
			stop()
			return nil, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

type account struct {
	Name    string `json:"name"`
	Account struct {
		Assigned, Delivered, Filtered, Discarded, Skipped, Pending uint64
		DeadLettered                                               uint64 `json:"dead_lettered"`
		Balanced                                                   bool
	} `json:"account"`
	InFlight int `json:"in_flight"`
}

// settle waits until every event has an outcome on every callback.
func (d *demo) settle(ctx context.Context) ([]account, error) {
	for {
		resp, err := http.Get(d.url + "/v1/callbacks")
		if err != nil {
			return nil, err
		}
		var accounts []account
		err = json.NewDecoder(resp.Body).Decode(&accounts)
		resp.Body.Close()
		if err != nil {
			return nil, fmt.Errorf("list callbacks: %w", err)
		}
		pending := uint64(0)
		for _, c := range accounts {
			pending += c.Account.Pending + uint64(c.InFlight)
		}
		if pending == 0 {
			return accounts, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%d outcomes were still pending: %w", pending, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// verdict prints the result and reports whether it is good.
func (d *demo) verdict(accounts []account) error {
	var problems []error
	if len(accounts) == 0 {
		problems = append(problems, errors.New("the relay has no callbacks"))
	}
	for _, a := range accounts {
		if !a.Account.Balanced || a.Account.DeadLettered > 0 || a.Account.Delivered == 0 {
			problems = append(problems, fmt.Errorf("the account of %s is not as it should be: %+v", a.Name, a.Account))
		}
	}
	root := filepath.Join(d.dir, "delivered")
	fmt.Printf("\nDelivered files:\n")
	found, records := 0, 0
	after := map[string][]byte{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		fmt.Printf("  %s (%d bytes)\n", path, len(data))
		for _, hit := range corpus.Search(data, &d.planted) {
			found++
			fmt.Printf("    LEAKED: %s, found %s at %d\n", hit.Plant.Path, hit.Form, hit.Offset)
		}
		for line := range bytes.Lines(data) {
			if id := idOf(line); id != "" && d.before[id] != nil {
				records++
				after[id] = bytes.TrimSpace(line)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	d.samples(after)
	fmt.Printf("\nSearched %d delivered records for %d planted secrets, raw, unescaped and decompressed: %d found.\n", records, d.planted.Len(), found)
	if found > 0 {
		problems = append(problems, fmt.Errorf("%d planted secrets were delivered", found))
	}
	if records == 0 {
		problems = append(problems, errors.New("nothing was delivered"))
	}
	if len(problems) == 0 {
		fmt.Println("Every account balances. The data directory and the log of the relay are in", d.dir)
	}
	return errors.Join(problems...)
}
