package ui

import (
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/cli/internal/api"
	relayhttp "auditrelay/cli/internal/http"
	"auditrelay/config"
	"auditrelay/runtime"
)

// many is a relay with callbacks and events as on a busy day. Two callbacks deliver, one has dead
// letters, and all others skip every event.
type many struct {
	t       *testing.T
	rt      *runtime.Runtime
	handler http.Handler
	pages   *server
	events  int
	now     func() time.Time // the clock of the pages
	asked   map[string]int   // how often the pages called the API, by path
}

// newMany opens the relay in dir. If dir is empty, it uses a directory that the test removes.
func newMany(t *testing.T, callbacks int, dir string) *many {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	all := []runtime.Callback{
		{Name: "archive", Sink: bulk{}},
		{Name: "copy", Sink: bulk{}},
		{Name: "refusing", Sink: sink{refuse: true}, When: &auditrelay.When{Fields: map[string][]string{"action": {"rotated"}}}},
	}
	for i := len(all); i < callbacks; i++ {
		all = append(all, runtime.Callback{Name: fmt.Sprint("callback", i), Sink: bulk{}, When: &auditrelay.When{Fields: map[string][]string{"action": {"rotated"}, "table_name": {fmt.Sprint("table", i)}}}})
	}
	for i := range all {
		all[i].Chunk.Age = 50 * time.Millisecond
	}
	if dir == "" {
		dir = t.TempDir()
	}
	rt, err := runtime.Open(t.Context(), runtime.Options{Logger: quiet, Dir: dir, Callbacks: all,
		Journal: runtime.JournalOptions{UnsafeNoSync: true}}) // the cost of a page does not depend on the disk
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rt.Close() })
	m := &many{t: t, rt: rt, asked: map[string]int{}, events: int(rt.Stats().Head - 1), now: time.Now} // an existing journal may contain some
	h, err := relayhttp.New(relayhttp.Options{
		Runtime: rt, Config: &config.Config{Listen: "127.0.0.1:0"}, Logger: quiet,
		Pages: func(api http.Handler, denied relayhttp.Denied) http.Handler {
			counted := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				m.asked[r.URL.Path]++
				api.ServeHTTP(w, r)
			})
			m.pages = &server{Options: Options{API: api, Logger: quiet, now: time.Now}, sessions: newSessions(time.Now)}
			return New(Options{API: counted, Denied: denied, Logger: quiet, now: func() time.Time { return m.now() }})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	m.handler = h.Handler()
	return m
}

// bulk makes one payload of a chunk.
type bulk struct{ sink }

func (bulk) Render(chunk auditrelay.Chunk) ([]auditrelay.Payload, error) {
	p := auditrelay.Payload{Key: fmt.Sprint(chunk.Records[0].Sequence), Body: []byte("{}\n")}
	for _, r := range chunk.Records {
		p.Sequences = append(p.Sequences, r.Sequence)
	}
	return []auditrelay.Payload{p}, nil
}

// grow accepts events until the relay has this many, and waits for their outcomes.
func (m *many) grow(to int) {
	m.t.Helper()
	for m.events < to {
		var some []runtime.Submission
		for range min(10_000, to-m.events) {
			action := "created"
			if m.events < 10_000 && m.events%1000 == 7 { // the number of dead letters does not depend on the number of events
				action = "rotated"
			}
			some = append(some, runtime.Submission{Data: fmt.Appendf(nil, `{"id":"e%d","updated_at":"2026-01-31T12:00:00+00:00","changed_by":"u","action":%q,"table_name":"LiteLLM_TeamTable","object_id":"o","updated_values":"{\"alias\":\"blue\"}"}`, m.events, action)})
			m.events++
		}
		if _, err := m.rt.Submit(m.t.Context(), some...); err != nil {
			m.t.Fatal(err)
		}
	}
	if err := m.rt.Settled(m.t.Context()); err != nil {
		m.t.Fatal(err)
	}
}

