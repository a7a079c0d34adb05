//go:build unix && !linux

package compile

import (
	"fmt"
	"syscall"
)

// lock permanently limits this process. On this system it sets resource limits only.
func lock(_ string, memory int64, seconds int) error {
	for _, l := range []struct {
		name      string
		which     int
		soft, max uint64
	}{
		{"core size", syscall.RLIMIT_CORE, 0, 0},
		{"file size", syscall.RLIMIT_FSIZE, maxEntry, maxEntry},
		{"memory", syscall.RLIMIT_DATA, uint64(memory), uint64(memory)},
		// Go ignores the signal at the soft limit. The hard limit kills the process.
		{"CPU time", syscall.RLIMIT_CPU, uint64(seconds), uint64(seconds)},
	} {
		if err := setLimit(l.which, l.soft, l.max); err != nil {
			return fmt.Errorf("limit the %s: %w", l.name, err)
		}
	}
	return nil
}

func setLimit(which int, soft, most uint64) error {
	var now syscall.Rlimit
	if err := syscall.Getrlimit(which, &now); err != nil {
		return err
	}
	// An unprivileged process cannot raise a limit.
	now.Max = min(now.Max, most)
	now.Cur = min(now.Max, soft)
	return syscall.Setrlimit(which, &now)
}
