//go:build !linux

package process

// Supported says that this system has worker processes.
const Supported = false
