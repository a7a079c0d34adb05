package wasm_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"auditrelay"
	"auditrelay/builtin/wasm"
	"auditrelay/document"
	"auditrelay/filter"
	"auditrelay/internal/test/corpus"
)

// BenchmarkWorker compares a guest in this process with the same guest in a worker,
// alternately: the CPU time of both processes per event, at 128 events per chunk. Both include
// the relay's other work for each event (index, serialise).
func BenchmarkWorker(b *testing.B) {
	for _, name := range []string{"reference-go", "reference-c"} {
		b.Run(name, func(b *testing.B) {
			o := options(b, name+"/"+name)
			here := newChunks(b, o)
			o.Worker = []string{program, "internal-guest"}
			apart := newChunks(b, o)
			pid := apart.module.Workers()[0].PID
			for range 200 { // warm up
				here.judge(b)
				apart.judge(b)
			}
			var inProcess, relay, worker time.Duration
			for b.Loop() {
				start := cpuOf(b, 0)
				for range 20 {
					here.judge(b)
				}
				middle, before := cpuOf(b, 0), cpuOf(b, pid)
				for range 20 {
					apart.judge(b)
				}
				inProcess += middle - start
				relay += cpuOf(b, 0) - middle
				worker += cpuOf(b, pid) - before
			}
			per := func(d time.Duration) float64 { return float64(d) / float64(b.N*20*chunkEvents) }
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(per(inProcess), "in-process-ns")
			b.ReportMetric(per(relay), "relay-ns")
			b.ReportMetric(per(worker), "worker-ns")
			b.ReportMetric(per(relay+worker-inProcess), "more-ns")
		})
	}
}

// BenchmarkWorkerStart measures a first verdict after a load from the cache, and the next one
// after the worker was killed: wall time, and the CPU time of this process and the worker,
// which depends less on the machine's load.
func BenchmarkWorkerStart(b *testing.B) {
	o := options(b, "reference-go/reference-go")
	o.Worker = []string{program, "internal-guest"}
	load(b, o) // fills the cache
	call := newCall(b, event)
	for _, how := range []string{"load", "killed"} {
		b.Run(how, func(b *testing.B) {
			var took, relay, worker time.Duration
			for b.Loop() {
				began, cpu := time.Now(), cpuOf(b, 0)
				m, err := wasm.Load(b.Context(), o)
				if err != nil {
					b.Fatal(err)
				}
				i, err := m.Open(b.Context())
				if err != nil {
					b.Fatal(err)
				}
				judge := func() {
					call.Document.Reset(call.Event.Data)
					if _, err := i.Apply(b.Context(), call); err != nil {
						b.Fatal(err)
					}
				}
				judge()
				if how == "killed" {
					if err := unix.Kill(m.Workers()[0].PID, unix.SIGKILL); err != nil {
						b.Fatal(err)
					}
					began, cpu = time.Now(), cpuOf(b, 0)
					judge()
				}
				took += time.Since(began)
				relay += cpuOf(b, 0) - cpu
				for _, w := range m.Workers() {
					worker += cpuOf(b, w.PID)
				}
				if err := errors.Join(i.Close(), m.Close()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(0, "ns/op")
			for name, d := range map[string]time.Duration{"ms": took, "relay-ms": relay, "worker-ms": worker} {
				b.ReportMetric(float64(d)/1e6/float64(b.N), name)
			}
		})
	}
}

const chunkEvents = 128

// cpuOf returns the processor time of a process, or of this one for 0.
func cpuOf(t testing.TB, pid int) time.Duration {
	const scheduled = 2 // the kernel's CPUCLOCK_SCHED
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduled), &ts); err != nil {
		t.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// chunks processes events like the engine.
type chunks struct {
	module    *wasm.Module
	instance  filter.Instance
	events    []auditrelay.Event
	documents []document.Document
	calls     []filter.Call
	verdicts  []auditrelay.Verdict
	out       []byte
	next      int
}

func newChunks(b *testing.B, o wasm.Options) *chunks {
	c := &chunks{module: load(b, o), events: make([]auditrelay.Event, 8*chunkEvents), documents: make([]document.Document, chunkEvents),
		calls: make([]filter.Call, chunkEvents), verdicts: make([]auditrelay.Verdict, chunkEvents)}
	c.instance = open(b, c.module)
	for i := range c.events {
		c.events[i] = auditrelay.Event{Namespace: "default", ID: fmt.Sprintf("5c2a1e6e-0b1f-4a53-9c5e-%012d", i), Data: corpus.AppendReference(nil, uint64(i))}
	}
	return c
}

func (c *chunks) judge(b *testing.B) {
	events := c.events[c.next:][:chunkEvents]
	c.next = (c.next + chunkEvents) % len(c.events)
	for i := range events {
		c.documents[i].Reset(events[i].Data)
		c.calls[i] = filter.Call{Event: &events[i], Document: &c.documents[i]}
	}
	decided := 0
	var err error
	if batcher, ok := c.instance.(filter.Batcher); ok {
		decided, err = batcher.ApplyAll(context.Background(), c.calls, c.verdicts)
	} else {
		for ; decided < len(events) && err == nil; decided++ {
			c.verdicts[decided], err = c.instance.Apply(context.Background(), &c.calls[decided])
		}
	}
	if err != nil || decided != len(events) {
		b.Fatal(decided, err)
	}
	for i := range decided {
		if c.verdicts[i] == auditrelay.Keep {
			c.out = c.documents[i].Append(c.out[:0])
		}
	}
}
