package runtime

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// TestMemoryIsSharedFairly lets callbacks take memory at random: some release it soon, some
// keep it for hours, like a callback whose destination hangs. The working ones must continue,
// and the budget must hold.
func TestMemoryIsSharedFairly(t *testing.T) {
	for seed := range uint64(8) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			const total = 1 << 20
			m := newMemory(total)
			ctx, cancel := context.WithCancel(t.Context())
			n := 2 + random.IntN(40)
			alive := make(chan int, n)
			for i := range n {
				a := m.open()
				dead := i%2 == 1
				m.mark(a, dead)
				large := i%5 == 0
				for range 1 + random.IntN(3) { // concurrent takes and deliveries
					random := rand.New(rand.NewPCG(seed, random.Uint64()))
					go func() {
						for k := 0; ctx.Err() == nil; k++ {
							g, err := memoryAsk(ctx, random, m, a, large && random.IntN(3) == 0)
							if err != nil {
								return
							}
							pause := time.Duration(random.IntN(1000)) * time.Millisecond
							if dead {
								pause = time.Hour
							}
							sleep(ctx, pause)
							g.release()
							if !dead && k == 20 {
								alive <- i
							}
						}
					}()
				}
			}
			// The large ones pass one at a time, in some seconds each. None waits hours for a
			// dead one.
			time.Sleep(8 * time.Minute)
			synctest.Wait()
			working := map[int]bool{}
			for len(alive) > 0 {
				working[<-alive] = true
			}
			for i := 0; i < n; i += 2 {
				if !working[i] {
					t.Errorf("seed %d: callback %d of %d works, and gets no memory: %+v", seed, i, n, m.stats())
				}
			}
			// One large grant of each class may exceed the budget.
			if s := m.stats(); s.Used > total+2*2*total {
				t.Errorf("seed %d: %d bytes are held of %d", seed, s.Used, s.Limit)
			}
			cancel()
			synctest.Wait()
			if s := m.stats(); s.Used != 0 || s.Waiting != 0 || m.large != [2]bool{} {
				t.Errorf("seed %d: all have gone, and memory is held: %+v", seed, s)
			}
		})
	}
}

// memoryAsk takes memory like a take or a delivery. large: more than the total.
func memoryAsk(ctx context.Context, random *rand.Rand, m *memory, a *memoryAccount, large bool) (*grant, error) {
	switch {
	case large:
		return m.all(ctx, a, m.total+random.Int64N(m.total))
	case random.IntN(2) == 0:
		return m.all(ctx, a, random.Int64N(m.total/100))
	}
	return m.take(ctx, a, random.Int64N(2*m.total))
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// TestMemoryShrinksTakes: the share of a single callback, and the share of each of many.
func TestMemoryShrinksTakes(t *testing.T) {
	for _, test := range []struct {
		callbacks          int
		want               int64
		first, least, used int64 // share of the first, minimum share, maximum sum
	}{
		{callbacks: 1, want: 32 << 20, first: 32 << 20, least: 32 << 20, used: 32 << 20},
		{callbacks: 4, want: 32 << 20, first: 23_967_452, least: 9 << 20, used: 64 << 20},
		{callbacks: 64, want: 32 << 20, first: 17_173_536, least: 512 << 10, used: 64 << 20},
		{callbacks: 64, want: 256 << 10, first: 256 << 10, least: 256 << 10, used: 16 << 20},
	} {
		m := newMemory(64 << 20)
		var accounts []*memoryAccount
		for range test.callbacks {
			accounts = append(accounts, m.open())
		}
		for i, a := range accounts {
			g, err := m.take(t.Context(), a, test.want)
			if err != nil {
				t.Fatal(err)
			}
			if i == 0 && g.bytes != test.first || g.bytes < test.least {
				t.Errorf("%d callbacks that want %d: number %d got %d", test.callbacks, test.want, i, g.bytes)
			}
		}
		if s := m.stats(); s.Used > test.used {
			t.Errorf("%d callbacks hold %d, at most %d", test.callbacks, s.Used, test.used)
		}
	}
}
