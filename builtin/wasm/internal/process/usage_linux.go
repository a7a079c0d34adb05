package process

import (
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// CPU returns the processor time that the process has used.
func (p *Process) CPU() time.Duration {
	const scheduled = 2 // the kernel's CPUCLOCK_SCHED
	var t unix.Timespec
	if unix.ClockGettime(int32(^p.PID<<3|scheduled), &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// Memory returns the memory that only this process uses, or shares only with the relay, in
// bytes. It returns 0 if that is unknown.
func (p *Process) Memory() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.dead:
		return 0 // its process number may already belong to another process
	default:
	}
	if p.pages == nil {
		var err error
		if p.pages, err = os.Open("/proc/" + strconv.Itoa(p.PID) + "/statm"); err != nil {
			return 0
		}
	}
	var text [128]byte // size, resident, shared, ... in pages
	n, _ := p.pages.ReadAt(text[:], 0)
	fields := strings.Fields(string(text[:n]))
	if len(fields) < 3 {
		return 0
	}
	resident, _ := strconv.ParseInt(fields[1], 10, 64)
	shared, _ := strconv.ParseInt(fields[2], 10, 64)
	total := max(0, resident-shared) * int64(os.Getpagesize())
	for _, l := range p.lanes {
		// Measured by the file, since a worker can unmap pages that it filled.
		var s unix.Stat_t
		if l.memory != nil && unix.Fstat(l.file, &s) == nil {
			total += s.Blocks * 512
		}
	}
	return total
}