// get renders a page.
func (m *many) get(path string) {
	req := httptest.NewRequest(http.MethodGet, "http://127.0.0.1"+path, nil)
	req.RemoteAddr = "127.0.0.1:1"
	out := httptest.NewRecorder()
	if m.handler.ServeHTTP(out, req); out.Code != http.StatusOK || !strings.Contains(out.Body.String(), "</html>") {
		m.t.Fatalf("%s: %d", path, out.Code)
	}
}

// look does the work of an open page at a tick without changes.
func (m *many) look() {
	req := httptest.NewRequest(http.MethodGet, "http://127.0.0.1/ui/live", nil)
	req.RemoteAddr = "127.0.0.1:1"
	v := &visit{server: m.pages, r: req, api: m.pages.client(req, "")}
	if _, err := v.fingerprint(m.t.Context()); err != nil {
		m.t.Fatal(err)
	}
}

// busyPages lists the screens whose contents grow.
func busyPages() []string {
	return []string{"/ui/", "/ui/callbacks/archive", "/ui/undelivered", "/ui/dead-letters?callback=refusing", "/ui/quarantine", "/ui/completeness", "/ui/events?id=e500", "/ui/control"}
}

// TestPagesDoNotGrowWithTheJournal: a screen does about as much work for many events as for few,
// except for a few more steps of a search. The test compares three numbers of events. It counts
// allocations and measures no time. Screens that show a window of the journal get more events than
// the window holds. The lists of payloads and the plots are full from the start.
func TestPagesDoNotGrowWithTheJournal(t *testing.T) {
	m := newMany(t, 10, "")
	for range 25 { // more payloads than a screen lists
		m.grow(m.events + 10)
	}
	clock := time.Now()
	m.now = func() time.Time {
		clock = clock.Add(defaultTick)
		return clock
	}
	for range samples + 2 {
		m.get("/ui/")
	}
	few := map[string]float64{}
	// Allocations also include the relay's background work on accepted events. That can only add to
	// the number, so take the minimum of many looks, and stop once it is below the limit.
	measure := func(path string, limit float64) float64 {
		do := func() { m.get(path) }
		if path == "/ui/live" {
			do = m.look
		}
		least := testing.AllocsPerRun(1, do)
		for i := 1; i < 7 || least > limit && i < 100; i++ {
			least = min(least, testing.AllocsPerRun(1, do))
		}
		return least
	}
	for _, size := range []int{10_000, 20_000, 50_000} {
		m.grow(size)
		for _, path := range append(busyPages(), "/ui/live") {
			before, ok := few[path]
			if !ok {
				few[path] = measure(path, math.Inf(1))
			} else if now := measure(path, 1.25*before+300); now > 1.25*before+300 {
				t.Errorf("%s: %.0f allocations with %d events, %.0f with 10,000", path, now, size, before)
			}
		}
	}
}

// TestUndeliveredLooksOnce: the screen requests the undelivered payloads once for all states.
func TestUndeliveredLooksOnce(t *testing.T) {
	m := newMany(t, 3, "")
	m.grow(10)
	m.get("/ui/undelivered")
	if n := m.asked["/v1/deliveries"]; n != 1 {
		t.Errorf("the screen looked through the payloads %d times", n)
	}
}

// TestReasonsOfUndelivered: if many payloads fail at once, the relay keeps the attempts of only
// some. The screen does not call the others untried.
func TestReasonsOfUndelivered(t *testing.T) {
	var view undeliveredView
	for _, d := range []api.Delivery{
		{State: "waiting"},
		{State: "failing", Attempts: 2, History: []api.Attempt{{Kind: "transient", Reason: "timeout"}}},
		{State: "failing", Attempts: 2},
	} {
		view.add(&d)
	}
	var got []string
	for _, r := range view.Reasons {
		got = append(got, r.State+": "+r.Reason)
	}
	if want := []string{"waiting: not tried yet", "failing: timeout", "failing: its attempts are no longer kept"}; !slices.Equal(got, want) {
		t.Errorf("the reasons are %q, want %q", got, want)
	}
}

