package runtime

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"auditrelay"
	"auditrelay/runtime/internal/delivery"
	"auditrelay/runtime/internal/journal"

	"github.com/tidwall/gjson"
)

// DeadLetterFilter selects dead letters of one callback. A dead letter must match every field that is set.
// The zero value selects all.
type DeadLetterFilter struct {
	Causes    []auditrelay.Cause `json:"causes,omitempty"`
	Filters   []string           `json:"filters,omitempty"` // names of the filters that failed
	Actions   []string           `json:"actions,omitempty"`
	Tables    []string           `json:"tables,omitempty"` // values of table_name, as accepted
	Sequences []uint64           `json:"sequences,omitempty"`
	// From and To are the half-open range of the times at which events became dead letters.
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
}

// maxChosen limits each list of a DeadLetterFilter.
const maxChosen = 10_000

// match returns a prepared predicate for the filter.
func (f *DeadLetterFilter) match() (func(*delivery.DeadLetter) bool, error) {
	for _, n := range []int{len(f.Causes), len(f.Filters), len(f.Actions), len(f.Tables), len(f.Sequences)} {
		if n > maxChosen {
			return nil, fmt.Errorf("%w: a filter of %d values, at most %d", ErrTooLarge, n, maxChosen)
		}
	}
	sequences := map[uint64]bool{}
	for _, s := range f.Sequences {
		sequences[s] = true
	}
	chosen := func(list []string, value string) bool { return len(list) == 0 || slices.Contains(list, value) }
	return func(d *delivery.DeadLetter) bool {
		switch {
		case len(sequences) > 0 && !sequences[d.Event.Sequence],
			len(f.Causes) > 0 && !slices.Contains(f.Causes, d.Cause),
			!chosen(f.Filters, d.Filter),
			!chosen(f.Actions, string(d.Event.Action)),
			!f.From.IsZero() && d.At.Before(f.From),
			!f.To.IsZero() && !d.At.Before(f.To):
			return false
		}
		return len(f.Tables) == 0 || slices.Contains(f.Tables, gjson.GetBytes(d.Event.Data, "table_name").String())
	}, nil
}

// DeadReplayRequest asks for a replay of the dead letters that a filter selects.
type DeadReplayRequest struct {
	Callback string
	Filter   DeadLetterFilter
	// Rate is the maximum number of events per second; 0: no limit.
	Rate   float64
	DryRun bool // count, but start nothing
	By     By
}

// The states of a DeadReplay.
const (
	DeadReplayRunning   = "running"
	DeadReplayDone      = "done"
	DeadReplayCancelled = "cancelled"
)

// DeadReplay is a replay of dead letters by filter: a job that passes dead letters to their callback again,
// in order of sequence. It survives a restart. One transaction contains each step's dead letters and its
// progress, so the job passes each sequence at most once.
type DeadReplay struct {
	ID       string           `json:"id"`
	Callback string           `json:"callback"`
	Filter   DeadLetterFilter `json:"filter"`
	Rate     float64          `json:"rate,omitempty"`
	By       string           `json:"by,omitempty"`
	State    string           `json:"state"`
	Started  time.Time        `json:"started"`
	Ended    time.Time        `json:"ended,omitzero"`
	Matched  uint64           `json:"matched"` // number at the time of the request
	Given    uint64           `json:"given"`   // number so far, without those that a cancellation took back
	After    uint64           `json:"after"`   // the job has processed the dead letters up to this sequence
	Last     uint64           `json:"last"`    // the job ends at this sequence; it ignores later dead letters
	Error    string           `json:"error,omitempty"`
}

// deadReplays holds the jobs of one runtime.
type deadReplays struct {
	mu   sync.Mutex
	jobs map[string]*deadJob
}

// deadJob is one job. Its DeadReplay is replaced, never modified.
type deadJob struct {
	step   sync.Mutex // held during a step and during cancellation
	cancel context.CancelFunc

	mu  sync.Mutex
	now DeadReplay
}

func (j *deadJob) load() DeadReplay {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.now
}

func (j *deadJob) store(now DeadReplay) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.now = now
}

const deadReplayPrefix = "dead-replay/"

// keptJobs is the number of finished jobs that are listed.
const keptJobs = 100

func deadReplayKey(id string) journal.Key { return journal.MetaKey(deadReplayPrefix + id) }

// ErrNoDeadReplay: no replay of dead letters has this id.
var ErrNoDeadReplay = errors.New("no such replay of dead letters")

// put adds the job's record to tx. The record contains no event data.
func (d *DeadReplay) put(tx *journal.Tx) error {
	value, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("encode replay %s of dead letters: %w", d.ID, err)
	}
	tx.Set(deadReplayKey(d.ID), value)
	return nil
}

