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
	Waiting   = "waiting" // sealed; not tried yet since start, or its failure is over
	Sending   = "sending"
	Failing   = "failing" // its last attempt failed; it is tried again
	Settled   = "delivered"
	Replaced  = "replaced" // refused for good: By took its place, if anything did
	GaveUp    = "given_up" // the callback was detached or removed
	Forgotten = "erased"   // its period was erased
)

// Delivery is one payload on its way, or what is kept of it afterwards.
type Delivery struct {
	Number      uint64
	State       string
	Manifest    bool
	Dead        bool // replays dead letters
	Key         string
	First, Last uint64 // the range of its records' sequences
	Attempts    int    // since start, or until it was settled

	// While it is sealed.
	Events, Tombstones uint64
	Size               int64
	Oldest             time.Time // received time of its oldest record
	NextTry            time.Time // zero where it waits for no time

	// Afterwards.
	At                    time.Time
	Location, Version     string
	Duplicate, Unverified bool
	Error                 string
	Cause                 auditrelay.Cause
	By                    []uint64
}

// Live is what only a running lane knows of a sealed payload.
type Live struct {
	State    string
	Attempts int
	NextTry  time.Time
}

// Live returns what the lane knows of its sealed payloads, by number.
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

// maxLooked bounds how many payloads one call of Deliveries looks at.
const maxLooked = 10_000

// Deliveries lists a lane's payloads below a number (0: all), newest first: at most limit
// for which keep says so, and only sealed ones if sealed. next is where the next call goes on,
// 0 at the end; a call may return fewer than limit, even none, before the end. live is
// Lane.Live of a running lane. What was settled costs nothing where it is not asked for.
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
		if !found { // go on where there is something
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

// newestBelow returns one more than the greatest number below one of which something is kept,
// 0 if there is none.
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
		ok, err = true, nil // the key comes along
	}
	if err != nil || !ok {
		return newest, err
	}
	_, _, n, _ := k.Split()
	return max(newest, n+1), nil
}

// FindDelivery returns one payload of a lane; ok is false if nothing is kept of it.
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
