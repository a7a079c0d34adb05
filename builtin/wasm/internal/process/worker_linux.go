package process

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"auditrelay/internal/confine"
)

// maxSetup limits the setup, which the relay sends.
const maxSetup = 1 << 30

// Worker is the worker's own side of a worker process.
type Worker struct {
	Setup   []byte
	Lanes   []*Side
	Shared  int      // size of the lanes' memory
	Control *os.File // the other end belongs to the relay only
}

// Side is the worker's side of a lane. It is not safe for concurrent use.
type Side struct {
	fd      int
	in, out []byte
	message []byte
	got     [messageHead + maxInline]byte
}

// Join takes the files that the relay passed to this process and waits for the setup. args are
// the last arguments of the process.
func Join(args []string) (*Worker, error) {
	if len(args) != 3 {
		return nil, errors.New("this command is for the relay's own use")
	}
	var n [3]int
	for i := range n {
		v, err := strconv.Atoi(args[i])
		if err != nil || v < 1 || v > 1<<31 {
			return nil, errors.New("this command is for the relay's own use")
		}
		n[i] = v
	}
	w := &Worker{Shared: n[0] * (n[1] + n[2]), Control: os.NewFile(3, "control")}
	if w.Control == nil {
		return nil, errors.New("this command is for the relay's own use")
	}
	for i := range n[0] {
		fd, memory := 4+2*i, 5+2*i
		mapped, err := unix.Mmap(memory, 0, n[1]+n[2], unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err != nil {
			return nil, fmt.Errorf("shared memory: %w", err)
		}
		_ = unix.Close(memory)
		w.Lanes = append(w.Lanes, &Side{fd: fd, in: mapped[:n[1]:n[1]], out: mapped[n[1]:]})
	}
	closeOthers(4 + 2*n[0])
	var err error
	w.Setup, err = readFramed(w.Control, maxSetup)
	return w, err
}

// closeOthers closes the files that the relay itself inherited and passed on unintentionally.
// Files that the relay opened are already closed, since Go opens all files with close-on-exec.
func closeOthers(from int) {
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return
	}
	for _, e := range all {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd < from {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			_ = unix.Close(fd)
		}
	}
}

// Refuse tells the relay why this process cannot work.
func (w *Worker) Refuse(code int, text string) {
	text = text[:min(len(text), maxReady)]
	if _, err := w.Control.Write([]byte{byte(code)}); err == nil {
		_ = writeFramed(w.Control, []byte(text))
	}
}

// Ready tells the relay that this process accepts requests, and its restrictions.
func (w *Worker) Ready(report confine.Report) error {
	if _, err := w.Control.Write([]byte{0}); err != nil {
		return err
	}
	return writeFramed(w.Control, []byte(report.String()))
}

// Wait returns when the relay has ended or wants this process to end.
func (w *Worker) Wait() { _, _ = io.Copy(io.Discard, w.Control) }

// Receive waits for a message. Its Inline is valid until the next call.
func (s *Side) Receive() (Message, error) {
	for {
		n, err := unix.Read(s.fd, s.got[:])
		switch {
		case err == unix.EINTR: //nolint:errorlint // a system call's own
			continue
		case err != nil:
			return Message{}, err
		case n == 0:
			return Message{}, io.EOF
		}
		return parse(s.got[:n])
	}
}

// Send sends a message to the relay.
func (s *Side) Send(m Message) error {
	s.message = m.append(s.message[:0])
	for {
		_, err := unix.Write(s.fd, s.message)
		if err != unix.EINTR { //nolint:errorlint // a system call's own
			return err
		}
	}
}

// In returns the memory with the relay's content.
func (s *Side) In() []byte { return s.in }

// Out returns the memory for answers, which must not start before First.
func (s *Side) Out() []byte { return s.out }

// First is the first position for answers in Out.
const First = head

// Progress sets the number of the current event.
func (s *Side) Progress(n int) { binary.NativeEndian.PutUint32(s.out, uint32(n)) }
