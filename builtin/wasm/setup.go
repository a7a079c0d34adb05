package wasm

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"auditrelay"
	"auditrelay/internal/detect"
)

// What relay and worker say to each other on a lane. An answer's bytes lie in the shared
// memory; internal/wire has their form.
const (
	sayOpen      = 1 + iota // start a new instance, in the place of the lane's: answered with wire.Started
	sayEvents               // events to judge: answered with their results
	sayClose                // end the lane's instance: no answer
	sayAnswer               // from the worker
	sayPseudonym            // from the worker, in the middle: answered with sayAnswer and the pseudonym inline
)

// Why a worker cannot work.
const (
	refuseLoad = 1 + iota
	refuseNoCode
)

// causes are the causes that a worker may name, by their number.
var causes = []auditrelay.Cause{auditrelay.CauseTrap, auditrelay.CauseProtocol, auditrelay.CauseRejectedOutput, auditrelay.CauseFail,
	auditrelay.CauseFuel, auditrelay.CauseMemory, auditrelay.CauseStack, auditrelay.CauseInit, auditrelay.CauseWallTime, auditrelay.CausePanic}

func causeNumber(c auditrelay.Cause) byte {
	return byte(max(0, slices.Index(causes, c))) // another one is a trap
}

// batchTime is after how long a worker answers with what it has, and batchBytes how much
// of an answer it fills beyond one event's.
const (
	batchTime  = 50 * time.Millisecond
	batchBytes = 4 << 20
)

// width is how many events a worker gets at a time: what a crossing costs is small then,
// and what is done again where one of them ends the worker still short.
const width = 128

// setup is what a worker gets. It finds the module itself in the cache.
type setup struct {
	Name      string
	Sum       [32]byte // the module's digest
	Config    []byte
	Grants    Grants
	Keys      map[string]int // versions by name: secrets stay with the relay
	Detectors *detect.Options
	Limits    Limits
	CacheDir  string
	Proven    bool // the compiled code is there; see errNoCode
	Isolation auditrelay.Isolation
	Memory    int64 // that all of its instances may come to take
}

// options are those that the worker loads the module with.
func (s *setup) options(text []byte) (o Options, err error) {
	if err := json.Unmarshal(text, s); err != nil {
		return o, err
	}
	o = Options{Name: s.Name, Config: s.Config, Grants: s.Grants, Keys: map[string]auditrelay.Key{},
		Limits: s.Limits, CacheDir: s.CacheDir, Isolation: s.Isolation, Breaker: BreakerOptions{Failures: -1}}
	for name, version := range s.Keys {
		o.Keys[name] = auditrelay.Key{Version: version}
	}
	if s.Detectors != nil {
		if o.Detectors, err = detect.NewCatalogue(*s.Detectors); err != nil {
			return o, fmt.Errorf("detectors: %w", err)
		}
	}
	return o, nil
}

// targets are the callbacks that may get records, and metrics the counts, in the order of
// their numbers.
func (m *Module) targets() []string { return slices.Sorted(maps.Keys(m.policy.Emit)) }
func (m *Module) metrics() []string { return slices.Sorted(maps.Keys(m.policy.Metrics)) }
