package hostfuncs

import (
	"time"

	"golang.org/x/sys/unix"
)

// threadTime returns the processor time that this thread has used, and whether it is known. A
// worker process is still allowed to read clocks.
func threadTime() (time.Duration, bool) {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) != nil {
		return 0, false
	}
	return time.Duration(t.Nano()), true
}
