package wasm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"auditrelay"
	"auditrelay/builtin/wasm/internal/process"
	"auditrelay/internal/confine"
)

// workerMemory is what a worker process may take beyond what its guests may.
const workerMemory = 48 << 20

// groupMemory is what a worker's control group allows beyond that of its guests and of its
// lanes: twice workerMemory, since it counts what the kernel has for the worker, too, and
// what goes beyond is killed without a word.
const groupMemory = 2 * workerMemory

// workers are the worker processes of one module: one for each group of instances, and
// another where its lanes are all taken.
type workers struct {
	module           *Module
	options          process.Options
	targets, metrics []string
	base             atomic.Int64 // memory of a worker without instances
	lost             atomic.Uint64
	report           atomic.Pointer[confine.Report]
	limits           atomic.Pointer[[]string] // of the first worker's control group
	unlimited        atomic.Pointer[string]   // why one has no control group that should

	mu     sync.Mutex
	groups map[string]*workerGroup
	closed bool
}

// workerGroup is the workers of one callback.
type workerGroup struct {
	mu        sync.Mutex // held while one is started
	processes []*process.Process
}

// workerStart bounds the start of a worker, however busy the host is.
const workerStart = 30 * time.Second

// idleTime is after how long a worker ends that nobody uses.
const idleTime = 30 * time.Second

func newWorkers(m *Module, o Options, img image) (*workers, error) {
	dir, err := filepath.Abs(o.CacheDir)
	if err != nil {
		return nil, err
	}
	s := setup{Name: o.Name, Sum: img.sum, Config: o.Config, Grants: o.Grants, Detectors: o.Detectors.Options(), Limits: o.Limits,
		CacheDir: dir, Proven: !img.found, Isolation: o.Isolation, Keys: map[string]int{}}
	for _, name := range o.Grants.Keys {
		s.Keys[name] = o.Keys[name].Version
	}
	lanes := max(2, goruntime.GOMAXPROCS(0))
	w := &workers{module: m, targets: m.targets(), metrics: m.metrics(), groups: map[string]*workerGroup{}}
	s.Memory = int64(lanes) * w.instanceMemory()
	text, err := json.Marshal(&s)
	if err != nil {
		return nil, err
	}
	groups, err := confine.Delegated()
	if err != nil {
		w.ungrouped(err)
	}
	l := m.limits
	w.options = process.Options{Command: o.Worker, Lanes: lanes, Setup: text, Timeout: workerStart,
		Groups: groups, Memory: groupMemory + auditrelay.ByteSize(s.Memory),
		In:  (1<<20 + int(l.EventBytes) + int(auditrelay.MaxEditBytes)) &^ (1<<16 - 1), // whole pages
		Out: 2<<20 + batchBytes + 4*(int(l.EventBytes)+int(l.EditBytes)) + int(l.EmitBytes)}
	return w, nil
}

// instanceMemory is what one instance may come to take.
func (w *workers) instanceMemory() int64 {
	n := w.module.limits.Footprint()
	if w.module.isolation == auditrelay.IsolationEvent {
		n += w.module.limits.Memory // as it was saved
	}
	return int64(n)
}

// start starts a worker.
func (w *workers) start(ctx context.Context, lanes int) (*process.Process, error) {
	w.mu.Lock()
	closed := w.closed
	w.mu.Unlock()
	if closed {
		return nil, errSpent
	}
	o := w.options
	o.Lanes = lanes
	p, err := process.Start(ctx, o)
	if refused, ok := errors.AsType[*process.SetupError](err); ok {
		if refused.Code == refuseNoCode {
			return nil, errNoCode
		}
		return nil, fmt.Errorf("its worker process: %s", plain([]byte(refused.Text), maxErrorText))
	}
	if errors.Is(err, process.ErrNotReady) {
		// Code that is there and cannot be used would be removed, which a worker may not.
		return nil, fmt.Errorf("%w, or cannot be used: %w", errNoCode, err)
	}
	if err != nil {
		return nil, err
	}
	w.base.Store(p.Memory())
	w.report.CompareAndSwap(nil, &p.Report)
	if p.Group != nil {
		w.limits.CompareAndSwap(nil, &p.Group.Applied)
	}
	if p.Ungrouped != nil {
		w.ungrouped(p.Ungrouped)
	}
	return p, nil
}

