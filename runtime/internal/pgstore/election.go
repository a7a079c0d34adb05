package pgstore

import (
	"cmp"
	"time"
)

// Relay is one relay of a fleet, as the database knows it.
type Relay struct {
	Instance string // of its process
	Name     string
	Address  string // at which the others reach it
	Version  string
	Digest   string // of its configuration and version
	Since    time.Time
	Joined   time.Time
	Seen     time.Duration // since it last showed that it lives
	Gone     bool          // it left
	Drained  bool          // it was told to give the lease up
	Failed   bool          // it could not open the journal, not long ago
	Failure  string
	Alive    bool
	Leads    bool
}

// rank orders relays: the greatest one leads. Relays of one rank are equals: whichever is
// first.
type rank struct {
	usable int       // 0: its configuration failed; 1: it was drained; 2: neither
	since  time.Time // when the first relay that lives brought its configuration
}

func (a rank) compare(b rank) int {
	return cmp.Or(cmp.Compare(a.usable, b.usable), a.since.Compare(b.since))
}

// ranks returns the rank of each relay that lives. A configuration that failed on one relay
// counts as failed on all.
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

// mayLead reports whether no other relay that lives comes before this one.
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

// settled is how long a relay has to be there before another one gives the lease up for it.
const settled = 2 * time.Second

// shouldYield reports whether the leader is to give the lease up for another relay: a newer
// configuration, or the leader was told to.
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
