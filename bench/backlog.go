package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"auditrelay"
	"auditrelay/internal/test/corpus"
	"auditrelay/runtime"
)

// backlogGroup measures memory with a million events pending on a dead sink, and the time of a
// restart with them. Each measurement has its own process.
func backlogGroup(dir string, scale float64) error {
	fmt.Printf("\n%.0f events pending on a dead sink\n", 1e6*scale)
	for _, child := range []string{"fill", "recover"} {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		cmd := exec.Command(self, "-child", child, "-dir", dir+"/backlog", "-scale", strconv.FormatFloat(scale, 'g', -1, 64))
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s: %w", child, err)
		}
	}
	return os.RemoveAll(dir + "/backlog")
}

// deadSink accepts nothing.
type deadSink struct{}

func (deadSink) Render(c auditrelay.Chunk) ([]auditrelay.Payload, error) {
	p := auditrelay.Payload{Key: fmt.Sprint(c.From)}
	for _, r := range c.Records {
		p.Body = append(append(p.Body, r.Data...), '\n')
		p.Sequences = append(p.Sequences, r.Sequence)
	}
	return []auditrelay.Payload{p}, nil
}

func (deadSink) Deliver(context.Context, auditrelay.Payload) (auditrelay.Receipt, error) {
	return auditrelay.Receipt{}, errors.New("dead")
}

func runChild(child, dir string, scale float64) error {
	options := runtime.Options{Dir: dir, Logger: quiet, Callbacks: []runtime.Callback{{Name: "dead", Sink: deadSink{}}}}
	begin := time.Now()
	r, err := runtime.Open(context.Background(), options)
	if err != nil {
		return err
	}
	defer r.Close()
	opened := time.Since(begin)
	if child == "fill" {
		g := corpus.New(1)
		events := make([]runtime.Submission, 500)
		for range int(1e6*scale) / len(events) {
			for i := range events {
				events[i].Data = g.Next().Data
			}
			results, err := r.Submit(context.Background(), events...)
			if err != nil {
				return err
			}
			for i := range results {
				if results[i].Err != nil {
					return results[i].Err
				}
			}
		}
		fmt.Printf("  filled in %s; most resident memory %d MB\n", time.Since(begin).Round(time.Second), peak())
		return nil
	}
	status, err := r.Callback("dead")
	if err != nil {
		return err
	}
	fmt.Printf("  started again with %d pending in %s (account balanced: %v)", status.Account.Pending, opened.Round(time.Millisecond), status.Account.Balanced)
	time.Sleep(5 * time.Second) // let it try to deliver
	fmt.Printf("; most resident memory %d MB\n", peak())
	return nil
}

// peak returns the maximum resident memory of this process in MB.
func peak() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err == nil {
		for line := range strings.Lines(string(status)) {
			if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
				kb, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
				return kb >> 10
			}
		}
	}
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u.Maxrss >> 10
}
