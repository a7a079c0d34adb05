//go:build unix

package file

import (
	"os"
	"syscall"
)

// lockFile locks f against all other openers, including those in this process. The lock ends
// when f is closed or the process ends.
func lockFile(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}

// noFollow makes an open of a symbolic link fail.
const noFollow = syscall.O_NOFOLLOW
