package wasm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"

	"auditrelay"
	"auditrelay/builtin/wasm/internal/process"
	"auditrelay/builtin/wasm/internal/wire"
	"auditrelay/document"
	"auditrelay/filter"
	"auditrelay/hostfuncs"
	"auditrelay/internal/compile"
	"auditrelay/internal/confine"
)

// RunWorker runs a worker process: it loads a module and runs its guests until the relay that
// started it ends. args are the last arguments of the process. It returns the exit code.
func RunWorker(args []string) int {
	os.Clearenv()
	debug.SetTraceback("none")
	collect := debug.SetGCPercent(-1) // saves a fifth of the time until the first verdict
	p, err := process.Join(args)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	w, report, err := lockAndLoad(p)
	if err != nil {
		code := refuseLoad
		if errors.Is(err, errNoCode) {
			code = refuseNoCode
		}
		p.Refuse(code, err.Error())
		return 1
	}
	p.Setup = nil
	if err := p.Ready(report); err != nil {
		return 1
	}
	for _, side := range p.Lanes {
		l := &lane{worker: w, side: side}
		go l.serve()
	}
	debug.SetGCPercent(collect)
	debug.FreeOSMemory() // memory that loading used
	p.Wait()
	return 0
}

// lockAndLoad drops the rights that a worker does not need, loads the module, and then drops
// the rights that loading needed.
func lockAndLoad(p *process.Worker) (*worker, confine.Report, error) {
	var s setup
	o, err := s.options(p.Setup)
	if err != nil {
		return nil, nil, err
	}
	debug.SetMemoryLimit(s.Memory + workerMemory/2)
	compile.Prepare()
	const goArenas = 256 << 20
	report, err := confine.Lock(confine.Options{ReadOnly: []string{s.CacheDir}, Lifeline: p.Control, Shared: auditrelay.ByteSize(p.Shared),
		Memory: goArenas + auditrelay.ByteSize(3*s.Memory)})
	if err != nil {
		return nil, nil, err
	}
	w := &worker{metrics: map[*atomic.Uint64]int{}, targets: map[string]int{}}
	if w.module, err = loadWorker(o, &s); err != nil {
		return nil, nil, err
	}
	for i, name := range w.module.metrics() {
		w.metrics[w.module.policy.Metrics[name]] = i
	}
	for i, name := range w.module.targets() {
		w.targets[name] = i
	}
	return w, report.Join(confine.Tighten()), nil
}

// loadWorker loads a module without starting an instance. The relay has filled the cache. If
// the cache no longer has the module, the relay fills it again.
func loadWorker(o Options, s *setup) (*Module, error) {
	m := &Module{name: o.Name, limits: o.Limits.withDefaults(), isolation: o.Isolation, log: slog.New(slog.DiscardHandler)}
	m.proven, m.breaker = s.Proven, breaker{fuel: m.limits.Fuel, now: time.Now}
	img := m.find(o, s.Sum)
	if !img.found {
		return nil, errNoCode
	}
	given, err := m.admit(o, s.Sum)
	if err == nil {
		err = m.compile(context.Background(), o, img, given)
	}
	return m, err
}

// worker is the state that the lanes of a worker process share.
type worker struct {
	module  *Module
	metrics map[*atomic.Uint64]int
	targets map[string]int
}

// lane is one connection with the relay, and its instance.
type lane struct {
	worker   *worker
	side     *process.Side
	instance *instance
	document document.Document
	request  wire.Event
	event    auditrelay.Event
	call     filter.Call
	result   wire.Result
	lines    []wire.Line
	answered int // bytes of the current answer
}

type laneKey struct{}

// laneOf returns the lane for which an instance is started, or nil in the relay's own process.
func laneOf(ctx context.Context) *lane {
	l, _ := ctx.Value(laneKey{}).(*lane)
	return l
}