// cancelled returns the own record of a job's cancellation.
func (d *DeadReplay) cancelled(by By) *Change {
	return &Change{By: by, Act: "cancel", Action: auditrelay.ActionBlocked, Table: tableDeadLetter, Object: d.Callback, After: map[string]any{"replay": d.ID}, MakesRoom: true}
}

// StartDeadReplay starts a replay of dead letters by filter, with the callback's current filters and sink.
// The filters emit nothing. It returns once the job is durable. A dry run returns the job that would start,
// without an id.
//
// Errors: ErrNoCallback; ErrTooLarge for the filter; *UnavailableError.
func (r *Runtime) StartDeadReplay(_ context.Context, req DeadReplayRequest) (DeadReplay, error) {
	match, err := req.Filter.match()
	if err != nil {
		return DeadReplay{}, err
	}
	p, err := r.pump(req.Callback)
	if err != nil {
		return DeadReplay{}, err
	}
	job := DeadReplay{Callback: req.Callback, Filter: req.Filter, Rate: req.Rate, By: req.By.Principal, State: DeadReplayRunning, Started: time.Now().UTC()}
	if job.Matched, job.Last, err = delivery.CountDead(r.journal, p.laneID, match); err != nil {
		return DeadReplay{}, err
	}
	if req.DryRun || job.Matched == 0 {
		job.State = DeadReplayDone
		return job, nil
	}
	id := make([]byte, 4)
	rand.Read(id)
	job.ID = hex.EncodeToString(id)
	tx := new(journal.Tx)
	if err := job.put(tx); err != nil {
		return DeadReplay{}, err
	}
	c := Change{By: req.By, Act: "replay", Action: auditrelay.ActionUnblocked, Table: tableDeadLetter, Object: req.Callback,
		After: map[string]any{"replay": job.ID, "matched": job.Matched, "through": job.Last}}
	if err := c.append(tx); err != nil {
		return DeadReplay{}, err
	}
	r.forgetJobs(tx)
	if _, err := r.journal.Commit(tx); err != nil {
		return DeadReplay{}, unavailable(err)
	}
	r.log.Info("replay of dead letters started", "callback", job.Callback, "replay", job.ID, "matched", job.Matched, "rate", job.Rate, "by", job.By)
	r.runJob(job)
	return job, nil
}

// forgetJobs deletes the records of the oldest finished jobs beyond keptJobs.
func (r *Runtime) forgetJobs(tx *journal.Tx) {
	all := r.DeadReplays()
	ended := slices.DeleteFunc(all, func(d DeadReplay) bool { return d.State == DeadReplayRunning })
	for len(ended) > keptJobs {
		tx.Delete(deadReplayKey(ended[0].ID))
		r.dead.mu.Lock()
		delete(r.dead.jobs, ended[0].ID)
		r.dead.mu.Unlock()
		ended = ended[1:]
	}
}

// openJobs continues the jobs of earlier runs.
func (r *Runtime) openJobs() error {
	from, to := journal.All(journal.KindMeta)
	return r.journal.Scan(from, to, func(k journal.Key, value []byte) error {
		if _, name, _, ok := k.Split(); !ok || !strings.HasPrefix(name, deadReplayPrefix) {
			return nil
		}
		var job DeadReplay
		if err := json.Unmarshal(value, &job); err != nil {
			return fmt.Errorf("decode a replay of dead letters: %w", err)
		}
		r.runJob(job)
		return nil
	})
}

// runJob lists a job, and runs it if it has not finished.
func (r *Runtime) runJob(now DeadReplay) {
	ctx, cancel := context.WithCancel(r.ctx)
	j := &deadJob{cancel: cancel, now: now}
	r.dead.mu.Lock()
	if r.dead.jobs == nil {
		r.dead.jobs = map[string]*deadJob{}
	}
	r.dead.jobs[now.ID] = j
	r.dead.mu.Unlock()
	if now.State != DeadReplayRunning {
		cancel()
		return
	}
	r.wg.Go(func() {
		defer cancel()
		r.giveAll(ctx, j)
	})
}

// The timing of jobs: how often a job with a rate takes a step, how long a job waits for a callback that is
// not configured or a journal that cannot write, and the maximum size of a step.
const (
	giveEvery  = 100 * time.Millisecond
	giveAgain  = 5 * time.Second
	giveAtMost = 10_000
)

