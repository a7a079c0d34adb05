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

// DeadLetterFilter chooses dead letters of one callback: those for which every set field
// says so. Its zero value chooses all.
type DeadLetterFilter struct {
	Causes    []auditrelay.Cause `json:"causes,omitempty"`
	Filters   []string           `json:"filters,omitempty"` // names of the filters that failed
	Actions   []string           `json:"actions,omitempty"`
	Tables    []string           `json:"tables,omitempty"` // values of table_name, as accepted
	Sequences []uint64           `json:"sequences,omitempty"`
	// From and To bound the time at which the event was set aside, half open.
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
}

// maxChosen bounds each list of a DeadLetterFilter.
const maxChosen = 10_000

// match is a prepared filter.
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

// DeadReplayRequest asks for a replay of dead letters by filter.
type DeadReplayRequest struct {
	Callback string
	Filter   DeadLetterFilter
	// Rate is how many events a second the callback is given at most; 0: no limit.
	Rate   float64
	DryRun bool // count, and start nothing
	By     By
}

// The states of a DeadReplay.
const (
	DeadReplayRunning   = "running"
	DeadReplayDone      = "done"
	DeadReplayCancelled = "cancelled"
)

// DeadReplay is a replay of dead letters by filter: a job that gives dead letters to their
// callback again, in order of sequence. It survives a restart, and gives each sequence at
// most once: what it gave and how far it is are one transaction.
type DeadReplay struct {
	ID       string           `json:"id"`
	Callback string           `json:"callback"`
	Filter   DeadLetterFilter `json:"filter"`
	Rate     float64          `json:"rate,omitempty"`
	By       string           `json:"by,omitempty"`
	State    string           `json:"state"`
	Started  time.Time        `json:"started"`
	Ended    time.Time        `json:"ended,omitzero"`
	Matched  uint64           `json:"matched"` // when it was asked for
	Given    uint64           `json:"given"`   // so far; what a cancellation took back is not counted
	After    uint64           `json:"after"`   // it is through with the dead letters up to here
	Last     uint64           `json:"last"`    // and ends with this one: later dead letters are not its own
	Error    string           `json:"error,omitempty"`
}

// deadReplays are the jobs of one runtime.
type deadReplays struct {
	mu   sync.Mutex
	jobs map[string]*deadJob
}

// deadJob is one job. Its DeadReplay is replaced, never changed.
type deadJob struct {
	step   sync.Mutex // held for a step, and while it is cancelled
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

// keptJobs is how many jobs that have ended are listed.
const keptJobs = 100

func deadReplayKey(id string) journal.Key { return journal.MetaKey(deadReplayPrefix + id) }

// ErrNoDeadReplay: no replay of dead letters has this id.
var ErrNoDeadReplay = errors.New("no such replay of dead letters")

// put adds the job's record to tx. It holds nothing of an event.
func (d *DeadReplay) put(tx *journal.Tx) error {
	value, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("encode replay %s of dead letters: %w", d.ID, err)
	}
	tx.Set(deadReplayKey(d.ID), value)
	return nil
}

// cancelled is the own record of the end of a job.
func (d *DeadReplay) cancelled(by By) *Change {
	return &Change{By: by, Act: "cancel", Action: auditrelay.ActionBlocked, Table: tableDeadLetter, Object: d.Callback, After: map[string]any{"replay": d.ID}, MakesRoom: true}
}

// StartDeadReplay starts a replay of dead letters by filter, with the callback's current
// filters and sink; they emit nothing. It returns once the job is durable. A dry run
// returns what it would be, without an id.
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

// forgetJobs deletes the records of the oldest jobs that have ended, but for keptJobs.
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

// openJobs goes on with the jobs of the life before.
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

// runJob lists a job, and runs it if it has not ended.
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

// The pace of a job: how often one with a rate gives, how long each waits for a callback
// that is not configured now or a journal that cannot write, and the most for one step.
const (
	giveEvery  = 100 * time.Millisecond
	giveAgain  = 5 * time.Second
	giveAtMost = 10_000
)

// giveAll runs a job until it is through, cancelled, or the runtime closes.
func (r *Runtime) giveAll(ctx context.Context, j *deadJob) {
	job := j.load()
	match, err := job.Filter.match()
	if err != nil {
		return // it was checked when it was made
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

// give makes one step of a job: what it gives and how far it is then are one transaction.
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

// DeadReplays lists the replays of dead letters by filter, oldest first: those that run,
// and the last 100 that have ended.
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

// CancelDeadReplay ends a job. Dead letters that it gave and that are not being processed
// yet are dead letters as before; the others go on. One that has ended stays as it is.
// ErrNoDeadReplay: there is no such job.
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
				return nil // it is through
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
		if errors.Is(err, ErrNoCallback) { // it waits for a callback that is not configured
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
