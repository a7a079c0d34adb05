package runtime

import (
	"errors"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"auditrelay/runtime/internal/journal"
)

// Why new events are refused: Stats.NotAcceptingReason, and the keys of Stats.Refused.
const (
	refusedQuota    = "quota"    // of the journal
	refusedReserve  = "reserve"  // of its disk
	refusedInodes   = "inodes"   // of its disk
	refusedCallback = "callback" // a required one holds too much
	refusedJournal  = "journal"  // it has failed
	refusedFilter   = "filter"   // one before the journal cannot judge
	refusedClosing  = "closing"
	refusedShare    = "share" // of one sender; others are accepted
)

// doorPause is how long Submit must succeed before the door counts as open. A journal at
// its limit rejects large events and accepts small ones; so the log has one line, not
// many.
const doorPause = 10 * time.Second

// shareLog is the least time between two log lines about senders at their share.
const shareLog = time.Minute

// door knows whether events are accepted and logs each change once.
type door struct {
	log *slog.Logger
	now func() time.Time

	shut    atomic.Bool
	mu      sync.Mutex
	reason  string
	since   time.Time
	last    time.Time         // of the last refusal
	refused map[string]uint64 // rejected calls, by reason
	shared  time.Time         // when a sender at its share was logged last
}

// reasonOf classifies the error of a rejected call.
func reasonOf(err error) string {
	full, isFull := errors.AsType[*journal.FullError](err)
	switch {
	case errors.Is(err, ErrClosed):
		return refusedClosing
	case errors.Is(err, errBlocked):
		return refusedCallback
	case isFull && full.SpareFiles > 0:
		return refusedInodes
	case isFull && full.Quota > 0:
		return refusedQuota
	case isFull:
		return refusedReserve
	case errors.Is(err, errCannotJudge):
		return refusedFilter
	}
	return refusedJournal
}

// refuse records why events are rejected. call: a Submit was rejected, and counts;
// otherwise Ready was asked.
func (d *door) refuse(err error, call bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	reason, now := reasonOf(err), d.now()
	if call {
		if d.refused == nil {
			d.refused = map[string]uint64{}
		}
		d.refused[reason]++
	}
	d.last = now
	if reason == refusedClosing || d.reason == reason {
		return
	}
	if d.reason == "" {
		d.since = now
	}
	d.reason = reason
	d.shut.Store(true)
	d.log.Error("events are refused; senders get 503 and should retry", "reason", reason, "error", err)
}

// refuseOne records that one sender is refused, and others are not.
func (d *door) refuseOne(principal string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refused == nil {
		d.refused = map[string]uint64{}
	}
	d.refused[refusedShare]++
	if now := d.now(); now.Sub(d.shared) >= shareLog {
		d.shared = now
		d.log.Warn("a sender has its share of the last quarter of the journal's quota; it gets 503, others do not", "principal", principal)
	}
}

// pass records that events are accepted.
func (d *door) pass() {
	if !d.shut.Load() {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	if d.reason == "" || now.Sub(d.last) < doorPause {
		return
	}
	d.log.Info("events are accepted again", "reason", d.reason, "after", now.Sub(d.since).Round(time.Second).String())
	d.reason = ""
	d.shut.Store(false)
}

// state returns why events are rejected now, or "" if they are not, and the rejected
// calls since start by reason.
func (d *door) state() (reason string, refused map[string]uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.reason, maps.Clone(d.refused)
}
