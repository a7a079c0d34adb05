package delivery

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"auditrelay"
	"auditrelay/runtime/internal/journal"
)

// The states of a delivery, that is, of one payload.
const (
	Waiting   = "waiting" // sealed; not tried since the start, or no longer failing
	Sending   = "sending"
	Failing   = "failing" // its last attempt failed; the relay will retry
	Settled   = "delivered"
	Replaced  = "replaced" // permanently rejected; the payloads in By replaced it, if any
	GaveUp    = "given_up" // the callback was detached or removed
	Forgotten = "erased"   // its period was erased
)

// Delivery is one payload, undelivered or settled.
type Delivery struct {
	Number      uint64
	State       string
	Manifest    bool
	Dead        bool // contains replayed dead letters
	Key         string
	First, Last uint64 // the records' first and last sequence
	Attempts    int    // number since the start, or until the payload was settled

	// Set while it is sealed.
	Events, Tombstones uint64
	Size               int64
	Oldest             time.Time // when the relay received the oldest record
	NextTry            time.Time // zero if the next attempt does not depend on time

	// Set once it is settled.
	At                    time.Time
	Location, Version     string
	Duplicate, Unverified bool
	Error                 string
	Cause                 auditrelay.Cause
	By                    []uint64
}

// Live is the state of a sealed payload that only a running lane knows.
type Live struct {
	State    string
	Attempts int
	NextTry  time.Time
}

// Live returns the live state of the sealed payloads, by number.
func (l *Lane) Live() map[uint64]Live {
	live := make(map[uint64]Live, len(l.pending))
	for _, p := range l.pending {
		v := Live{State: Waiting, Attempts: p.attempts}
		switch {
		case p.busy:
			v.State = Sending
		case p.failing:
			v.State, v.NextTry = Failing, l.nextOf(p)
		}
		live[p.Number] = v
	}
	return live
}

// maxLooked limits the number of payloads that one call of Deliveries reads.
const maxLooked = 10_000

// Deliveries lists a lane's payloads below a number (0: all), newest first. It returns at most
// limit that keep accepts, and only sealed ones if sealed is set. next is the below of the next
// call, or 0 at the end. A call may return fewer than limit, even none, before the end. live is
// Lane.Live of a running lane. With sealed, settled payloads cost nothing.
func Deliveries(j *journal.Journal, s *State, live map[uint64]Live, sealed bool, below uint64, limit int, keep func(*Delivery) bool) (list []Delivery, next uint64, err error) {
	if below == 0 || below > s.Number {
		below = s.Number + 1
	}
	waiting, err := sealedBelow(j, s, live, below)
	if err != nil {
		return nil, 0, err
	}
	for looked := 0; below > 1; looked++ {
		if len(list) == limit || looked == maxLooked {
			newest, err := newestBelow(j, s, waiting, sealed, below)
			return list, newest, err
		}
		var d Delivery
		found := false
		if !sealed {
			if d, found, err = FindDelivery(j, s, live, below-1); err != nil {
				return nil, 0, err
			}
		}
		if !found { // skip to the next existing payload
			if below, err = newestBelow(j, s, waiting, sealed, below); err != nil || below == 0 {
				return list, 0, err
			}
			if d, found, err = FindDelivery(j, s, live, below-1); err != nil {
				return nil, 0, err
			}
		}
		below--
		if found && keep(&d) {
			list = append(list, d)
		}
	}
	return list, 0, nil
}

// sealedBelow returns the numbers of a lane's sealed payloads below one, in order.
func sealedBelow(j *journal.Journal, s *State, live map[uint64]Live, below uint64) (numbers []uint64, err error) {
	if live != nil {
		for n := range live {
			if n < below {
				numbers = append(numbers, n)
			}
		}
		slices.Sort(numbers)
		return numbers, nil
	}
	err = j.ScanAll(journal.PayloadKey(s.ID, 0), journal.PayloadKey(s.ID, below), func(k journal.Key, _ []byte, _ bool) error {
		_, _, n, _ := k.Split()
		numbers = append(numbers, n)
		return nil
	})
	return numbers, err
}

// newestBelow returns one more than the highest number below a given one that has a stored
// payload or receipt, or 0 if there is none.
func newestBelow(j *journal.Journal, s *State, waiting []uint64, sealed bool, below uint64) (uint64, error) {
	newest := uint64(0)
	if i, _ := slices.BinarySearch(waiting, below); i > 0 {
		newest = waiting[i-1] + 1
	}
	if sealed {
		return newest, nil
	}
	k, _, ok, err := j.Last(journal.ReceiptKey(s.ID, newest), journal.ReceiptKey(s.ID, below))
	if errors.Is(err, journal.ErrErased) {
		ok, err = true, nil // the key contains the number
	}
	if err != nil || !ok {
		return newest, err
	}
	_, _, n, _ := k.Split()
	return max(newest, n+1), nil
}

// FindDelivery returns one payload of a lane. ok is false if nothing about it is stored.
func FindDelivery(j *journal.Journal, s *State, live map[uint64]Live, number uint64) (d Delivery, ok bool, err error) {
	value, ok, err := j.Get(journal.PayloadKey(s.ID, number))
	if err == nil && ok {
		d, err = sealedDelivery(s, value, live)
		return d, err == nil, err
	}
	if err == nil {
		value, ok, err = j.Get(journal.ReceiptKey(s.ID, number))
	}
	switch {
	case errors.Is(err, journal.ErrErased):
		return Delivery{Number: number, State: Forgotten}, true, nil
	case err != nil || !ok:
		return d, false, err
	}
	d, err = settledDelivery(s, value)
	return d, err == nil, err
}

func sealedDelivery(s *State, value []byte, live map[uint64]Live) (Delivery, error) {
	var m payloadMeta
	if err := json.Unmarshal(value, &m); err != nil {
		return Delivery{}, fmt.Errorf("decode a sealed payload of callback %s: %w", s.LaneName(), err)
	}
	d := Delivery{Number: m.Number, State: Waiting, Manifest: m.Manifest, Dead: m.Dead, Key: m.Key, First: m.First, Last: m.Last,
		Events: m.Events, Tombstones: m.Tombstones, Size: m.Size, Oldest: m.Oldest}
	if v, ok := live[m.Number]; ok {
		d.State, d.Attempts, d.NextTry = v.State, v.Attempts, v.NextTry
	}
	return d, nil
}

func settledDelivery(s *State, value []byte) (Delivery, error) {
	var r receipt
	if err := json.Unmarshal(value, &r); err != nil {
		return Delivery{}, fmt.Errorf("decode a receipt of callback %s: %w", s.LaneName(), err)
	}
	d := Delivery{Number: r.Number, State: Settled, Manifest: r.Last == 0, Key: r.Key, First: r.First, Last: r.Last, Attempts: r.Attempts,
		At: r.At, Location: r.Location, Version: r.Version, Duplicate: r.Duplicate, Unverified: r.Unverified,
		Error: r.Error, Cause: r.Cause, By: r.By}
	switch {
	case r.GivenUp:
		d.State = GaveUp
	case r.Error != "" || len(r.By) > 0:
		d.State = Replaced
	}
	return d, nil
}
