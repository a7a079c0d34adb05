//go:build unix

package file

import (
	"os"
	"syscall"
)

// lockFile locks f against every other opener, in this process too. The lock
// ends when f is closed or the process dies.
func lockFile(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}

// noFollow has an open fail where a symbolic link stands.
const noFollow = syscall.O_NOFOLLOW
