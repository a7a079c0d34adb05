//go:build !linux

package process

// Supported reports whether this system has worker processes.
const Supported = false
