package app

import (
	"cmp"
	"context"
	"reflect"
	"sync"

	"auditrelay"
	"auditrelay/cli/internal/api"
	"auditrelay/cli/internal/http"
	"auditrelay/cli/internal/sources"
	"auditrelay/cli/internal/sources/postgres"
	"auditrelay/config"
	"auditrelay/runtime"
)

// tail is the table that is read as it grows, where the configuration names one. It
// is safe for concurrent use.
type tail struct {
	mu     sync.Mutex
	cfg    *config.Postgres
	source *postgres.Source // nil: none
	stop   func()           // returns when it has ended
	ended  bool

	comparing sync.Mutex // one comparison with the journal at a time
}

// setTail has the configured table read, and no other. One whose configuration did
// not change goes on undisturbed.
func (d *daemon) setTail(cfg *config.Config) error {
	t := &d.tail
	t.mu.Lock()
	defer t.mu.Unlock()
	want := cfg.Ingest.Postgres
	if t.ended || reflect.DeepEqual(t.cfg, want) {
		return nil
	}
	var source *postgres.Source
	name := ""
	if want != nil {
		name = cmp.Or(want.Table, postgres.DefaultTable)
		var err error
		if source, err = postgres.New(d.tailOptions(cfg, name)); err != nil {
			return err
		}
	}
	if t.stop != nil {
		t.stop()
		t.stop = nil
	}
	t.cfg, t.source = want, source
	if source == nil {
		d.sources.Expect(sources.Postgres)
		return nil
	}
	d.sources.Expect(sources.Postgres, name)
	d.sources.Add(sources.Postgres, name).Tail(source)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { source.Run(ctx) })
	t.stop = func() { cancel(); wg.Wait() }
	return nil
}

// endTail stops reading for good.
func (d *daemon) endTail() {
	t := &d.tail
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	if t.stop != nil {
		t.stop()
		t.stop = nil
	}
}

func (d *daemon) tailOptions(cfg *config.Config, name string) postgres.Options {
	p := cfg.Ingest.Postgres
	o := postgres.Options{
		Relay: d.rt, URL: p.URL, Schema: p.Schema, Table: name, Poll: p.Poll, Rate: p.Rate, Batch: p.Batch,
		FromNow: p.From.Kind == auditrelay.FromNow, FromTime: p.From.Time, Overlap: p.Overlap, Notify: p.Notify,
		Seen: func(n int) { d.sources.Add(sources.Postgres, name).Seen(n) }, Logger: d.log,
	}
	if most := cfg.Ingest.Limits.Events; o.Batch == 0 && most > 0 {
		o.Batch = min(most, postgres.DefaultBatch)
	}
	return o
}

var _ postgres.Relay = (*runtime.Runtime)(nil)

// Reconcile compares the table that is tailed with the journal, one comparison at a time.
func (d *daemon) Reconcile(ctx context.Context, want api.Reconcile, fn func(api.Difference) error) (api.Reconciled, error) {
	d.tail.mu.Lock()
	cfg := d.tail.cfg
	d.tail.mu.Unlock()
	if cfg == nil {
		return api.Reconciled{}, http.ErrNoTail
	}
	if !d.tail.comparing.TryLock() {
		return api.Reconciled{}, http.ErrReconciling
	}
	defer d.tail.comparing.Unlock()
	return postgres.Reconcile(ctx, d.rt, postgres.Reconciliation{
		URL: cfg.URL, Schema: cfg.Schema, Table: cfg.Table, From: want.From, To: want.To, Repair: want.Repair,
	}, fn)
}
