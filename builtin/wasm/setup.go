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

// The messages on a lane. An answer's bytes are in the shared memory; internal/wire has their
// format.
const (
	sayOpen      = 1 + iota // start a new instance, replacing the lane's; the answer is wire.Started
	sayEvents               // process events; the answer has their results
	sayClose                // close the lane's instance; no answer
	sayAnswer               // from the worker
	sayPseudonym            // from the worker during a request; the answer is sayAnswer with the pseudonym inline
)

// Reasons for which a worker cannot work.
const (
	refuseLoad = 1 + iota
	refuseNoCode
)

// causes are the causes that a worker may report, by index.
var causes = []auditrelay.Cause{auditrelay.CauseTrap, auditrelay.CauseProtocol, auditrelay.CauseRejectedOutput, auditrelay.CauseFail,
	auditrelay.CauseFuel, auditrelay.CauseMemory, auditrelay.CauseStack, auditrelay.CauseInit, auditrelay.CauseWallTime, auditrelay.CausePanic}

func causeNumber(c auditrelay.Cause) byte {
	return byte(max(0, slices.Index(causes, c))) // any other cause becomes a trap
}

// batchTime is the time after which a worker answers with the results so far. batchBytes limits
// an answer, besides that of one event.
const (
	batchTime  = 50 * time.Millisecond
	batchBytes = 4 << 20
)

// width is the number of events in one request to a worker. The cost of a request is then
// small, and so is the repeated work if one event kills the worker.
const width = 128

// setup is the configuration that a worker gets. The worker reads the module itself from the
// cache.
type setup struct {
	Name      string
	Sum       [32]byte // digest of the module
	Config    []byte
	Grants    Grants
	Keys      map[string]int // versions by name; the secrets stay in the relay
	Detectors *detect.Options
	Limits    Limits
	CacheDir  string
	Proven    bool // the compiled code is known to exist; see errNoCode
	Isolation auditrelay.Isolation
	Memory    int64 // maximum memory of all its instances
}

// options returns the options with which the worker loads the module.
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

// targets returns the callbacks that may get records, and metrics the metrics, in the order of
// their indices.
func (m *Module) targets() []string { return slices.Sorted(maps.Keys(m.policy.Emit)) }
func (m *Module) metrics() []string { return slices.Sorted(maps.Keys(m.policy.Metrics)) }
