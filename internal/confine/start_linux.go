package confine

import (
	"os"
	"os/exec"
	"syscall"
)

// Start starts the process that describe describes, in user, network, process and IPC
// namespaces of its own. Where the system does not permit them it starts it without, from
// a second description: a command cannot be started twice. describe sets everything but
// SysProcAttr, of which Start keeps only Credential and the control group; any error of
// describe is returned as it is.
//
// The process is in a process group of its own, out of reach of a terminal's signals, and
// the kernel kills it when the thread that called Start ends. Go ends a thread only when a
// goroutine that called runtime.LockOSThread returns without unlocking: do not call Start
// from one.
func Start(describe func() (*exec.Cmd, error)) (*exec.Cmd, Report, error) {
	for _, apart := range []bool{true, false} {
		cmd, err := describe()
		if err != nil {
			return nil, nil, err
		}
		attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
		if cmd.SysProcAttr != nil {
			attr.Credential = cmd.SysProcAttr.Credential
			attr.UseCgroupFD, attr.CgroupFD = cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD
		}
		cmd.SysProcAttr = attr
		if !apart {
			return cmd, Report{{Namespaces, Refused}}, cmd.Start()
		}
		separate(attr)
		if cmd.Start() == nil {
			return cmd, Report{{Namespaces, Applied}}, nil
		}
	}
	panic("unreachable")
}

// separate asks for namespaces. The user namespace has one user, who has this process's
// id inside too: it gives the others without privilege, and leaves none outside.
func separate(attr *syscall.SysProcAttr) {
	uid, gid := os.Getuid(), os.Getgid()
	if c := attr.Credential; c != nil {
		uid, gid = int(c.Uid), int(c.Gid)
		attr.Credential = &syscall.Credential{Uid: c.Uid, Gid: c.Gid, NoSetGroups: true}
	}
	attr.Cloneflags = syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC
	attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
	attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}}
}
