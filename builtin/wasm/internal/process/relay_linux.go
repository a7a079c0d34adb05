package process

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	goruntime "runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"auditrelay"
	"auditrelay/internal/confine"
)

// Supported reports whether this system has worker processes.
const Supported = true

// Process is the relay's side of a worker process.
type Process struct {
	PID    int
	Report confine.Report // the worker's report of its restrictions
	Group  *confine.Group // nil if it has no group of its own
	// Ungrouped says why it has no group although Options.Groups is set.
	Ungrouped error

	cmd     *exec.Cmd
	control *os.File
	lanes   []*Lane
	dead    chan struct{} // closed when it has ended
	ended   error         // how it ended; valid after dead is closed
	killed  atomic.Pointer[string]

	mu   sync.Mutex
	free []*Lane
	used int
	look time.Time // when its memory was last read
	// pages is the system's file about its memory. It stays open, since opening takes longer
	// than reading. Nil before the first read.
	pages *os.File
}

// Lane is one connection with a worker. It is not safe for concurrent use.
type Lane struct {
	Process *Process
	conn    *os.File
	file    int // the descriptor of the memory
	memory  []byte
	in, out []byte
	message []byte
	got     [messageHead + maxInline + 1]byte
	sized   int // the used size of in
}

// Start starts a worker and waits until it is ready. If the worker says why it is not ready,
// the error is a *SetupError.
func Start(ctx context.Context, o Options) (*Process, error) {
	p := &Process{dead: make(chan struct{})}
	var theirs []*os.File
	defer func() {
		for _, f := range theirs {
			_ = f.Close()
		}
	}()
	ours, child, err := pair(unix.SOCK_STREAM)
	if err != nil {
		return nil, fmt.Errorf("start a worker: %w", err)
	}
	p.control, theirs = ours, append(theirs, child)
	for range o.Lanes {
		l, conn, memory, err := newLane(p, o)
		if err != nil {
			p.release()
			return nil, fmt.Errorf("start a worker: %w", err)
		}
		p.lanes, p.free, theirs = append(p.lanes, l), append(p.free, l), append(theirs, conn, memory)
	}
	arguments := append(append([]string(nil), o.Command[1:]...), strconv.Itoa(o.Lanes), strconv.Itoa(o.In), strconv.Itoa(o.Out))
	describe := func() (*exec.Cmd, error) {
		cmd := exec.Command(o.Command[0], arguments...) //nolint:gosec // the operator's own program
		cmd.Env = []string{Marker + "=1"}
		cmd.ExtraFiles = theirs
		if p.Group != nil {
			p.Group.In(cmd)
		}
		return cmd, nil
	}
	if o.Groups != nil {
		// The worker runs without a group if it cannot get one, since the other limits apply.
		p.Group, p.Ungrouped = o.Groups.New(o.Memory + auditrelay.ByteSize(o.Lanes*(o.In+o.Out)))
	}
	if err = p.run(describe); err != nil && p.Group != nil {
		p.leaveGroup()
		p.Ungrouped = fmt.Errorf("start in a control group: %w", err)
		err = p.run(describe)
	}
	if err != nil {
		p.release()
		return nil, fmt.Errorf("start a worker: %w", err)
	}
	for _, f := range theirs {
		_ = f.Close() // closes the relay's copy, so that the worker's end is noticed
	}
	theirs = nil
	if err := p.setUp(ctx, o); err != nil {
		p.Kill("it did not get ready")
		<-p.dead
		return nil, err
	}
	return p, nil
}

// run starts the process from a separate thread, which then waits for it. A worker ends when
// the thread that started it ends.
func (p *Process) run(describe func() (*exec.Cmd, error)) error {
	started := make(chan error)
	go func() {
		goruntime.LockOSThread() // never unlocked: the thread ends here, after the worker
		// A worker inherits this setting. Go checks its threads every 20 us while any of them
		// works, which takes about 6 % of a worker's time. For a worker that waits for requests
		// in system calls, every millisecond is enough.
		_ = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(time.Millisecond), 0, 0, 0)
		var err error
		if p.cmd, p.Report, err = confine.Start(describe); err == nil {
			p.PID = p.cmd.Process.Pid
		}
		started <- err
		if err != nil {
			return
		}
		p.ended = p.cmd.Wait()
		if p.Group != nil {
			_ = p.Group.Close()
		}
		close(p.dead)
		p.release()
	}()
	return <-started
}

