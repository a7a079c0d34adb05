package child

import (
	"os/exec"
	"syscall"
)

// dieWithParent ends the server too if the test process is killed.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
