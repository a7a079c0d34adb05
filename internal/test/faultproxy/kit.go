package faultproxy

import (
	"testing"

	"auditrelay"
	"auditrelay/sinktest"
)

// Kit has the faults of an HTTP sink. build returns a sink for a destination's URL, which is
// the proxy's. The caller adds the destination's own parts: Read, Refuse, limits and secrets.
func (p *Proxy) Kit(build func(url string) auditrelay.Sink) sinktest.Kit {
	always := func(f Fault) auditrelay.Sink {
		p.Always(f)
		return build(p.URL)
	}
	once := func(f Fault) auditrelay.Sink {
		p.Script(f)
		return build(p.URL)
	}
	return sinktest.Kit{
		New:  func(*testing.T) auditrelay.Sink { return build(p.URL) },
		Hang: func(*testing.T) auditrelay.Sink { return always(Hang) },
		Fail: func(_ *testing.T, status int) auditrelay.Sink { return always(Echo(status)) },
		Answer: func(_ *testing.T, a sinktest.Answer) auditrelay.Sink {
			var headers []string
			for name, value := range a.Header {
				headers = append(headers, name, value)
			}
			return always(Answer(a.Status, a.Body, headers...))
		},
		LoseAnswer: func(*testing.T) auditrelay.Sink { return once(LoseAnswer) },
		HangAfter:  func(*testing.T) auditrelay.Sink { return once(HangAfter) },
		Stall:      func(t *testing.T) auditrelay.Sink { return build(Stalled(t, p.URL)) },
		Tear: func(t *testing.T, payload auditrelay.Payload) {
			p.Script(Torn(int64(len(payload.Body) / 2)))
			if _, err := build(p.URL).Deliver(t.Context(), payload); err == nil {
				t.Fatal("a torn request counted as delivered")
			}
		},
	}
}
