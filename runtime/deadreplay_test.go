package runtime_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/runtime"
)

// refusing is a sink that refuses everything until it is repaired. Then it counts the
// deliveries of each sequence.
type refusing struct {
	*memorySink
	mu    sync.Mutex
	times map[uint64]int
}

func newRefusing() *refusing {
	s := &refusing{memorySink: &memorySink{}, times: map[uint64]int{}}
	s.set(func(auditrelay.Payload) error { return refuse(auditrelay.Refused) })
	return s
}

func (s *refusing) mend() {
	s.set(func(p auditrelay.Payload) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		lines := strings.Split(string(p.Body), "\n")
		for i, sequence := range p.Sequences {
			if !strings.Contains(lines[i], `"table_name":"auditrelay_`) { // not an own record
				s.times[sequence]++
			}
		}
		return nil
	})
}

func (s *refusing) delivered() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.times)
}

// twice returns a sequence delivered more than once, or 0.
func (s *refusing) twice() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	for sequence, n := range s.times {
		if n > 1 {
			return sequence
		}
	}
	return 0
}

func dead(action, table string) string {
	return fmt.Sprintf(`{"id":"%s-%s-%d","action":%q,"table_name":%q}`, action, table, time.Now().UnixNano(), action, table)
}

// jobDone waits until a job has ended.
func jobDone(t *testing.T, r *runtime.Runtime, id string) runtime.DeadReplay {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for tick := time.NewTicker(time.Millisecond); ; <-tick.C {
		for _, j := range r.DeadReplays() {
			if j.ID == id && j.State != runtime.DeadReplayRunning {
				tick.Stop()
				return j
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("the job does not end: %+v", r.DeadReplays())
		}
	}
}

// TestDeadLettersAreReplayedByFilter: selected dead letters are replayed, all others stay. A
// dry run counts and starts nothing. Later dead letters do not belong to the job.
func TestDeadLettersAreReplayedByFilter(t *testing.T) {
	cases := []struct {
		name   string
		filter func(middle time.Time) runtime.DeadLetterFilter
		want   []uint64
	}{
		{"all", func(time.Time) runtime.DeadLetterFilter { return runtime.DeadLetterFilter{} }, []uint64{1, 2, 3, 4}},
		{"cause", func(time.Time) runtime.DeadLetterFilter {
			return runtime.DeadLetterFilter{Causes: []auditrelay.Cause{auditrelay.CauseRefused}}
		}, []uint64{1, 2, 3, 4}},
		{"another cause", func(time.Time) runtime.DeadLetterFilter {
			return runtime.DeadLetterFilter{Causes: []auditrelay.Cause{auditrelay.CauseTrap}}
		}, nil},
		{"action", func(time.Time) runtime.DeadLetterFilter {
			return runtime.DeadLetterFilter{Actions: []string{"created", "rotated"}}
		}, []uint64{1, 3}},
		{"action and table", func(time.Time) runtime.DeadLetterFilter {
			return runtime.DeadLetterFilter{Actions: []string{"created"}, Tables: []string{"keys"}}
		}, []uint64{3}},
		{"sequences", func(time.Time) runtime.DeadLetterFilter {
			return runtime.DeadLetterFilter{Sequences: []uint64{2, 99}}
		}, []uint64{2}},
		{"set aside from", func(m time.Time) runtime.DeadLetterFilter { return runtime.DeadLetterFilter{From: m} }, []uint64{3, 4}},
		{"set aside before", func(m time.Time) runtime.DeadLetterFilter { return runtime.DeadLetterFilter{To: m} }, []uint64{1, 2}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			sink := newRefusing()
			r := start(t, runtime.Options{Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: sink})}})
			submit(t, r, dead("created", "teams"), dead("deleted", "teams"))
			settle(t, r)
			middle := time.Now()
			submit(t, r, dead("created", "keys"), dead("deleted", "keys"))
			settle(t, r)
			request := runtime.DeadReplayRequest{Callback: "archive", Filter: c.filter(middle), DryRun: true, By: runtime.By{Principal: "ops"}}
			dry, err := r.StartDeadReplay(t.Context(), request)
			if err != nil || dry.ID != "" || dry.Matched != uint64(len(c.want)) || len(r.DeadReplays()) != 0 {
				t.Fatalf("dry run: %+v, %v", dry, err)
			}
			sink.mend()
			request.DryRun = false
			job, err := r.StartDeadReplay(t.Context(), request)
			if err != nil || job.Matched != uint64(len(c.want)) || (job.ID == "") != (len(c.want) == 0) {
				t.Fatalf("%+v, %v", job, err)
			}
			if job.ID != "" {
				if job = jobDone(t, r, job.ID); job.State != runtime.DeadReplayDone || job.Given != uint64(len(c.want)) || job.Ended.IsZero() || job.By != "ops" {
					t.Errorf("%+v", job)
				}
			}
			settle(t, r)
			left, err := r.DeadLetters(t.Context(), "archive", 0, 0)
			if err != nil || len(left) != 4-len(c.want) || sink.delivered() != len(c.want) {
				t.Errorf("%d are left, %d were delivered: %v", len(left), sink.delivered(), err)
			}
			for _, sequence := range c.want {
				if sink.times[sequence] != 1 {
					t.Errorf("sequence %d was delivered %d times", sequence, sink.times[sequence])
				}
			}
			account(t, r, "archive")
		})
	}
}

