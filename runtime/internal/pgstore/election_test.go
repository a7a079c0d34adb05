package pgstore

import (
	"testing"
	"time"
)

func TestElection(t *testing.T) {
	at := func(minute int) time.Time { return time.Date(2026, 1, 1, 0, minute, 0, 0, time.UTC) }
	relay := func(instance, digest string, since int, change ...func(*Relay)) Relay {
		r := Relay{Instance: instance, Digest: digest, Since: at(since), Joined: at(since), Alive: true}
		for _, c := range change {
			c(&r)
		}
		return r
	}
	drained := func(r *Relay) { r.Drained = true }
	failed := func(r *Relay) { r.Failed = true }
	dead := func(r *Relay) { r.Alive = false }
	for _, test := range []struct {
		name   string
		relays []Relay
		may    string // which may lead
		yields bool   // a, if it leads
	}{
		{"alone", []Relay{relay("a", "1", 0)}, "a", false},
		{"equals", []Relay{relay("a", "1", 0), relay("b", "1", 5)}, "ab", false},
		{"a newer configuration", []Relay{relay("a", "1", 0), relay("b", "2", 5)}, "b", true},
		{"a newer one that is gone", []Relay{relay("a", "1", 0), relay("b", "2", 5, dead)}, "a", false},
		{"a newer one that failed", []Relay{relay("a", "1", 0), relay("b", "2", 5), relay("c", "2", 6, dead, failed)}, "a", false},
		{"all failed", []Relay{relay("a", "1", 0, failed), relay("b", "1", 5)}, "ab", false},
		{"drained", []Relay{relay("a", "1", 0, drained), relay("b", "1", 5)}, "b", true},
		{"all drained", []Relay{relay("a", "1", 0, drained), relay("b", "1", 5, drained)}, "ab", false},
		{"the newest is drained", []Relay{relay("a", "1", 0), relay("b", "2", 5, drained)}, "a", false},
		{"one with the old configuration starts anew", []Relay{relay("a", "2", 5), relay("b", "1", 0), relay("c", "1", 0)}, "a", false},
		{"it is not known", []Relay{relay("b", "1", 0)}, "b", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := ""
			for _, instance := range []string{"a", "b", "c"} {
				if mayLead(test.relays, instance) {
					got += instance
				}
			}
			if got != test.may {
				t.Errorf("may lead: %s, want %s", got, test.may)
			}
			if yields := shouldYield(test.relays, "a", at(30)); yields != test.yields {
				t.Errorf("a yields: %v", yields)
			}
		})
	}
	if shouldYield([]Relay{relay("a", "1", 0), relay("b", "2", 5)}, "a", at(5)) {
		t.Error("a yields to a relay that has just come")
	}
}
