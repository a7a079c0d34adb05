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

// DeliveryState is the state of one payload.
type DeliveryState string

const (
	DeliveryWaiting   DeliveryState = delivery.Waiting // sealed, but not tried since the start
	DeliverySending   DeliveryState = delivery.Sending
	DeliveryFailing   DeliveryState = delivery.Failing // the last attempt failed; the relay will retry
	DeliveryDelivered DeliveryState = delivery.Settled
	DeliveryReplaced  DeliveryState = delivery.Replaced  // permanently rejected by the destination
	DeliveryGivenUp   DeliveryState = delivery.GaveUp    // the callback was detached or removed
	DeliveryErased    DeliveryState = delivery.Forgotten // its encryption period was erased
)

// DeliveryUndelivered is only for a DeliveryQuery. It means waiting, sending or failing.
const DeliveryUndelivered DeliveryState = "undelivered"

// DeliveryStates returns all states of a delivery.
func DeliveryStates() []DeliveryState {
	return []DeliveryState{DeliveryWaiting, DeliverySending, DeliveryFailing, DeliveryDelivered, DeliveryReplaced, DeliveryGivenUp, DeliveryErased}
}

// Delivery is one payload of a callback, undelivered or settled. Everything but History survives a restart.
type Delivery struct {
	Callback string
	Replay   string // the replay's id; empty for the callback's own payloads
	Payload  uint64
	State    DeliveryState
	Manifest bool
	// DeadLetters: the payload contains replayed dead letters.
	DeadLetters bool
	Key         string
	First, Last uint64 // the records' first and last sequence; both 0 for a manifest
	Attempts    int    // number since the start, or until the payload was settled

	// Known until the payload is settled.
	Records    uint64 // including tombstones
	Tombstones uint64
	Bytes      int64     // size of the body
	Oldest     time.Time // when the relay received the oldest record
	NextTry    time.Time // zero if the next attempt does not depend on time

	// Known once the payload is settled.
	At                    time.Time // when it was settled
	Location, Version     string
	Duplicate, Unverified bool
	Error                 string // why the payload was replaced or given up
	Cause                 auditrelay.Cause
	By                    []uint64 // the payloads that replaced it

	// History has the stored attempts, oldest first. It is empty after a restart.
	History []Attempt
}

// DeliveryQuery selects deliveries.
type DeliveryQuery struct {
	// Callback selects a callback and its replays, or one replay by its name, callback@id. Empty: all.
	Callback string
	State    DeliveryState // a state or DeliveryUndelivered; empty: all
	// ID selects the payloads that contained the event with this ID and Namespace. An empty Namespace means
	// any.
	Namespace, ID string
	After         string // the next of the previous page
	Limit         int    // maximum number; 0 means 100, the maximum is 1,000
}

// Deliveries lists payloads by callback, newest first. next is the After of the next page, or empty at the
// end. A page may have fewer payloads than the limit, even none, before the end: a search for a rare state
// takes several calls.
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
			if name == after { // one page contains all of the lane's
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

// page parses After: the lane to continue with, and the number below which to continue.
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

// lanes returns the lanes of a callback, or all lanes, by name.
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

// holding returns the payloads that contained an event, newest first.
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

// nothingSealed reports whether a running lane has no undelivered payload.
func (r *Runtime) nothingSealed(lane string) bool {
	p, err := r.pump(lane)
	return err == nil && p.seen.Load().InFlight == 0
}

// live asks a running lane about its sealed payloads. A lane may not answer in time, for example while the
// journal cannot write. The list then uses only durable state.
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
