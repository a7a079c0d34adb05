package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"auditrelay"
	"auditrelay/builtin/wasm"
	"auditrelay/document"
	"auditrelay/filter"
	"auditrelay/internal/test/corpus"
)

// guestCommand is the command by which this program runs as its own worker.
const guestCommand = "internal-guest"

// workersGroup compares guests in this process with the same guests in worker processes: CPU
// time of both processes per event, by the number of events at a time; then the time to a first
// verdict, and memory.
func workersGroup(dir string, n int) error {
	events := make([]auditrelay.Event, 1024)
	for i := range events {
		events[i].Data = corpus.AppendReference(nil, uint64(i))
	}
	o := workerOptions(dir, "reference-go")
	inProcess := o
	inProcess.Worker = nil
	here, err := openBatch(inProcess)
	if err != nil {
		return err
	}
	defer here.close()
	apart, err := openBatch(o)
	if err != nil {
		return err
	}
	defer apart.close()
	rows := []*row{
		{name: "in this process, one by one", measure: func(int) (float64, error) { return here.cpu(events, 1, n) }},
		{name: "again (the noise)", measure: func(int) (float64, error) { return here.cpu(events, 1, n) }},
	}
	for _, at := range []int{1, 16, 128, 1024} {
		count := n
		if at == 1 {
			count = n / 20
		}
		rows = append(rows, &row{name: fmt.Sprintf("in a worker, %d at a time", at), measure: func(int) (float64, error) { return apart.cpu(events, at, count) }})
	}
	if err := interleave(rows); err != nil {
		return err
	}
	table("A Go guest on 0.86 KB events: mask, delete, drop; document and serialising included, both processes", "CPU ns/event", rows)
	if err := workerStarts(o, events); err != nil {
		return err
	}
	return workerMemory(dir, n)
}

// workerOptions returns the options of a reference guest in a worker.
func workerOptions(dir, name string) wasm.Options {
	return wasm.Options{Name: name, File: filepath.Join("../testdata/wasm", name, name+".wasm"), Grants: wasm.Grants{Write: []string{"**"}},
		CacheDir: filepath.Join(dir, "compiled"), Logger: slog.New(slog.DiscardHandler), Worker: []string{"/proc/self/exe", guestCommand}}
}

// workerMemory compares the maximum resident memory of two processes that deliver to a file:
// with guests in workers, and without guests. It excludes the workers' own memory.
func workerMemory(dir string, n int) error {
	var rows []*row
	for _, f := range []fanOut{{"none", 1, n, 750}, {"none", 1, n, 750}, {"worker", 1, n, 750}, {"worker", 4, n, 750}} {
		rows = append(rows, &row{name: f.String(), measure: func(int) (float64, error) {
			r, err := runFanOut(dir, "", f)
			return float64(r.Resident), err
		}})
	}
	if err := interleave(rows); err != nil {
		return err
	}
	table("Memory of the process that has the workers", "MB at most", rows)
	return nil
}

// workerStarts measures the time and memory of a worker's start.
func workerStarts(o wasm.Options, events []auditrelay.Event) error {
	rows := []*row{
		{name: "load from the cache, and a first verdict", measure: func(int) (float64, error) {
			began := time.Now()
			b, err := openBatch(o)
			if err != nil {
				return 0, err
			}
			defer b.close()
			_, err = b.judge(events[:1])
			return float64(time.Since(began)) / 1e6, err
		}},
		{name: "a verdict after the worker was killed", measure: func(int) (float64, error) {
			b, err := openBatch(o)
			if err != nil {
				return 0, err
			}
			defer b.close()
			if _, err := b.judge(events[:1]); err != nil {
				return 0, err
			}
			began := time.Now()
			if err := syscall.Kill(b.module.Workers()[0].PID, syscall.SIGKILL); err != nil {
				return 0, err
			}
			_, err = b.judge(events[:1])
			return float64(time.Since(began)) / 1e6, err
		}},
	}
	if err := interleave(rows); err != nil {
		return err
	}
	table("The start of a worker", "ms", rows)
	b, err := openBatch(o)
	if err != nil {
		return err
	}
	defer b.close()
	if _, err := b.cpu(events, 128, 100_000); err != nil {
		return err
	}
	w := b.module.Workers()[0]
	fmt.Printf("  memory of the worker after 100,000 events: %v its own, %v resident\n", w.Memory, resident(w.PID))
	return nil
}

func resident(pid int) auditrelay.ByteSize {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0
	}
	pages, _ := strconv.Atoi(strings.Fields(string(text))[1])
	return auditrelay.ByteSize(pages * os.Getpagesize())
}

// batch processes events as an engine worker does.
type batch struct {
	module    *wasm.Module
	instance  filter.Instance
	documents []document.Document
	calls     []filter.Call
	verdicts  []auditrelay.Verdict
	out       []byte
}

func openBatch(o wasm.Options) (*batch, error) {
	m, err := wasm.Load(context.Background(), o)
	if err != nil {
		return nil, err
	}
	i, err := m.Open(context.Background())
	return &batch{module: m, instance: i}, errors.Join(err)
}

func (b *batch) close() {
	_ = b.instance.Close()
	_ = b.module.Close()
}

// judge returns the number of events with a verdict.
func (b *batch) judge(events []auditrelay.Event) (int, error) {
	for len(b.documents) < len(events) {
		b.documents = append(b.documents, document.Document{})
	}
	if cap(b.calls) < len(events) {
		b.calls, b.verdicts = make([]filter.Call, len(events)), make([]auditrelay.Verdict, len(events))
	}
	b.calls, b.verdicts = b.calls[:len(events)], b.verdicts[:len(events)]
	for i := range events {
		b.documents[i].Reset(events[i].Data)
		b.calls[i] = filter.Call{Event: &events[i], Document: &b.documents[i]}
	}
	decided := 0
	var err error
	if batcher, ok := b.instance.(filter.Batcher); ok && len(events) > 1 {
		decided, err = batcher.ApplyAll(context.Background(), b.calls, b.verdicts)
	} else {
		for decided < len(events) && err == nil {
			b.verdicts[decided], err = b.instance.Apply(context.Background(), &b.calls[decided])
			decided++
		}
	}
	for i := range decided {
		if b.verdicts[i] == auditrelay.Keep {
			b.out = b.documents[i].Append(b.out[:0])
		}
	}
	return decided, err
}

// cpu returns the CPU time of this process and the worker per event.
func (b *batch) cpu(events []auditrelay.Event, at, n int) (float64, error) {
	began := cpu() + b.workerCPU()
	for done := 0; done < n; {
		from := done % (len(events) - at + 1)
		decided, err := b.judge(events[from : from+at])
		if err != nil {
			return 0, err
		}
		done += decided
	}
	return float64(cpu()+b.workerCPU()-began) / float64(n), nil
}

// workerCPU returns the CPU time used by the worker.
func (b *batch) workerCPU() time.Duration {
	total := time.Duration(0)
	for _, w := range b.module.Workers() {
		text, err := os.ReadFile("/proc/" + strconv.Itoa(w.PID) + "/stat")
		if err != nil {
			continue
		}
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		user, _ := strconv.Atoi(fields[11])
		system, _ := strconv.Atoi(fields[12])
		total += time.Duration(user+system) * 10 * time.Millisecond
	}
	return total
}
