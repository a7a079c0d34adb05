package verify

import (
	"slices"
	"strings"
)

// openLog is a log of a sink file that may continue. Everything stated before until was in the
// file before the log's last clock.
type openLog struct {
	*log
	until int64
}

const (
	// silentRounds is the maximum number of checkpoint rounds without output of a log that
	// continues. A relay publishes every log at least once in 60 rounds.
	silentRounds = 64
	// answered is the maximum time in seconds until a log states a write: the timeout of an
	// attempt, plus twice a round.
	answered = 60
	maxRound = 24 * 60 * 60 // the maximum of proofs.every
)

// open returns the logs of a sink file that may continue: a callback's log and those of its
// replays. Each is signed separately, so they may lag behind each other. A replay that has
// ended is silent.
func (v *verifier) open(set string) (open []openLog) {
	newest, rounds, closed := int64(0), []int64(nil), map[string]bool{}
	payloads, all := map[string]int{}, 0 // by callback: logs of another callback say nothing about this file
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

// callback returns the callback named in the log's origin. Replays have the same one.
func (l *log) callback() string {
	callback, _, _ := strings.Cut(l.origin, "@")
	return callback
}
