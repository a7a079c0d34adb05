package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"auditrelay/bench/floors"
	"auditrelay/internal/corpus"
	"auditrelay/runtime"
)

const producers = 64

// events returns n generated events, about 0.9 KB each, all different.
func events(seed uint64, n int) [][]byte {
	g := corpus.New(seed)
	out := make([][]byte, n)
	for i := range out {
		out[i] = g.Next().Data
	}
	return out
}

// produce has 64 producers hand over all events, one a call, and returns events
// per second.
func produce(events [][]byte, accept func([]byte) error) (float64, error) {
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	begin := time.Now()
	for range producers {
		wg.Go(func() {
			for {
				i := next.Add(1) - 1
				if i >= int64(len(events)) {
					return
				}
				if err := accept(events[i]); err != nil {
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
	return float64(len(events)) / elapsed.Seconds(), nil
}

// floorAccept is the least that a durable log can do.
func floorAccept(dir string, events [][]byte) (float64, error) {
	log, err := floors.CreateFsyncLog(filepath.Join(dir, "floor"))
	if err != nil {
		return 0, err
	}
	defer log.Close()
	return produce(events, log.Append)
}

// submitAccept is Submit, one event a call, with validation and the id window,
// and no callback.
func submitAccept(dir string, events [][]byte) (float64, error) {
	r, err := runtime.Open(context.Background(), runtime.Options{Dir: dir, Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		return 0, err
	}
	defer r.Close()
	return produce(events, submitter(r))
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
