package pgtest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// CPU returns the processor time of the server, including its ended processes.
func (s *Server) CPU(t testing.TB) time.Duration {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	own := strconv.Itoa(s.process.Process.Pid)
	var ticks int64
	for _, file := range all {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(text), ") ") // the name may contain anything
		fields := strings.Fields(rest)
		if len(fields) < 16 || fields[1] != own && filepath.Dir(file) != "/proc/"+own {
			continue
		}
		from, to := 11, 13 // user and system time
		if filepath.Dir(file) == "/proc/"+own {
			to = 15 // and that of ended children
		}
		for _, f := range fields[from:to] {
			var n int64
			if _, err := fmt.Sscan(f, &n); err != nil {
				t.Fatal(err)
			}
			ticks += n
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond // a tick is 1/100 s wherever Go runs
}