func (p *Process) leaveGroup() {
	_ = p.Group.Close()
	p.Group = nil
}

// setUp sends the setup and waits for the answer.
func (p *Process) setUp(ctx context.Context, o Options) error {
	deadline := time.Now().Add(o.Timeout)
	if end, ok := ctx.Deadline(); ok && end.Before(deadline) {
		deadline = end
	}
	if err := p.control.SetDeadline(deadline); err != nil {
		return fmt.Errorf("start a worker: %w", err)
	}
	defer context.AfterFunc(ctx, func() { _ = p.control.SetDeadline(time.Unix(1, 0)) })()
	if err := writeFramed(p.control, o.Setup); err != nil {
		return p.notReady(ctx, err)
	}
	var status [1]byte
	if _, err := io.ReadFull(p.control, status[:]); err != nil {
		return p.notReady(ctx, err)
	}
	said, err := readFramed(p.control, maxReady)
	if err != nil {
		return p.notReady(ctx, err)
	}
	if status[0] != 0 {
		return &SetupError{Code: int(status[0]), Text: string(bytes.ToValidUTF8(said, []byte("?")))}
	}
	report, err := confine.Parse(string(said))
	if err != nil {
		return fmt.Errorf("start a worker: %w", err)
	}
	p.Report = p.Report.Join(report)
	_ = p.control.SetDeadline(time.Time{})
	return nil
}

func (p *Process) notReady(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("start a worker: %w", ctx.Err())
	}
	select {
	case <-p.dead:
		return fmt.Errorf("start a worker: %w: %w", ErrNotReady, p.ended)
	case <-time.After(100 * time.Millisecond):
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errors.New("start a worker: it was not ready in time")
	}
	return fmt.Errorf("start a worker: %w", err)
}

// SetupError is a worker's reason for not being ready.
type SetupError struct {
	Code int
	Text string
}

func (e *SetupError) Error() string { return e.Text }

func pair(kind int) (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		_, _ = unix.Close(fds[0]), unix.Close(fds[1])
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), "worker"), os.NewFile(uintptr(fds[1]), "relay"), nil
}

// newLane creates a lane and the files for the worker.
func newLane(p *Process, o Options) (l *Lane, conn, memory *os.File, err error) {
	fd, err := unix.MemfdCreate("auditrelay-lane", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("shared memory: %w", err)
	}
	memory = os.NewFile(uintptr(fd), "lane")
	mapped, err := func() ([]byte, error) {
		if err := unix.Ftruncate(fd, int64(o.In+o.Out)); err != nil {
			return nil, err
		}
		// If the worker could shorten the memory, a read by the relay would end the relay.
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL); err != nil {
			return nil, err
		}
		return unix.Mmap(fd, 0, o.In+o.Out, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	}()
	if err != nil {
		_ = memory.Close()
		return nil, nil, nil, fmt.Errorf("shared memory: %w", err)
	}
	file, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		_, _ = unix.Munmap(mapped), memory.Close()
		return nil, nil, nil, fmt.Errorf("shared memory: %w", err)
	}
	l = &Lane{Process: p, file: file, memory: mapped, in: mapped[:o.In:o.In], out: mapped[o.In:]}
	if l.conn, conn, err = pair(unix.SOCK_SEQPACKET); err != nil {
		_ = memory.Close()
		l.unmap()
		return nil, nil, nil, err
	}
	return l, conn, memory, nil
}

// release releases the resources of an ended process. The memory of a lane stays while the lane
// is in use.
func (p *Process) release() {
	_ = p.control.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.free {
		l.unmap()
	}
	p.free = nil
	if p.pages != nil {
		_ = p.pages.Close()
	}
	for _, l := range p.lanes {
		_ = l.conn.Close()
	}
}

func (l *Lane) unmap() {
	if l.memory != nil {
		_, _ = unix.Munmap(l.memory), unix.Close(l.file)
		l.memory, l.in, l.out = nil, nil, nil
	}
}

// Take returns an unused lane, or nil if there is none or the process has ended.
func (p *Process) Take() *Lane {
	if p.Ending() {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.free)
	if n == 0 {
		return nil
	}
	l := p.free[n-1]
	p.free = p.free[:n-1]
	p.used++
	return l
}

// Return returns a lane, which the caller must no longer use.
func (l *Lane) Return() {
	p := l.Process
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used--
	select {
	case <-p.dead:
		l.unmap()
	default:
		p.free = append(p.free, l)
	}
}

