package journal

import (
	"crypto/cipher"
	"math"
	"slices"
	"time"
)

// Period is a range of the journal whose records are encrypted with one key. An event's
// sequence determines its period. Data about an event belongs to the event's period.
type Period struct {
	// Number identifies the period, from 1.
	Number uint64 `json:"number"`
	// From and To are the half-open range of its sequences; To is 0 for the current period.
	From uint64 `json:"from"`
	To   uint64 `json:"-"`
	// Began and Until are the scheduled start and end, by the events' times of acceptance.
	Began time.Time `json:"began"`
	Until time.Time `json:"until"`
	// Plain: encryption was off, so there is no key.
	Plain bool `json:"plain,omitempty"`
	// Destroyed is when its key was destroyed; zero if it was not.
	Destroyed time.Time `json:"destroyed,omitzero"`
}

// Current reports whether new events belong to the period.
func (p *Period) Current() bool { return p.To == 0 }

// Erased reports whether its key was destroyed.
func (p *Period) Erased() bool { return !p.Destroyed.IsZero() }

// period is a period with its key.
type period struct {
	Period
	Wrapped []byte `json:"key,omitempty"` // nonce, encrypted key, tag

	aead cipher.AEAD  // nil if there is no key
	salt cipher.Block // nil if there is no key; generates the salts of the proofs
}

// live reports whether the period has a key, so that the master key is needed.
func (p *period) live() bool { return !p.Plain && !p.Erased() }

// keyring has all known periods, oldest first, numbered without gaps. Sequences before the
// first period were never encrypted, or the period was forgotten. A keyring is immutable. It is
// nil for a journal that never encrypted anything.
type keyring struct {
	salt    []byte
	periods []*period
}

func (k *keyring) last() *period {
	if k == nil || len(k.periods) == 0 {
		return nil
	}
	return k.periods[len(k.periods)-1]
}

// at returns the period of a sequence and the period's end. If the sequence is before all
// periods, p is nil and end is where the first period starts.
func (k *keyring) at(sequence uint64) (p *period, end uint64) {
	end = math.MaxUint64
	if k == nil {
		return nil, end
	}
	for _, next := range slices.Backward(k.periods) {
		if next.From <= sequence {
			return next, end
		}
		end = next.From
	}
	return nil, end
}

// numbered returns the period with a number, or *ErasedError if its key was destroyed or the
// period was forgotten.
func (k *keyring) numbered(n uint64) (*period, error) {
	if k.last() == nil || n > k.last().Number || n == 0 {
		return nil, errDamaged
	}
	if n < k.periods[0].Number {
		return nil, &ErasedError{Period: n}
	}
	p := k.periods[n-k.periods[0].Number]
	if p.Erased() {
		return nil, &ErasedError{Period: n}
	}
	return p, nil
}

func (k *keyring) needsMaster() bool {
	return k != nil && slices.ContainsFunc(k.periods, (*period).live)
}

// with returns a copy of the keyring with other periods.
func (k *keyring) with(periods []*period) *keyring {
	for i, p := range periods[:max(len(periods)-1, 0)] {
		if end := periods[i+1].From; p.To != end {
			copied := *p
			copied.To, periods[i] = end, &copied
		}
	}
	if n := len(periods); n > 0 && periods[n-1].To != 0 {
		copied := *periods[n-1]
		copied.To, periods[n-1] = 0, &copied
	}
	return &keyring{salt: k.salt, periods: periods}
}

// Periods returns the known periods, oldest first. It is empty if nothing was ever encrypted.
func (j *Journal) Periods() []Period {
	k := j.keyring.Load()
	if k == nil {
		return nil
	}
	list := make([]Period, len(k.periods))
	for i, p := range k.periods {
		list[i] = p.Period
	}
	return list
}

// PeriodEnd returns the sequence at which the period of an event ends. For the current period
// it is the maximum sequence.
func (j *Journal) PeriodEnd(sequence uint64) uint64 {
	_, end := j.keyring.Load().at(sequence)
	return end
}
