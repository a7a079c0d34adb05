package pgstore

import (
	"cmp"
	"time"
)

// Relay is one relay of a fleet, as the database knows it.
type Relay struct {
	Instance string // of the process
	Name     string
	Address  string // the address for the other relays
	Version  string
	Digest   string // digest of its configuration and version
	Since    time.Time
	Joined   time.Time
	Seen     time.Duration // time since its last sign of life
	Gone     bool          // it left the fleet
	Drained  bool          // an operator told it to give the lease up
	Failed   bool          // it recently failed to open the journal
	Failure  string
	Alive    bool
	Leads    bool
}

// rank orders relays: the greatest one leads. Among relays of one rank the first one that takes
// the lease leads.
type rank struct {
	usable int       // 0: its configuration failed; 1: it was drained; 2: neither
	since  time.Time // when the first living relay brought this configuration
}

func (a rank) compare(b rank) int {
	return cmp.Or(cmp.Compare(a.usable, b.usable), a.since.Compare(b.since))
}

// ranks returns the rank of each living relay. A configuration that failed on one relay counts
// as failed on all.
func ranks(relays []Relay) map[string]rank {
	since, failed := map[string]time.Time{}, map[string]bool{}
	for _, r := range relays {
		if r.Failed {
			failed[r.Digest] = true
		}
		if at, known := since[r.Digest]; r.Alive && (!known || r.Since.Before(at)) {
			since[r.Digest] = r.Since
		}
	}
	all := map[string]rank{}
	for _, r := range relays {
		if !r.Alive {
			continue
		}
		k := rank{usable: 2, since: since[r.Digest]}
		switch {
		case failed[r.Digest]:
			k.usable = 0
		case r.Drained:
			k.usable = 1
		}
		all[r.Instance] = k
	}
	return all
}

// mayLead reports whether no other living relay has a higher rank.
func mayLead(relays []Relay, instance string) bool {
	all := ranks(relays)
	own, known := all[instance]
	for _, k := range all {
		if known && k.compare(own) > 0 {
			return false
		}
	}
	return known
}

// settled is how long a relay must be in the fleet before another one gives the lease up for
// it.
const settled = 2 * time.Second

// shouldYield reports whether the leader must give the lease up for another relay: there is a
// newer configuration, or the leader was drained.
func shouldYield(relays []Relay, instance string, now time.Time) bool {
	all := ranks(relays)
	own, known := all[instance]
	if !known {
		return false
	}
	for _, r := range relays {
		if k, alive := all[r.Instance]; alive && r.Instance != instance && k.compare(own) > 0 && now.Sub(r.Joined) >= settled {
			return true
		}
	}
	return false
}