// Used returns the number of lanes in use.
func (p *Process) Used() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.used
}

// Kill kills the process. Ended returns why. It may be called again.
func (p *Process) Kill(why string) {
	p.killed.CompareAndSwap(nil, &why)
	_ = p.cmd.Process.Kill()
}

// Ending reports whether the process has ended or is about to.
func (p *Process) Ending() bool {
	select {
	case <-p.dead:
		return true
	default:
		return p.killed.Load() != nil
	}
}

// endTime is how long a process that no longer responds may take to end by itself.
const endTime = 200 * time.Millisecond

// Ended waits for the end and returns its reason. It kills a process that closed its
// connections but continues, since nothing else would end the wait.
func (p *Process) Ended() string {
	select {
	case <-p.dead:
	case <-time.After(endTime):
		p.Kill("it closed its connection, or stopped reading from it, but continued to run")
		<-p.dead
	}
	if why := p.killed.Load(); why != nil {
		return *why
	}
	if exit, ok := errors.AsType[*exec.ExitError](p.ended); ok {
		return "it ended by itself: " + exit.ProcessState.String()
	}
	return "it ended by itself"
}

// Due reports whether at least that much time has passed since it last returned true.
func (p *Process) Due(every time.Duration) bool {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Sub(p.look) < every {
		return false
	}
	p.look = now
	return true
}

// In returns the memory for requests. Write to it before Send, and not again before the answer.
func (l *Lane) In() []byte { return l.in }

// Send sends a message to the worker.
func (l *Lane) Send(m Message) error {
	binary.NativeEndian.PutUint32(l.out, 0)
	return l.Reply(m)
}

// replyTime is how long a message to a worker may wait for space. A worker that waits for an
// answer has space. A worker that sends requests without reading the answers has none.
const replyTime = 200 * time.Millisecond

// Reply answers a request of the worker. It returns ErrDead also if the worker does not read.
func (l *Lane) Reply(m Message) error {
	l.message = m.append(l.message[:0])
	if err := l.conn.SetWriteDeadline(time.Now().Add(replyTime)); err != nil {
		return fmt.Errorf("%w: %w", ErrDead, err)
	}
	if _, err := l.conn.Write(l.message); err != nil {
		return fmt.Errorf("%w: %w", ErrDead, err)
	}
	l.sized = max(l.sized, int(m.Length))
	return nil
}

// Receive waits for a message until a time. The error is ErrTime, ErrDead, or a fault of the
// message.
func (l *Lane) Receive(until time.Time) (Message, error) {
	if err := l.conn.SetReadDeadline(until); err != nil {
		return Message{}, fmt.Errorf("%w: %w", ErrDead, err)
	}
	n, err := l.conn.Read(l.got[:])
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return Message{}, ErrTime
	case err != nil:
		return Message{}, fmt.Errorf("%w: %w", ErrDead, err)
	}
	return parse(l.got[:n])
}

// Copy copies the content of a worker's message out of the shared memory, so that the worker
// cannot change it any more.
func (l *Lane) Copy(dst []byte, m Message) ([]byte, error) {
	if m.Offset < head || uint64(m.Offset)+uint64(m.Length) > uint64(len(l.out)) {
		return dst, fmt.Errorf("it announces %d bytes at %d of %d", m.Length, m.Offset, len(l.out))
	}
	return append(dst, l.out[m.Offset:][:m.Length]...), nil
}

// Progress returns the number of the event that the worker reports as current.
func (l *Lane) Progress() int { return int(binary.NativeEndian.Uint32(l.out)) }

// keptMemory is how much of each half of a lane's memory stays allocated between requests.
const keptMemory = 1 << 20

// Trim frees memory of a large request and its answer.
func (l *Lane) Trim(answer int) {
	if l.sized > keptMemory {
		_ = unix.Madvise(l.in[keptMemory:], unix.MADV_REMOVE)
		l.sized = 0
	}
	if answer > keptMemory {
		_ = unix.Madvise(l.out[keptMemory:], unix.MADV_REMOVE)
	}
}

func writeFramed(w io.Writer, b []byte) error {
	if _, err := w.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(b)))); err != nil {
		return err
	}
	_, err := w.Write(b)
	return err
}

func readFramed(r io.Reader, most uint32) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint32(size[:])
	if n > most {
		return nil, fmt.Errorf("it announces %d bytes, at most %d", n, most)
	}
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return b, err
}
