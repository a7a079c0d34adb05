package runtime

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"auditrelay"
	"auditrelay/runtime/internal/delivery"
	"auditrelay/runtime/internal/journal"
)

// DeliveryState is where one payload is.
type DeliveryState string

const (
	DeliveryWaiting   DeliveryState = delivery.Waiting // sealed, and not tried yet since start
	DeliverySending   DeliveryState = delivery.Sending
	DeliveryFailing   DeliveryState = delivery.Failing // its last attempt failed; it is tried again
	DeliveryDelivered DeliveryState = delivery.Settled
	DeliveryReplaced  DeliveryState = delivery.Replaced  // refused for good
	DeliveryGivenUp   DeliveryState = delivery.GaveUp    // the callback was detached or removed
	DeliveryErased    DeliveryState = delivery.Forgotten // its encryption period was erased
)

// DeliveryUndelivered is for a DeliveryQuery alone: waiting, sending or failing.
const DeliveryUndelivered DeliveryState = "undelivered"

// DeliveryStates returns all states of a delivery.
func DeliveryStates() []DeliveryState {
	return []DeliveryState{DeliveryWaiting, DeliverySending, DeliveryFailing, DeliveryDelivered, DeliveryReplaced, DeliveryGivenUp, DeliveryErased}
}

// Delivery is one payload of a callback: on its way, or what is kept of it afterwards.
// Everything but History survives a restart.
type Delivery struct {
	Callback string
	Replay   string // the replay's id; empty for the callback itself
	Payload  uint64
	State    DeliveryState
	Manifest bool
	// DeadLetters: it delivers dead letters that are replayed.
	DeadLetters bool
	Key         string
	First, Last uint64 // the range of its records' sequences; both 0 for a manifest
	Attempts    int    // since start, or until it was settled

	// Known until it is settled.
	Records    uint64 // tombstones included
	Tombstones uint64
	Bytes      int64     // of its body
	Oldest     time.Time // when its oldest record was received
	NextTry    time.Time // zero if it does not wait for a time

	// Known from then on.
	At                    time.Time // when it was settled
	Location, Version     string
	Duplicate, Unverified bool
	Error                 string // why it was replaced or given up
	Cause                 auditrelay.Cause
	By                    []uint64 // the payloads that took its place

	// History has its attempts that are kept, oldest first: none after a restart.
	History []Attempt
}

// DeliveryQuery selects deliveries.
type DeliveryQuery struct {
	// Callback with its replays, or one replay by its name, callback@id. Empty: all.
	Callback string
	State    DeliveryState // or DeliveryUndelivered; empty: all
	// ID of an event, and its namespace (empty: any): only payloads that held it.
	Namespace, ID string
	After         string // the next of the page before
	Limit         int    // at most; 0 means 100, the maximum is 1,000
}

// Deliveries lists payloads, by callback and newest first. next is the After of the next
// page, empty at the end. A page may be shorter than the limit, even empty, before the
// end: looking for a rare state is done in steps.
//
// Errors: ErrNoCallback; ErrNotSeen for the ID; ErrBadPage for After.
func (r *Runtime) Deliveries(ctx context.Context, q DeliveryQuery) (list []Delivery, next string, err error) {
	if q.Limit <= 0 {
		q.Limit = 100
	}
	q.Limit = min(q.Limit, 1000)
	after, below, err := q.page()
	if err != nil {
		return nil, "", err
	}
	lanes, err := r.lanes(q.Callback)
	if err != nil {
		return nil, "", err
	}
	var event *auditrelay.Event
	if q.ID != "" {
		sequence, _, err := r.lookup(q.Namespace, q.ID)
		if err != nil {
			return nil, "", err
		}
		e, err := r.journal.Event(sequence)
		if err != nil {
			return nil, "", err
		}
		event = &e
	}
	undelivered := func(s DeliveryState) bool {
		return s == DeliveryWaiting || s == DeliverySending || s == DeliveryFailing
	}
	sealed := q.State == DeliveryUndelivered || undelivered(q.State)
	keep := func(d *delivery.Delivery) bool {
		state := DeliveryState(d.State)
		return q.State == "" || state == q.State || q.State == DeliveryUndelivered && undelivered(state)
	}
	for _, s := range lanes {
		name := s.LaneName()
		if name < after {
			continue
		}
		if name > after {
			below = 0
		}
		if sealed && event == nil && r.nothingSealed(name) {
			continue
		}
		var found []delivery.Delivery
		if event != nil {
			if name == after { // the lane's are on one page
				continue
			}
			found, err = r.holding(ctx, s, event, keep)
		} else {
			found, below, err = delivery.Deliveries(r.journal, s, r.live(ctx, name), sealed, below, q.Limit-len(list), keep)
		}
		if err != nil {
			return nil, "", err
		}
		for i := range found {
			list = append(list, r.delivery(s, &found[i]))
		}
		if event != nil && len(list) >= q.Limit {
			return list, name + pageMark, nil
		}
		if below > 0 {
			return list, name + pageMark + strconv.FormatUint(below, 10), nil
		}
	}
	return list, "", nil
}

