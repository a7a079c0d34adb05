//go:build !linux

package meter

import "time"

var began = time.Now()

// threadTime returns the wall clock time, if the processor time of a thread is not available.
func threadTime() time.Duration { return time.Since(began) }