// TestDeadReplayKeepsItsRateAndSurvivesARestart: a job continues at its position and replays
// each dead letter once.
func TestDeadReplayKeepsItsRateAndSurvivesARestart(t *testing.T) {
	const letters, rate = 30, 50
	dir := t.TempDir()
	sink := newRefusing()
	options := func() runtime.Options {
		return runtime.Options{Dir: dir, Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: sink})}}
	}
	r := start(t, options())
	for range letters {
		submit(t, r, dead("created", "teams"))
	}
	settle(t, r)
	sink.mend()
	began := time.Now()
	job, err := r.StartDeadReplay(t.Context(), runtime.DeadReplayRequest{Callback: "archive", Rate: rate})
	if err != nil || job.Matched != letters {
		t.Fatalf("%+v, %v", job, err)
	}
	await(t, r, "archive", "under way", func(runtime.CallbackStatus) bool { return sink.delivered() >= letters/5 })
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if sink.delivered() == letters {
		t.Fatal("the job was through before the restart: its rate was not kept")
	}
	r = start(t, options())
	job = jobDone(t, r, job.ID)
	settle(t, r)
	if job.State != runtime.DeadReplayDone || job.Given != letters || sink.delivered() != letters || sink.twice() != 0 {
		t.Errorf("%+v: %d delivered, %d twice", job, sink.delivered(), sink.twice())
	}
	// At most the configured rate, plus one tick's allowance in each life.
	if took, least := time.Since(began), (letters-2*rate/5)*time.Second/rate; took < least {
		t.Errorf("%d were given within %v, want at least %v at %d/s", letters, took, least, rate)
	}
	if got := account(t, r, "archive"); got.DeadLettered != 0 || got.Delivered != letters+1 { // including the own record of the job
		t.Errorf("the account: %+v", got)
	}
}

// TestDeadReplayIsCancelled: events that the job submitted but nobody has processed become dead
// letters again. A second cancellation changes nothing.
func TestDeadReplayIsCancelled(t *testing.T) {
	sink := newRefusing()
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: sink})}})
	submit(t, r, dead("created", "teams"), dead("deleted", "teams"), dead("rotated", "teams"))
	settle(t, r)
	if err := r.Pause(t.Context(), "archive", runtime.By{Principal: "ops"}); err != nil {
		t.Fatal(err)
	}
	sink.mend()
	for _, rate := range []float64{0, 0.001} {
		job, err := r.StartDeadReplay(t.Context(), runtime.DeadReplayRequest{Callback: "archive", Rate: rate})
		if err != nil {
			t.Fatal(err)
		}
		if rate == 0 {
			job = jobDone(t, r, job.ID)
		}
		for range 2 {
			job, err = r.CancelDeadReplay(t.Context(), job.ID, runtime.By{Principal: "ops"})
			if err != nil || job.State != runtime.DeadReplayCancelled || job.Given != 0 {
				t.Errorf("rate %v: %+v, %v", rate, job, err)
			}
		}
		letters, err := r.DeadLetters(t.Context(), "archive", 0, 0)
		if err != nil || len(letters) != 3 || letters[0].Replaying || letters[2].Replaying {
			t.Errorf("rate %v: %+v, %v", rate, letters, err)
		}
	}
	if err := r.Resume(t.Context(), "archive", runtime.By{Principal: "ops"}); err != nil {
		t.Fatal(err)
	}
	settle(t, r)
	if sink.delivered() != 0 {
		t.Errorf("%d were delivered all the same", sink.delivered())
	}
	if _, err := r.CancelDeadReplay(t.Context(), "none", runtime.By{Principal: "ops"}); !errors.Is(err, runtime.ErrNoDeadReplay) {
		t.Errorf("an unknown job: %v", err)
	}
}