// attach makes a state send the guest's lines and requests to the relay through the lane.
func (l *lane) attach(s *hostfuncs.State) {
	s.Record()
	s.Say = l.say
	s.Pseudonym = l.pseudonym
}

// serve answers requests until the relay ends. If it cannot continue, it ends the process, and
// the relay starts another one.
func (l *lane) serve() {
	ctx := context.WithValue(context.Background(), laneKey{}, l)
	for {
		m, err := l.side.Receive()
		if err != nil {
			return
		}
		switch m.Kind {
		case sayOpen:
			err = l.open(ctx)
		case sayEvents:
			err = l.judge(ctx, l.side.In()[:m.Length])
		case sayClose:
			l.close()
		}
		if err != nil {
			os.Exit(1)
		}
	}
}

func (l *lane) close() {
	if l.instance != nil {
		_ = l.instance.Close()
		l.instance = nil
	}
}

// open starts an instance.
func (l *lane) open(ctx context.Context) error {
	l.close()
	l.lines, l.answered = l.lines[:0], process.First
	var v wire.Started
	i, err := l.worker.module.newInstance(ctx)
	if errors.Is(err, errNoCode) {
		err = &filter.Error{Cause: auditrelay.CauseInit, Err: errNoCode}
	}
	if failure, ok := errors.AsType[*filter.Error](err); ok {
		v = wire.Started{Failed: true, Cause: causeNumber(failure.Cause), Text: []byte(failure.Err.Error())}
	} else {
		l.instance = i
		v.Fuel = i.began
		for _, p := range i.state.InternedPaths() {
			v.Paths = append(v.Paths, []byte(p))
		}
	}
	v.Lines = l.lines
	out := wire.AppendStarted(l.side.Out()[:process.First:cap(l.side.Out())], &v)
	return l.answer(out)
}

// answer sends out as the answer, if it fits.
func (l *lane) answer(out []byte) error {
	if len(out) > len(l.side.Out()) {
		return errors.New("an answer is too large")
	}
	return l.side.Send(process.Message{Kind: sayAnswer, Offset: process.First, Length: uint32(len(out) - process.First)})
}

// judge processes the events of a request until one fails, there is no room left, or it took
// too long.
func (l *lane) judge(ctx context.Context, request []byte) error {
	if len(request) < 4 {
		return errors.New("a request ends too early")
	}
	count := binary.LittleEndian.Uint32(request)
	request = request[4:]
	out := l.side.Out()
	// The number of results is only known at the end, so it has reserved room at the start.
	const room = 4
	l.answered = process.First + room
	watch := watch{began: time.Now()}
	decided := uint32(0)
	for k := range int(count) {
		l.side.Progress(k)
		var err error
		if request, err = wire.ReadEvent(request, &l.request); err != nil {
			return err
		}
		l.one(ctx, &l.request)
		size := wire.ResultSize(&l.result)
		if l.answered+size > len(out) {
			if decided > 0 {
				break
			}
			l.fail(&filter.Error{Cause: auditrelay.CauseRejectedOutput, Err: errors.New("its result for one event is too large")})
		}
		l.answered = len(wire.AppendResult(out[:l.answered], &l.result))
		decided++
		if l.result.Verdict == wire.Failed || l.answered > batchBytes || watch.over(l.result.Fuel) {
			break
		}
	}
	binary.LittleEndian.PutUint32(out[process.First:], decided)
	return l.answer(out[:l.answered])
}

// watch detects when a request has taken batchTime. It checks the clock only now and then,
// since a check costs as much as reading an event.
type watch struct {
	began  time.Time
	events int
	fuel   int64 // fuel since the last check
}

func (w *watch) over(fuel int64) bool {
	const everyEvents, everyFuel = 16, 1 << 16
	w.events++
	if w.fuel += fuel; w.events%everyEvents != 0 && w.fuel < everyFuel {
		return false
	}
	w.fuel = 0
	return time.Since(w.began) > batchTime
}

