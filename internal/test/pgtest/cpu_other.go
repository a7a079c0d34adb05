//go:build !linux

package pgtest

import (
	"testing"
	"time"
)

// CPU is not known here.
func (s *Server) CPU(testing.TB) time.Duration { return 0 }
