package http

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"auditrelay"
	"auditrelay/runtime"
)

// tableRequest is the table_name of own records about denied requests.
const tableRequest = "auditrelay_request"

// denials counts denied requests by reason, name and address. The denials of a window are one
// act with two own records: the first is durable before the first refusal, so no crash loses it;
// the second has their number. A window has one log line. So a client that guesses tokens fills
// neither journal nor log.
type denials struct {
	rt     *runtime.Runtime
	log    *slog.Logger
	window time.Duration
	mu     sync.Mutex
	counts map[denial]*denied
	timer  *time.Timer // nil if no window is open
	closed bool
}

// Denied records that a request was refused, with the reason of package api and the caller's
// name, or "" if the caller is unknown.
type Denied func(r *http.Request, reason, name string)

// deny counts and records a denied request.
func (s *Server) deny(r *http.Request, reason, name string) {
	s.metrics.refused(reason)
	s.denials.add(reason, name, peerAddress(r))
}

// denial is the key of a count.
type denial struct{ reason, name, address string }

// denied counts the requests of one key.
type denied struct {
	requests uint64
	once     sync.Once
	act      *runtime.Begun // set by once; nil: the first record could not be written
}

// begin writes the first record, or waits until it is written. No lock is held meanwhile.
func (n *denied) begin(rt *runtime.Runtime, key denial) {
	n.once.Do(func() {
		if act, err := rt.Begin(key.change()); err == nil {
			n.act = act // else record tries again, and reports it
		}
	})
}

func (k denial) change() runtime.Change {
	return runtime.Change{By: runtime.By{Principal: k.name, Address: k.address},
		Act: "deny", Action: auditrelay.ActionBlocked, Table: tableRequest, Object: k.reason, MakesRoom: true}
}

const (
	denialWindow = time.Minute
	// mostDenials limits the own records of a window. The rest counts under the address
	// "other".
	mostDenials = 100
)

// add counts a denied request. It returns when the first record of its key is durable. name is
// empty without authentication.
func (d *denials) add(reason, name, address string) {
	if key, n := d.count(reason, name, address); n != nil {
		n.begin(d.rt, key)
	}
}

// count counts a denied request, and returns its key and the key's count, or nil after close.
func (d *denials) count(reason, name, address string) (denial, *denied) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return denial{}, nil
	}
	key := denial{reason, name, network(address)}
	if _, known := d.counts[key]; !known && len(d.counts) >= mostDenials {
		key.address, key.name = "other", ""
	}
	if d.counts == nil {
		d.counts = map[denial]*denied{}
	}
	n := d.counts[key]
	if n == nil {
		n = &denied{}
		d.counts[key] = n
	}
	n.requests++
	if d.timer == nil {
		d.timer = time.AfterFunc(d.window, d.tell)
	}
	return key, n
}

// network returns an address in the form that is counted: the whole 64-bit network for IPv6,
// since its owner has all addresses in it.
func network(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil || ip.Unmap().Is4() {
		return address
	}
	prefix, err := ip.WithZone("").Prefix(64)
	if err != nil {
		return address
	}
	return prefix.String()
}

// tell ends a window.
func (d *denials) tell() {
	d.mu.Lock()
	counts := d.counts
	d.counts, d.timer = nil, nil
	d.mu.Unlock()
	if len(counts) == 0 {
		return
	}
	total := uint64(0)
	var failed error
	keys := make([]denial, 0, len(counts))
	for key, n := range counts {
		keys = append(keys, key)
		total += n.requests
	}
	slices.SortFunc(keys, func(a, b denial) int { return cmp.Compare(counts[b].requests, counts[a].requests) })
	for _, key := range keys {
		if err := d.record(key, counts[key]); err != nil {
			failed = err
		}
	}
	d.log.Warn("requests were denied", "requests", total, "most_reason", keys[0].reason, "most_name", keys[0].name, "most_address", keys[0].address)
	if failed != nil {
		d.log.Error("denied requests could not be recorded", "error", failed)
	}
}

// record records the number of denied requests.
func (d *denials) record(key denial, n *denied) error {
	after := map[string]any{"requests": n.requests}
	n.begin(d.rt, key)
	if n.act != nil {
		return n.act.End(after, nil)
	}
	change := key.change()
	change.After = after
	return d.rt.Record(context.Background(), change)
}

// close reports the counts and stops counting.
func (d *denials) close() {
	d.mu.Lock()
	d.closed = true
	if d.timer != nil {
		d.timer.Stop()
	}
	d.mu.Unlock()
	d.tell()
}