// giveAll runs a job until it is finished or cancelled, or the runtime closes.
func (r *Runtime) giveAll(ctx context.Context, j *deadJob) {
	job := j.load()
	match, err := job.Filter.match()
	if err != nil {
		return // cannot happen: it was checked when it was created
	}
	allowance, begun := 0.0, time.Now()
	for ctx.Err() == nil && j.load().State == DeadReplayRunning {
		limit := giveAtMost
		if job.Rate > 0 {
			now := time.Now()
			allowance = min(allowance+now.Sub(begun).Seconds()*job.Rate, max(job.Rate*2*giveEvery.Seconds(), 1))
			begun = now
			limit = min(int(allowance), giveAtMost)
		}
		pause := giveEvery
		if limit > 0 {
			n, err := r.give(ctx, j, match, limit)
			allowance -= float64(n)
			switch {
			case err != nil && ctx.Err() == nil:
				if job := j.load(); job.Error == "" {
					r.log.Warn("a replay of dead letters waits", "callback", job.Callback, "replay", job.ID, "error", err)
				}
				failed := j.load()
				failed.Error = err.Error()
				j.store(failed)
				pause = giveAgain
			case job.Rate == 0:
				pause = 0
			}
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
	if job = j.load(); job.State == DeadReplayDone {
		r.log.Info("replay of dead letters done", "callback", job.Callback, "replay", job.ID, "given", job.Given)
	}
}

// give runs one step of a job. One transaction contains the step's dead letters and the progress.
func (r *Runtime) give(ctx context.Context, j *deadJob, match func(*delivery.DeadLetter) bool, limit int) (n int, err error) {
	j.step.Lock()
	defer j.step.Unlock()
	job := j.load()
	if job.State != DeadReplayRunning {
		return 0, nil
	}
	var next DeadReplay
	err = r.set(ctx, job.Callback, func(m *delivery.Lane, tx *journal.Tx, now time.Time) (err error) {
		next = job
		var after uint64
		n, after, err = m.Give(tx, delivery.Giving{Job: job.ID, By: job.By, After: job.After, Last: job.Last, Limit: limit, Match: match})
		if err != nil {
			return err
		}
		next.Given, next.Error = job.Given+uint64(n), ""
		if next.After = after; after == 0 {
			next.After, next.State, next.Ended = job.Last, DeadReplayDone, now.UTC()
		}
		return next.put(tx)
	})
	if err != nil {
		return 0, err
	}
	j.store(next)
	return n, nil
}

// DeadReplays lists the replays of dead letters by filter, oldest first: the running ones and the last 100
// finished ones.
func (r *Runtime) DeadReplays() []DeadReplay {
	r.dead.mu.Lock()
	defer r.dead.mu.Unlock()
	list := make([]DeadReplay, 0, len(r.dead.jobs))
	for _, j := range r.dead.jobs {
		list = append(list, j.load())
	}
	slices.SortFunc(list, func(a, b DeadReplay) int {
		return cmp.Or(a.Started.Compare(b.Started), strings.Compare(a.ID, b.ID))
	})
	return list
}

// CancelDeadReplay ends a job. Dead letters that the job passed on and that wait for processing become
// plain dead letters again. Those in processing continue. A finished job does not change. ErrNoDeadReplay:
// no job has this id.
func (r *Runtime) CancelDeadReplay(ctx context.Context, id string, by By) (DeadReplay, error) {
	r.dead.mu.Lock()
	j := r.dead.jobs[id]
	r.dead.mu.Unlock()
	if j == nil {
		return DeadReplay{}, fmt.Errorf("replay %q: %w", id, ErrNoDeadReplay)
	}
	j.step.Lock()
	defer j.step.Unlock()
	job := j.load()
	if job.State != DeadReplayRunning && job.State != DeadReplayDone {
		return job, nil
	}
	was := job.State
	for after, more := uint64(0), true; more; more = after > 0 {
		next := job
		err := r.set(ctx, job.Callback, func(m *delivery.Lane, tx *journal.Tx, now time.Time) error {
			n, to, err := m.TakeBack(tx, id, after)
			if err != nil {
				return err
			}
			if after = to; was == DeadReplayDone && n == 0 && next.State == DeadReplayDone {
				return nil // the job has finished
			}
			next.Given -= min(next.Given, uint64(n))
			if next.State != DeadReplayCancelled {
				if err := next.cancelled(by).append(tx); err != nil {
					return err
				}
			}
			next.State, next.Ended = DeadReplayCancelled, now.UTC()
			return next.put(tx)
		})
		if errors.Is(err, ErrNoCallback) { // the job waits for a callback that is not configured
			tx := new(journal.Tx)
			next.State, next.Ended = DeadReplayCancelled, time.Now().UTC()
			if err = errors.Join(next.put(tx), next.cancelled(by).append(tx)); err == nil {
				_, err = r.journal.Commit(tx)
			}
		}
		if err != nil {
			return job, err
		}
		job = next
		j.store(job)
	}
	if job.State == DeadReplayCancelled {
		j.cancel()
		r.log.Info("replay of dead letters cancelled", "callback", job.Callback, "replay", id, "given", job.Given, "by", by.Principal)
	}
	return job, nil
}