const pageMark = ":"

// page reads After: the lane to go on with, and the number below which.
func (q *DeliveryQuery) page() (after string, below uint64, err error) {
	if q.After == "" {
		return "", 0, nil
	}
	after, number, ok := strings.Cut(q.After, pageMark)
	if ok && number != "" {
		below, err = strconv.ParseUint(number, 10, 64)
	}
	if !ok || err != nil || q.ID == "" && below == 0 {
		return "", 0, ErrBadPage
	}
	return after, below, nil
}

// lanes returns those of a callback, or all, by name.
func (r *Runtime) lanes(callback string) ([]*delivery.State, error) {
	states, err := delivery.States(r.journal)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(states, func(a, b *delivery.State) int { return strings.Compare(a.LaneName(), b.LaneName()) })
	if callback == "" {
		return states, nil
	}
	states = slices.DeleteFunc(states, func(s *delivery.State) bool { return s.Callback != callback && s.LaneName() != callback })
	if len(states) == 0 {
		return nil, fmt.Errorf("callback %q: %w", callback, ErrNoCallback)
	}
	return states, nil
}

// holding returns the payloads that held an event, newest first.
func (r *Runtime) holding(ctx context.Context, s *delivery.State, e *auditrelay.Event, keep func(*delivery.Delivery) bool) ([]delivery.Delivery, error) {
	end, err := delivery.Explain(r.journal, s, e)
	if err != nil || len(end.Payloads) == 0 {
		return nil, err
	}
	live := r.live(ctx, s.LaneName())
	var list []delivery.Delivery
	for i := len(end.Payloads) - 1; i >= 0; i-- {
		d, ok, err := delivery.FindDelivery(r.journal, s, live, end.Payloads[i])
		if err != nil {
			return nil, err
		}
		if ok && keep(&d) {
			list = append(list, d)
		}
	}
	return list, nil
}

// nothingSealed reports whether a running lane has no payload on its way.
func (r *Runtime) nothingSealed(lane string) bool {
	p, err := r.pump(lane)
	return err == nil && p.seen.Load().InFlight == 0
}

// live asks a running lane about its sealed payloads. One that does not answer soon, as
// while the journal cannot write, is listed by what is durable alone.
func (r *Runtime) live(ctx context.Context, lane string) (live map[uint64]delivery.Live) {
	p, err := r.pump(lane)
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_ = p.do(ctx, func(m *delivery.Lane, _ *journal.Tx, _ time.Time) error {
		live = m.Live()
		return nil
	})
	return live
}

func (r *Runtime) delivery(s *delivery.State, d *delivery.Delivery) Delivery {
	out := Delivery{Callback: s.Callback, Payload: d.Number, State: DeliveryState(d.State), Manifest: d.Manifest, DeadLetters: d.Dead,
		Key: d.Key, First: d.First, Last: d.Last, Attempts: d.Attempts,
		Records: d.Events + d.Tombstones, Tombstones: d.Tombstones, Bytes: d.Size, Oldest: d.Oldest, NextTry: d.NextTry,
		At: d.At, Location: d.Location, Version: d.Version, Duplicate: d.Duplicate, Unverified: d.Unverified,
		Error: d.Error, Cause: d.Cause, By: d.By, History: r.history(s.ID).of(d.Number)}
	if s.Replay != nil {
		out.Replay = s.Replay.ID
	}
	return out
}
