package http

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"auditrelay"
	"auditrelay/runtime"
)

// tableRequest is the table_name of the relay's own records about denied requests.
const tableRequest = "auditrelay_request"

// denials counts denied requests by reason, name and address, and tells of them once a
// window, in own records and one line of the log: whoever guesses tokens fills neither.
type denials struct {
	rt     *runtime.Runtime
	log    *slog.Logger
	window time.Duration
	mu     sync.Mutex
	counts map[denial]uint64
	timer  *time.Timer // nil: no window is open
	closed bool
}

// denial is what is counted together.
type denial struct{ reason, name, address string }

const (
	denialWindow = time.Minute
	// mostDenials bounds the own records of a window. The rest is counted under the
	// address "other".
	mostDenials = 100
)

// add counts a denied request. name is empty where nobody authenticated.
func (d *denials) add(reason, name, address string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	key := denial{reason, name, network(address)}
	if _, known := d.counts[key]; !known && len(d.counts) >= mostDenials {
		key.address, key.name = "other", ""
	}
	if d.counts == nil {
		d.counts = map[denial]uint64{}
	}
	d.counts[key]++
	if d.timer == nil {
		d.timer = time.AfterFunc(d.window, d.tell)
	}
}

// network is an address as counted: all of an IPv6 network of 64 bits, since its owner
// has all of them.
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
		total += n
	}
	slices.SortFunc(keys, func(a, b denial) int { return int(min(counts[b], 1<<31)) - int(min(counts[a], 1<<31)) })
	for _, key := range keys {
		err := d.rt.Record(context.Background(), runtime.Change{
			By:  runtime.By{Principal: key.name, Address: key.address},
			Act: "deny", Action: auditrelay.ActionBlocked, Table: tableRequest, Object: key.reason,
			After: map[string]any{"requests": counts[key]}, MakesRoom: true,
		})
		if err != nil {
			failed = err
		}
	}
	d.log.Warn("requests were denied", "requests", total, "most_reason", keys[0].reason, "most_name", keys[0].name, "most_address", keys[0].address)
	if failed != nil {
		d.log.Error("denied requests could not be recorded", "error", failed)
	}
}

// close tells of what is counted, and counts no more.
func (d *denials) close() {
	d.mu.Lock()
	d.closed = true
	if d.timer != nil {
		d.timer.Stop()
	}
	d.mu.Unlock()
	d.tell()
}
