//go:build !linux

package litellm

import "syscall"

func attributes() *syscall.SysProcAttr { return nil }
