package verify

import (
	"slices"
	"strings"
)

// openLog is a log of a sink file that may go on. What was stated before until stood in the
// file before the log's last clock.
type openLog struct {
	*log
	until int64
}

const (
	// silentRounds is for how many rounds of checkpoints a log may be silent that goes on: a
	// relay publishes every log once in 60.
	silentRounds = 64
	// answered is how long it takes at most, in seconds, until a log states what was
	// written: an attempt's time, and twice a round.
	answered = 60
	maxRound = 24 * 60 * 60 // the longest proofs.every
)

// open returns the logs of a sink file that may go on: a callback's, and its replays', each
// signed for itself, so that one can be behind another. A replay that has ended is silent.
func (v *verifier) open(set string) (open []openLog) {
	newest, rounds, closed := int64(0), []int64(nil), map[string]bool{}
	payloads, all := map[string]int{}, 0 // by callback: another's logs say nothing of this file
	for _, l := range v.logs {
		if l.set != set {
			continue
		}
		newest, rounds = max(newest, l.clock), append(rounds, l.rounds...)
		payloads[l.callback()], all = payloads[l.callback()]+len(l.payloads), all+len(l.payloads)
		if before := v.logs[l.begin.Previous]; before != nil && before.size() >= l.begin.PreviousSize {
			closed[before.origin] = true
		}
	}
	round := int64(60) // the default
	if len(rounds) > 0 {
		slices.Sort(rounds)
		round = min(max(1, rounds[len(rounds)/2]), maxRound)
	}
	for _, l := range v.logs {
		foreign := all > 0 && payloads[l.callback()] == 0
		if l.set == set && !closed[l.origin] && !foreign && l.clock+silentRounds*round >= newest {
			open = append(open, openLog{l, l.clock - 2*round - answered})
		}
	}
	return open
}

// callback is what the log's origin says of its callback; a replay's has the same.
func (l *log) callback() string {
	callback, _, _ := strings.Cut(l.origin, "@")
	return callback
}