// one processes an event, into l.result.
func (l *lane) one(ctx context.Context, e *wire.Event) {
	l.lines = l.lines[:0]
	l.result = wire.Result{Emits: l.result.Emits[:0], Counts: l.result.Counts[:0]}
	l.event = auditrelay.Event{Sequence: e.Sequence, Received: e.Received, Namespace: e.Namespace, ID: e.ID, Data: e.Data}
	l.document.Limits = document.Limits{Bytes: int(auditrelay.MaxEditBytes), Depth: l.worker.module.limits.Depth}
	l.document.Reset(e.Data)
	if !l.document.SetGaps(e.Gaps) {
		l.fail(&filter.Error{Cause: auditrelay.CauseInit, Err: errors.New("the relay's document cannot be read")})
		return
	}
	if l.instance == nil {
		l.fail(&filter.Error{Cause: auditrelay.CauseInit, Err: errSpent})
		return
	}
	call := &l.call
	*call = filter.Call{Event: &l.event, Document: &l.document, Emitted: call.Emitted[:0]}
	verdict, err := l.apply(ctx, call, e.Accepted)
	l.result.Fuel, l.result.Memory = call.Usage.Fuel, call.Usage.Memory
	l.result.Lines = l.lines
	if call.Reason != "" {
		l.result.Reason = []byte(call.Reason)
	}
	if err != nil {
		failure, ok := errors.AsType[*filter.Error](err)
		if !ok {
			failure = &filter.Error{Cause: auditrelay.CausePanic, Err: errors.New("the worker failed")}
		}
		l.fail(failure)
		return
	}
	l.result.Verdict = wire.Keep
	if verdict == auditrelay.Drop {
		l.result.Verdict = wire.Drop
	}
	l.result.Edits = l.instance.state.Recorded()
	for _, r := range call.Emitted {
		l.result.Emits = append(l.result.Emits, wire.Emit{Target: l.worker.targets[r.Target], Data: r.Data})
	}
	l.instance.state.Counted(func(to *atomic.Uint64, n uint64) {
		l.result.Counts = append(l.result.Counts, wire.Count{Metric: l.worker.metrics[to], N: n})
	})
}

func (l *lane) apply(ctx context.Context, call *filter.Call, accepted int) (v auditrelay.Verdict, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &filter.Error{Cause: auditrelay.CausePanic, Err: fmt.Errorf("the worker panicked with a %T", p)}
		}
	}()
	l.instance.size = accepted
	return l.instance.Apply(ctx, call)
}

// fail turns the result into a failure. The lane then has no instance.
func (l *lane) fail(f *filter.Error) {
	l.result.Verdict, l.result.Cause, l.result.Text = wire.Failed, causeNumber(f.Cause), []byte(f.Err.Error())
	l.result.Edits, l.result.Emits, l.result.Counts = nil, l.result.Emits[:0], l.result.Counts[:0]
	l.close()
}

// say stores a line for the relay, which decides whether to log it.
func (l *lane) say(level slog.Level, text func() string) {
	if len(l.lines) < maxLines {
		l.lines = append(l.lines, wire.Line{Level: int(level), Text: []byte(text())})
	}
}

// pseudonym asks the relay for a pseudonym, since only the relay has the keys.
func (l *lane) pseudonym(dst []byte, key string, value []byte) []byte {
	out := l.side.Out()
	if len(key) > 255 || l.answered+1+len(key)+len(value) > len(out) {
		panic(&filter.Error{Cause: auditrelay.CauseRejectedOutput, Err: errors.New("hmac: the value is too large")})
	}
	ask := append(append(append(out[:l.answered], byte(len(key))), key...), value...)
	err := l.side.Send(process.Message{Kind: sayPseudonym, Offset: uint32(l.answered), Length: uint32(len(ask) - l.answered)})
	if err != nil {
		os.Exit(1)
	}
	m, err := l.side.Receive()
	if err != nil || m.Kind != sayAnswer {
		os.Exit(1)
	}
	return append(dst, m.Inline...)
}
