package confine

import (
	"os"
	"os/exec"
	"syscall"
)

// Start starts the process that describe returns, in its own user, network, process and IPC
// namespaces. If the system does not permit them, Start calls describe again and starts the
// process without them, because a command cannot be started twice. describe sets everything
// except SysProcAttr, of which Start keeps only Credential and the control group. Start returns
// errors of describe unchanged.
//
// The process is in its own process group, so signals of a terminal do not reach it. The kernel
// kills it when the thread that called Start ends. Go ends a thread only when a goroutine
// returns that called runtime.LockOSThread and did not unlock: do not call Start from such a
// goroutine.
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

// separate requests namespaces. The user namespace maps only this process's user, with the same
// id. It allows the other namespaces without privilege and gives no rights outside.
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
