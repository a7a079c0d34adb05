package app

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"testing"

	"auditrelay"
	"auditrelay/config"
)

// TestAStopDuringTheStart: a relay that is stopped before it serves has stopped in order, at
// whichever step of the start it was.
func TestAStopDuringTheStart(t *testing.T) {
	module, err := filepath.Abs("../../../testdata/wasm/hostile/keep.wasm")
	if err != nil {
		t.Fatal(err)
	}
	file := writeConfig(t, `
listen: 127.0.0.1:0
data_dir: `+t.TempDir()+`
filters: {keep: {wasm: `+module+`}}
callbacks: [{name: a, filters: [keep], sink: {stops: {}}}]
`)
	for after := range int64(200) {
		ctx := &endsAfter{Context: t.Context(), done: make(chan struct{})}
		ctx.left.Store(after)
		served := false
		err := Run(ctx, Options{ConfigFile: file, Log: &syncBuffer{}, silent: true, listening: func(string) { served = true; ctx.end() },
			Sinks: map[string]SinkMaker{"stops": func(config.Section) (auditrelay.Sink, error) { return &memorySink{}, nil }}})
		if err != nil {
			t.Errorf("stopped at the %d. look: %v", after, err)
		}
		if served {
			return
		}
	}
	t.Error("it never served")
}

// endsAfter is a context that ends when it was looked at a number of times.
type endsAfter struct {
	context.Context
	left  atomic.Int64
	ended atomic.Bool
	done  chan struct{}
}

func (c *endsAfter) end() {
	if !c.ended.Swap(true) {
		close(c.done)
	}
}

func (c *endsAfter) look() {
	if c.left.Add(-1) < 0 {
		c.end()
	}
}

func (c *endsAfter) Done() <-chan struct{} {
	c.look()
	return c.done
}

func (c *endsAfter) Err() error {
	c.look()
	if c.ended.Load() {
		return context.Canceled
	}
	return nil
}
