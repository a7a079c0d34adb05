package unixsocket

import (
	"net"
	"strconv"

	"golang.org/x/sys/unix"
)

// Peer returns the user at the other end of a unix socket, as the kernel reports it.
func Peer(c *net.UnixConn) string {
	raw, err := c.SyscallConn()
	if err != nil {
		return "uid unknown"
	}
	var peer *unix.Ucred
	if control := raw.Control(func(fd uintptr) { peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); control != nil || err != nil {
		return "uid unknown"
	}
	return "uid " + strconv.FormatUint(uint64(peer.Uid), 10)
}
