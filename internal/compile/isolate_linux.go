package compile

import (
	"os/exec"
	"syscall"
)

// isolate has the helper die with this process, and out of reach of the signals
// that a terminal sends to a group.
func isolate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
