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

// workerMemory is the memory that a worker process may use in addition to its guests' memory.
const workerMemory = 48 << 20

// groupMemory is the memory that a worker's control group allows in addition to that of its
// guests and its lanes. It is twice workerMemory, since the group also counts the kernel's
// memory for the worker, and the kernel kills a worker beyond it without a message.
const groupMemory = 2 * workerMemory

// workers are the worker processes of one module: one for each group of instances, and another
// one when all its lanes are in use.
type workers struct {
	module           *Module
	options          process.Options
	targets, metrics []string
	base             atomic.Int64 // memory of a worker without instances
	lost             atomic.Uint64
	report           atomic.Pointer[confine.Report]
	limits           atomic.Pointer[[]string] // of the first worker's control group
	unlimited        atomic.Pointer[string]   // why one has no control group although it should

	mu     sync.Mutex
	groups map[string]*workerGroup
	closed bool
}

// workerGroup has the workers of one callback.
type workerGroup struct {
	mu        sync.Mutex // held while one is started
	processes []*process.Process
}

// workerStart limits the start of a worker, even on a busy host.
const workerStart = 30 * time.Second

// idleTime is the time after which an unused worker ends.
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

// instanceMemory returns the maximum memory of one instance.
func (w *workers) instanceMemory() int64 {
	n := w.module.limits.Footprint()
	if w.module.isolation == auditrelay.IsolationEvent {
		n += w.module.limits.Memory // for the saved copy
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
		// The loader would remove code that exists but cannot be used, which a worker may not
		// do.
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

// ungrouped stores why a worker has no control group.
func (w *workers) ungrouped(err error) {
	text := err.Error()
	w.unlimited.Store(&text)
}

// take takes a lane of p, or of one of a group's workers. If none has a free lane, it starts a
// worker.
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

// move moves a worker from one group to another.
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

// idle ends a worker after a while if it is still unused.
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

// grown returns a message if a worker uses more memory than its instances may, otherwise "".
func (w *workers) grown(p *process.Process) string {
	base := w.base.Load()
	most := max(workerMemory, base+workerMemory/2) + int64(max(1, p.Used()))*w.instanceMemory() + 16*max(0, int64(w.module.limits.EventBytes)-1<<20)
	if has := p.Memory(); has > most {
		return fmt.Sprintf("it used %v of memory; the limit for it and its guests is %v", auditrelay.ByteSize(has), auditrelay.ByteSize(most))
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

// locks returns the restrictions of the first worker.
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

// list returns the running workers.
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
