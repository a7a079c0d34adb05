package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"auditrelay"
	"auditrelay/bench/floors"
	"auditrelay/builtin/file"
	"auditrelay/internal/test/corpus"
	"auditrelay/runtime"
)

const (
	producers = 64
	perBatch  = 100
)

// acceptGroup measures how many events per second become durable, and how many pass through a
// guest into a file.
func acceptGroup(dir string, n int) error {
	batch := generate(1, n)
	binary, err := build(dir)
	if err != nil {
		return err
	}
	measure := func(name string, fn func(dir string, events [][]byte) (float64, error)) *row {
		return &row{name: name, measure: func(run int) (float64, error) {
			return scratch(dir, fmt.Sprint("run-", run), func(dir string) (float64, error) { return fn(dir, batch) })
		}}
	}
	rows := []*row{
		measure("floors.FsyncLog, 64 producers", floor),
		measure("floors.FsyncLog again (the noise)", floor),
		measure("runtime.Submit, one event a call, 64 producers", submit),
		measure("HTTP, requests of 100, 8 connections", func(dir string, events [][]byte) (float64, error) { return overHTTP(binary, dir, events) }),
		measure("Submit to a file through a Go guest, settled", throughGuest),
	}
	if err := interleave(rows); err != nil {
		return err
	}
	table(fmt.Sprintf("Accepting %d events of 0.9 KB", n), "events/s", rows)
	fmt.Printf("  HTTP is %.2fx of Submit, the way to the file %.2fx of Submit (medians)\n",
		median(rows[3].values)/median(rows[2].values), median(rows[4].values)/median(rows[2].values))
	return nil
}

// generate returns n generated events, about 0.9 KB each, all different.
func generate(seed uint64, n int) [][]byte {
	g := corpus.New(seed)
	out := make([][]byte, n)
	for i := range out {
		out[i] = g.Next().Data
	}
	return out
}

// produce lets producers submit all items, and returns events per second.
func produce(items [][]byte, producers, eventsPerItem int, accept func([]byte) error) (float64, error) {
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	begin := time.Now()
	for range producers {
		wg.Go(func() {
			for {
				i := next.Add(1) - 1
				if i >= int64(len(items)) {
					return
				}
				if err := accept(items[i]); err != nil {
					failed.Store(&err)
					return
				}
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(begin)
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return float64(len(items)*eventsPerItem) / elapsed.Seconds(), nil
}

// floor measures the minimum that a durable log can do.
func floor(dir string, events [][]byte) (float64, error) {
	log, err := floors.CreateFsyncLog(filepath.Join(dir, "floor"))
	if err != nil {
		return 0, err
	}
	defer log.Close()
	return produce(events, producers, 1, log.Append)
}

var quiet = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))

// submit accepts events with validation and the id window, one event per call.
func submit(dir string, events [][]byte) (float64, error) {
	r, err := runtime.Open(context.Background(), runtime.Options{Dir: dir, Logger: quiet})
	if err != nil {
		return 0, err
	}
	defer r.Close()
	return produce(events, producers, 1, submitter(r))
}

func submitter(r *runtime.Runtime) func([]byte) error {
	return func(event []byte) error {
		results, err := r.Submit(context.Background(), runtime.Submission{Data: event})
		if err != nil {
			return err
		}
		if results[0].Err != nil {
			return fmt.Errorf("refused: %w", results[0].Err)
		}
		return nil
	}
}

// throughGuest measures from the first Submit until everything is in the file.
func throughGuest(dir string, events [][]byte) (float64, error) {
	g, err := openGuest("reference-go", auditrelay.IsolationInstance)
	if err != nil {
		return 0, err
	}
	g.instance.Close()
	sink, err := file.New(file.Options{Path: filepath.Join(dir, "out", "events.ndjson")})
	if err != nil {
		return 0, err
	}
	r, err := runtime.Open(context.Background(), runtime.Options{Dir: dir, Logger: quiet, Callbacks: []runtime.Callback{{
		Name: "file", Sink: sink, Steps: []runtime.Step{{Name: "reference", Filter: g.module}}, Chunk: auditrelay.Chunking{Age: 50 * time.Millisecond},
	}}})
	if err != nil {
		return 0, err
	}
	defer r.Close()
	begin := time.Now()
	if _, err := produce(events, producers, 1, submitter(r)); err != nil {
		return 0, err
	}
	if err := r.Settled(context.Background()); err != nil {
		return 0, err
	}
	elapsed := time.Since(begin)
	status, err := r.Callback("file")
	if err != nil {
		return 0, err
	}
	if a := status.Account; a.Delivered+a.Filtered != uint64(len(events)) || !a.Balanced {
		return 0, fmt.Errorf("not all events are there: %+v", a)
	}
	return float64(len(events)) / elapsed.Seconds(), nil
}

// build builds the program once.
func build(dir string) (string, error) {
	path, err := filepath.Abs(filepath.Join(dir, "auditrelay"))
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-o", path, "./cmd/auditrelay")
	cmd.Dir = ".."
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return path, nil
}

// overHTTP sends requests of 100 events to the real program. The client shares its cores.
func overHTTP(binary, dir string, events [][]byte) (float64, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	address := l.Addr().String()
	l.Close()
	config := filepath.Join(dir, "auditrelay.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, "listen: %s\ndata_dir: data\nlog: {level: warn}\ncallbacks: []\n", address), 0o600); err != nil {
		return 0, err
	}
	cmd := exec.Command(binary, "serve", "--config", config)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	defer func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	}()
	if err := ready(address); err != nil {
		return 0, err
	}
	var requests [][]byte
	for i := 0; i+perBatch <= len(events); i += perBatch {
		requests = append(requests, bytes.Join(events[i:i+perBatch], []byte("\n")))
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
	return produce(requests, 8, perBatch, func(body []byte) error {
		resp, err := client.Post("http://"+address+"/v1/events", "application/x-ndjson", bytes.NewReader(body))
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d", resp.StatusCode)
		}
		return nil
	})
}

func ready(address string) error {
	for range 500 {
		resp, err := http.Get("http://" + address + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	return errors.New("the program does not get ready")
}
