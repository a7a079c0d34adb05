package delivery_test

import (
	"flag"
	"os"
	"runtime/debug"
	"strconv"
	"testing"
)

var (
	seedFlag      = flag.Uint64("seed", 0, "run the one history of this seed")
	historiesFlag = flag.Int("histories", 10_000, "how many histories to run")
	firstFlag     = flag.Uint64("first", 1, "the seed of the first")
)

// A history reopens a journal many times, and leaves as much garbage each time.
func TestMain(m *testing.M) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(800)
	}
	os.Exit(m.Run())
}

// TestHistories drives lanes through random histories: incoming events, faults of sinks and
// filters, clock jumps, operators' commands, and crashes that lose unsynced data, at every
// step. At the end all faults stop, and every acknowledged event must have the outcome that its
// filter decided, on every lane, once under each key.
func TestHistories(t *testing.T) {
	if *seedFlag != 0 {
		if err := runHistory(*seedFlag, t.Logf, false); err != nil {
			t.Fatal(err)
		}
		return
	}
	n := *historiesFlag
	if testing.Short() {
		n = 100
	}
	const shards = 4
	var shown shown
	t.Cleanup(func() { shown.enough(t, n) }) // when all shards are done
	for shard := range shards {
		t.Run(strconv.Itoa(shard), func(t *testing.T) {
			t.Parallel()
			for i := shard; i < n; i += shards {
				seed := *firstFlag + uint64(i)
				w, err := playHistory(seed, func(string, ...any) {}, false)
				if err != nil {
					t.Fatalf("%v\nreplay with: go test ./runtime/internal/delivery -run TestHistories -seed %d -v", err, seed)
				}
				shown.add(w)
			}
		})
	}
}

// TestHistoriesNoticeMissingSync shows that the simulator can fail: without sync in the journal
// it must find lost acknowledged events.
func TestHistoriesNoticeMissingSync(t *testing.T) {
	for seed := uint64(1); seed <= 200; seed++ {
		if err := runHistory(seed, func(string, ...any) {}, true); err != nil {
			t.Logf("seed %d: %v", seed, err)
			return
		}
	}
	t.Fatal("200 histories without a single sync lost nothing: the simulator is blind")
}

func runHistory(seed uint64, logf func(string, ...any), noSync bool) error {
	_, err := playHistory(seed, logf, noSync)
	return err
}
