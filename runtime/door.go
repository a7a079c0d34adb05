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

// The reasons for rejecting new events: the values of Stats.NotAcceptingReason and the keys of
// Stats.Refused.
const (
	refusedQuota    = "quota"    // the journal's quota is reached
	refusedReserve  = "reserve"  // the disk's reserve is reached
	refusedInodes   = "inodes"   // the disk has too few free inodes
	refusedCallback = "callback" // a required callback holds too many events
	refusedJournal  = "journal"  // the journal has failed
	refusedFilter   = "filter"   // a filter before the journal cannot process events
	refusedClosing  = "closing"
	refusedShare    = "share" // one sender has used its share; the relay accepts events of others
)

// doorPause is how long Submit must succeed before the relay counts as accepting again. A journal at its
// limit rejects large events and still accepts small ones; without the pause it would log each change.
const doorPause = 10 * time.Second

// shareLog is the minimum time between two log lines about senders that have used their share.
const shareLog = time.Minute

// door tracks whether events are accepted, and logs each change once.
type door struct {
	log *slog.Logger
	now func() time.Time

	shut    atomic.Bool
	mu      sync.Mutex
	reason  string
	since   time.Time
	last    time.Time         // time of the last rejection
	refused map[string]uint64 // number of rejected calls by reason
	shared  time.Time         // when the last log line about a sender's share was written
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

// refuse records why events are rejected. call says that a Submit was rejected, which counts; otherwise the
// caller is Ready.
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

// refuseOne records that one sender's events are rejected while those of others are accepted.
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

// state returns why events are currently rejected, or "" if they are accepted, and the number of rejected
// calls since the start by reason.
func (d *door) state() (reason string, refused map[string]uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.reason, maps.Clone(d.refused)
}