// ungrouped keeps why a worker has no control group.
func (w *workers) ungrouped(err error) {
	text := err.Error()
	w.unlimited.Store(&text)
}

// take takes a lane of p, or of one of a group's workers, starting one where none has any.
func (w *workers) take(ctx context.Context, group string, p *process.Process) (*process.Lane, error) {
	if p != nil {
		if l := p.Take(); l != nil {
			return l, nil
		}
		return nil, errors.New("its worker process has ended")
	}
	g := w.group(group)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.processes = slices.DeleteFunc(g.processes, (*process.Process).Ending)
	for _, p := range g.processes {
		if l := p.Take(); l != nil {
			return l, nil
		}
	}
	p, err := w.start(ctx, w.options.Lanes)
	if err != nil {
		return nil, err
	}
	g.processes = append(g.processes, p)
	w.mu.Lock()
	closed := w.closed
	w.mu.Unlock()
	if closed {
		p.Kill("its module is closed")
	}
	l := p.Take()
	if l == nil {
		return nil, errors.New("its worker process ended at once")
	}
	return l, nil
}

func (w *workers) group(name string) *workerGroup {
	w.mu.Lock()
	defer w.mu.Unlock()
	g := w.groups[name]
	if g == nil {
		g = new(workerGroup)
		w.groups[name] = g
	}
	return g
}

// move makes a worker of one group another's.
func (w *workers) move(p *process.Process, from, to string) {
	g := w.group(from)
	g.mu.Lock()
	g.processes = slices.DeleteFunc(g.processes, func(q *process.Process) bool { return q == p })
	g.mu.Unlock()
	g = w.group(to)
	g.mu.Lock()
	g.processes = append(g.processes, p)
	g.mu.Unlock()
}

// idle ends a worker after a while if nobody uses it by then.
func (w *workers) idle(p *process.Process) {
	if p.Used() > 0 || p.Ending() {
		return
	}
	time.AfterFunc(idleTime, func() {
		if p.Used() == 0 {
			p.Kill("it was idle")
		}
	})
}

// grown says that a worker takes more memory than its instances may.
func (w *workers) grown(p *process.Process) string {
	base := w.base.Load()
	most := max(workerMemory, base+workerMemory/2) + int64(max(1, p.Used()))*w.instanceMemory() + 16*max(0, int64(w.module.limits.EventBytes)-1<<20)
	if has := p.Memory(); has > most {
		return fmt.Sprintf("it took %v of memory, of %v that its guests and itself may", auditrelay.ByteSize(has), auditrelay.ByteSize(most))
	}
	return ""
}

// close ends all workers.
func (w *workers) close() {
	w.mu.Lock()
	w.closed = true
	groups := w.groups
	w.groups = map[string]*workerGroup{}
	w.mu.Unlock()
	for _, g := range groups {
		g.mu.Lock()
		for _, p := range g.processes {
			p.Kill("its module is closed")
		}
		g.mu.Unlock()
	}
}

func (w *workers) lostSoFar() uint64 { return w.lost.Load() }

// locks are those of the first worker.
func (w *workers) locks() *Locks {
	report := w.report.Load()
	if report == nil {
		return &Locks{}
	}
	l := &Locks{Hold: report.Holds()}
	if limits := w.limits.Load(); limits != nil {
		l.Limits = *limits
	}
	if why := w.unlimited.Load(); why != nil {
		l.Unlimited = *why
	}
	for _, s := range report.Missing() {
		l.Missing = append(l.Missing, string(s.Measure)+"="+string(s.Why))
	}
	return l
}

// list returns the workers that run.
func (w *workers) list() []Worker {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []Worker
	for name, g := range w.groups {
		if !g.mu.TryLock() {
			continue // one is being started
		}
		for _, p := range g.processes {
			if !p.Ending() {
				all = append(all, Worker{Callback: name, PID: p.PID, Instances: p.Used(), Memory: auditrelay.ByteSize(p.Memory())})
			}
		}
		g.mu.Unlock()
	}
	return all
}
