//go:build !linux

package wasm

import (
	"context"
	"errors"

	"auditrelay/filter"
	"auditrelay/hostfuncs"
)

// RunWorker runs a worker process. This system has none.
func RunWorker([]string) int { return 2 }

type lane struct{}

func laneOf(context.Context) *lane    { return nil }
func (*lane) attach(*hostfuncs.State) {}

type workers struct{}

func newWorkers(*Module, Options, image) (*workers, error) {
	return nil, errors.New("this system has no worker processes")
}

func (*workers) open(context.Context, string) (filter.Instance, error) { return nil, errSpent }
func (*workers) close()                                                {}
func (*workers) lostSoFar() uint64                                     { return 0 }
func (*workers) locks() *Locks                                         { return nil }
func (*workers) list() []Worker                                        { return nil }
func adopt(filter.Instance, string)                                    {}