// TestAnOpenPageCostsLittle: with 50 callbacks, an open page takes less than 1 % of a core of
// processor time while nothing changes. It looks for changes every 3 seconds.
// TestPagesDoNotGrowWithTheJournal shows that a look costs no more for many events.
// TestPagesWithAMillionEvents measures the cost of an update.
func TestAnOpenPageCostsLittle(t *testing.T) {
	if raceDetector {
		t.Skip("it measures; make test runs it without the race detector")
	}
	m := newMany(t, 50, "")
	m.grow(2000)
	m.look()
	var costs []time.Duration
	for range 31 {
		begun := processor(t)
		m.look()
		costs = append(costs, processor(t)-begun)
	}
	slices.Sort(costs)
	tick := defaultTick
	cost := costs[len(costs)/2]
	share := float64(cost) / float64(tick)
	t.Logf("a look takes %v of processor every %v: %.2f %% of a core", cost, tick, 100*share)
	if share > 0.01 {
		t.Error("that is more than 1 %")
	}
}

// TestPagesWithAMillionEvents measures pages if AUDITRELAY_PAGES names a number of events, for
// example 1000000. It counts processor time, since other processes affect wall clock time. It keeps
// the journal in AUDITRELAY_PAGES_DIR, so that another run can measure with the same events.
func TestPagesWithAMillionEvents(t *testing.T) {
	events := 0
	if _, err := fmt.Sscan(os.Getenv("AUDITRELAY_PAGES"), &events); err != nil {
		t.Skip("AUDITRELAY_PAGES does not say how many events: nothing is measured")
	}
	m := newMany(t, 50, os.Getenv("AUDITRELAY_PAGES_DIR"))
	begun, had := time.Now(), m.events
	m.grow(events)
	t.Logf("%d events on 50 callbacks, %d of them there already, the others accepted and judged in %v", m.events, had, time.Since(begun))
	measure := func(name string, do func()) time.Duration {
		do()
		var walls, cpus []time.Duration
		for range 31 {
			cpu, wall := processor(t), time.Now()
			do()
			cpus, walls = append(cpus, processor(t)-cpu), append(walls, time.Since(wall))
		}
		slices.Sort(cpus)
		slices.Sort(walls)
		t.Logf("%-32s ms, least, median, most: processor %6.1f %6.1f %6.1f, wall %6.1f %6.1f %6.1f", name,
			ms(cpus[0]), ms(cpus[15]), ms(cpus[30]), ms(walls[0]), ms(walls[15]), ms(walls[30]))
		return cpus[15]
	}
	for _, path := range busyPages() {
		if cpu := measure(path, func() { m.get(path) }); cpu > 100*time.Millisecond {
			t.Errorf("%s takes %v of processor", path, cpu)
		}
	}
	idle := measure("an open page, a look", m.look)
	busy := idle + measure("an open overview, updated", func() { m.get("/ui/") })
	for name, cost := range map[string]time.Duration{"nothing changes": idle, "everything changes": busy} {
		share := float64(cost) / float64(defaultTick)
		t.Logf("an open page while %s: %.2f %% of a core", name, 100*share)
		if share > 0.01 {
			t.Errorf("an open page takes more than 1 %% of a core while %s", name)
		}
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// processor returns the processor time of this process until now.
func processor(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// A malformed number in the address is refused, not read as no number.
func TestNumbersInTheAddress(t *testing.T) {
	m := newMany(t, 3, "")
	for _, path := range []string{"/ui/control?from=zzz", "/ui/dead-letters?after=abc", "/ui/dead-letters?after=-1", "/ui/quarantine?after=99999999999999999999", "/ui/completeness?days=x"} {
		req := httptest.NewRequest(http.MethodGet, "http://127.0.0.1"+path, nil)
		req.RemoteAddr = "127.0.0.1:1"
		out := httptest.NewRecorder()
		if m.handler.ServeHTTP(out, req); out.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", path, out.Code)
		}
	}
}
