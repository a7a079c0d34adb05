//go:build !linux

package meter

import "time"

var began = time.Now()

// threadTime is the wall clock, where a thread's processor time is not at hand.
func threadTime() time.Duration { return time.Since(began) }
