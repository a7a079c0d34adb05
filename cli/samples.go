package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"auditrelay"
	"auditrelay/cli/internal/api"
	"auditrelay/internal/ingest"
	"auditrelay/runtime"
)

// maxTried limits the number of events in one trial.
const maxTried = 100_000

// sampleEvents reads events in their original form from a file or standard input.
func sampleEvents(a *program, file string, limit int, schema *runtime.Schema, limits runtime.Limits) ([]auditrelay.Event, error) {
	in := a.stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	var events []auditrelay.Event
	r := ingest.NewReader(in, "", "", ingest.Limits{Events: limit + 1, BodyBytes: 1 << 30, EventBytes: wrapperBytes(schema)})
	for len(events) < limit {
		raw, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: event %d: %w", file, len(events), err)
		}
		some, _ := schema.Unwrap(bytes.Clone(raw.Data), limit-len(events)) // no more are requested
		for _, data := range some {
			e, err := runtime.ParseEventBy(schema, data, limits)
			if err != nil {
				return nil, fmt.Errorf("%s: event %d: %w", file, len(events), err)
			}
			e.Sequence, e.Received = uint64(len(events)+1), time.Now().UTC()
			e.Provenance = auditrelay.Provenance{Source: "stdin"}
			events = append(events, e)
		}
	}
	return events, nil
}

// wrapperBytes returns the maximum size of an object with several events. 0 means there is
// none.
func wrapperBytes(schema *runtime.Schema) int64 {
	if schema.Unwraps() {
		return 64 << 20
	}
	return 0
}

// storedEvents gets events from a running relay. It requires the role comply.
func storedEvents(a *program, relay *remote, from uint64, limit int, limits runtime.Limits) ([]auditrelay.Event, error) {
	cl, err := relay.client()
	if err != nil {
		return nil, err
	}
	var events []auditrelay.Event
	for len(events) < limit {
		page, err := cl.Stored(a.ctx, api.StoredQuery{From: from, Limit: min(1000, limit-len(events))})
		if err != nil {
			return nil, err
		}
		for _, s := range page.Events {
			e, err := runtime.ParseEventWith((*auditrelay.Mapping)(s.Mapping), s.Data, limits)
			if err != nil {
				return nil, fmt.Errorf("event %d: %w", s.Sequence, err)
			}
			e.Namespace, e.ID, e.Sequence, e.Received = s.Namespace, s.ID, s.Sequence, s.Received
			events = append(events, e)
		}
		if len(page.Events) == 0 {
			break
		}
		from = page.Next
	}
	return events, nil
}
