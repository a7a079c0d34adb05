package child

import (
	"os/exec"
	"syscall"
)

// dieWithParent ends the gateway also where the test process is killed.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
