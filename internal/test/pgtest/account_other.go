//go:build !linux

package pgtest

import (
	"os"
	"os/exec"
)

func become(*exec.Cmd, *account) {}

var stopSignals = map[string]os.Signal{"smart": os.Interrupt, "fast": os.Interrupt, "immediate": os.Kill}
