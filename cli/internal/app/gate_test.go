package app

import (
	"fmt"
	"strings"
	"testing"

	"auditrelay"
	"auditrelay/internal/test/corpus"
	"auditrelay/runtime"
)

// TestTheGateOfEverySink: data that our sinks derive from clean events (keys, digests,
// checksums, metadata) is not taken for a secret. Data derived from an event with a secret is
// detected.
func TestTheGateOfEverySink(t *testing.T) {
	for _, sink := range []string{
		"{stdout: {}}", "{file: {path: out.ndjson}}",
		"{s3: {bucket: audit-prod, region: r}}", "{s3: {bucket: audit-prod, region: r, layout: litellm}}",
		"{s3: {bucket: audit-prod, region: r, compression: zstd, checksum: crc32c}}", "{s3: {bucket: audit-prod, region: r, compression: none}}",
	} {
		t.Run(sink, func(t *testing.T) {
			a := newAssembler(t, nil)
			cfg, err := a.loadConfig(writeConfig(t, "callbacks:\n  - {name: archive, must_not_leave: {detectors: [secrets]}, sink: "+sink+"}\n"))
			if err != nil {
				t.Fatal(err)
			}
			made, err := a.assemble(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			parse := func(data []byte) auditrelay.Event {
				e, err := runtime.ParseEvent(data, runtime.Limits{})
				if err != nil {
					t.Fatal(err)
				}
				return e
			}
			var events []auditrelay.Event
			g := corpus.New(11)
			for range 1500 {
				events = append(events, parse(g.Next().Data))
			}
			const clean = `{"id":%q,"updated_at":"2026-01-31T12:00:00+00:00","changed_by":"u","action":"created","table_name":"LiteLLM_TeamTable","object_id":%q}`
			events = append(events, parse(fmt.Appendf(nil, clean, "https://root:hunter2secret@host/", "o")), parse(fmt.Appendf(nil, clean, "x", "AKIAIOSFODNN7ABCDEFG")))
			for i := range events {
				events[i].Sequence, events[i].Received = uint64(i+1), events[i].Time
			}
			trials, err := runtime.Try(t.Context(), made.callbacks[0], runtime.Limits{}, events)
			if err != nil {
				t.Fatal(err)
			}
			for i, trial := range trials {
				if leaky := i >= 1500; leaky != (trial.Cause == auditrelay.CauseLeak) || !leaky && trial.Outcome != auditrelay.Delivered {
					t.Errorf("event %d: %s, %s: %v\n%s", i, trial.Outcome, trial.Cause, trial.Err, events[i].Data)
				}
				if trial.Err != nil && strings.Contains(trial.Err.Error(), "hunter2") {
					t.Error(trial.Err)
				}
			}
		})
	}
}
