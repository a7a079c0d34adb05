//go:build !linux

package pgtest

import (
	"testing"
	"time"
)

// CPU is unknown on this system.
func (s *Server) CPU(testing.TB) time.Duration { return 0 }
