package runtime_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/filter"
	"auditrelay/runtime"
)

// await polls a callback until its status satisfies ok. The runtime does not announce changes
// of state.
func await(t *testing.T, r *runtime.Runtime, name, what string, ok func(runtime.CallbackStatus) bool) runtime.CallbackStatus {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for tick := time.NewTicker(time.Millisecond); ; <-tick.C {
		s, err := r.Callback(name)
		if err != nil {
			t.Fatal(err)
		}
		if ok(s) {
			tick.Stop()
			return s
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not become %s: %+v", name, what, s)
		}
	}
}

func inState(want runtime.State) func(runtime.CallbackStatus) bool {
	return func(s runtime.CallbackStatus) bool { return s.State == want }
}

// keep is a filter that keeps everything unchanged.
func keep(*filter.Call) (auditrelay.Verdict, error) { return auditrelay.Keep, nil }

// ending returns the end of an event on a callback. It fails if there is none.
func ending(t *testing.T, r *runtime.Runtime, id, callback string) runtime.Ending {
	t.Helper()
	x, err := r.Explain(t.Context(), "", id)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range x.Callbacks {
		if e.Callback == callback && e.Replay == "" {
			return e
		}
	}
	t.Fatalf("explain %s: no callback %s in %+v", id, callback, x.Callbacks)
	return runtime.Ending{}
}

// tombstone is the record in place of an event at the destination.
type tombstone struct {
	Tombstone bool   `json:"auditrelay_tombstone"`
	Sequence  uint64 `json:"sequence"`
	Received  string `json:"received"`
	Action    string `json:"action"`
	Outcome   string `json:"outcome"`
	Cause     string `json:"cause"`
	IDDigest  string `json:"id_hmac_sha256"`
}

func asTombstone(t *testing.T, line string) tombstone {
	t.Helper()
	var ts tombstone
	d := json.NewDecoder(strings.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&ts); err != nil || !ts.Tombstone {
		t.Fatalf("no tombstone: %q (%v)", line, err)
	}
	return ts
}

// logs collects log lines.
type logs struct {
	mu    sync.Mutex
	lines []string
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(p))
	return len(p), nil
}

func (l *logs) logger() *slog.Logger { return slog.New(slog.NewTextHandler(io.Writer(l), nil)) }

// count returns the number of lines that contain all of what.
func (l *logs) count(what ...string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
line:
	for _, s := range l.lines {
		for _, w := range what {
			if !strings.Contains(s, w) {
				continue line
			}
		}
		n++
	}
	return n
}

var errDown = errors.New("the destination is down")

func refuse(kind auditrelay.ErrorKind) error {
	return &auditrelay.DeliveryError{Kind: kind, Err: errors.New("no, says the destination")}
}

// closing is a filter that counts how often it and its instances are closed.
type closing struct {
	mu              sync.Mutex
	opened, closed  int
	instancesClosed int
	apply           fn
	open            func() error
}

func (c *closing) Open(context.Context) (filter.Instance, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open != nil {
		if err := c.open(); err != nil {
			return nil, err
		}
	}
	c.opened++
	return &closingInstance{c}, nil
}

func (c *closing) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed++
	return nil
}

func (c *closing) counts() (opened, instancesClosed, closed int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.opened, c.instancesClosed, c.closed
}

type closingInstance struct{ c *closing }

func (i *closingInstance) Apply(_ context.Context, call *filter.Call) (auditrelay.Verdict, error) {
	if i.c.apply == nil {
		return auditrelay.Keep, nil
	}
	return i.c.apply(call)
}

func (i *closingInstance) Close() error {
	i.c.mu.Lock()
	defer i.c.mu.Unlock()
	i.c.instancesClosed++
	return nil
}
