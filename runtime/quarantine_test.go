package runtime_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"auditrelay"
	"auditrelay/runtime"
)

var fromS3 = auditrelay.Provenance{Source: "s3", Principal: "litellm", Address: "192.0.2.1"}

func odd(data, reason string) runtime.Quarantined {
	return runtime.Quarantined{Data: []byte(data), Provenance: fromS3, Reason: reason, Detail: "why it is odd"}
}

func quarantined(t *testing.T, r *runtime.Runtime, items ...runtime.Quarantined) {
	t.Helper()
	if err := r.Quarantine(t.Context(), items...); err != nil {
		t.Fatal(err)
	}
}

func inQuarantine(t *testing.T, r *runtime.Runtime) []runtime.QuarantineItem {
	t.Helper()
	list, err := r.QuarantineItems(t.Context(), runtime.QuarantineQuery{})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestQuarantineListsAndShows(t *testing.T) {
	r := start(t, runtime.Options{})
	quarantined(t, r, odd("{", "syntax"), odd("{", "syntax"), odd(event("a", "created"), "conflict"))
	stdin := odd("{", "syntax")
	stdin.Provenance.Source = "stdin"
	quarantined(t, r, stdin)
	list := inQuarantine(t, r)
	if len(list) != 3 || list[0].Times != 2 || list[0].Reason != "syntax" || list[0].Provenance != fromS3 ||
		list[0].Detail != "why it is odd" || list[0].Bytes != 1 || list[0].Data != nil || list[2].Provenance.Source != "stdin" {
		t.Fatalf("%+v", list)
	}
	some, err := r.QuarantineItems(t.Context(), runtime.QuarantineQuery{Reason: "conflict", Source: "s3"})
	if err != nil || len(some) != 1 || some[0].Number != 2 {
		t.Errorf("%+v, %v", some, err)
	}
	it, err := r.QuarantineItem(t.Context(), 2)
	if err != nil || string(it.Data) != event("a", "created") {
		t.Errorf("%+v, %v", it, err)
	}
	if _, err := r.QuarantineItem(t.Context(), 9); !errors.Is(err, runtime.ErrNoQuarantineItem) {
		t.Error(err)
	}
	s := r.QuarantineStats()
	if s.Items != 3 || s.Full || s.Arrived[runtime.QuarantineOrigin{Source: "s3", Reason: "syntax"}] != 2 ||
		s.Arrived[runtime.QuarantineOrigin{Source: "stdin", Reason: "syntax"}] != 1 {
		t.Errorf("%+v", s)
	}
	for _, reason := range []string{"", "Syntax", "with space", strings.Repeat("x", 65)} {
		if err := r.Quarantine(t.Context(), odd("x", reason)); err == nil {
			t.Errorf("the reason %q is taken", reason)
		}
	}
}

// TestQuarantineIsReplayed: input corrected here or at the producer passes like any event, and
// keeps its origin.
func TestQuarantineIsReplayed(t *testing.T) {
	sink := &memorySink{}
	r := start(t, runtime.Options{Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: sink})}})
	submit(t, r, event("taken", "created"))
	quarantined(t, r,
		odd(`{"id":"b"}`, "missing"),
		odd(event("c", "created")+"\n"+event("d", "created"), "too_large"),
		odd(event("taken", "deleted"), "conflict"),
		odd(event("taken", "created"), "too_deep"),
	)

	_, err := r.ReplayQuarantineItem(t.Context(), runtime.By{Principal: "boss"}, 1, nil)
	if fault, ok := errors.AsType[*runtime.EventError](err); !ok || fault.Field != "action" {
		t.Errorf("one that is as odd as before: %v", err)
	}
	if _, err := r.ReplayQuarantineItem(t.Context(), runtime.By{Principal: "boss"}, 3, nil); !errors.Is(err, runtime.ErrConflict) {
		t.Errorf("one that conflicts: %v", err)
	}
	if n := len(inQuarantine(t, r)); n != 4 {
		t.Fatalf("%d are left", n)
	}
	results, err := r.ReplayQuarantineItem(t.Context(), runtime.By{Principal: "boss"}, 2, nil)
	if err != nil || len(results) != 2 || results[0].ID != "c" || results[1].Sequence != results[0].Sequence+1 {
		t.Errorf("two events: %+v, %v", results, err)
	}
	if results, err := r.ReplayQuarantineItem(t.Context(), runtime.By{Principal: "boss"}, 4, nil); err != nil || !results[0].Duplicate {
		t.Errorf("one that is stored already: %+v, %v", results, err)
	}
	if _, err := r.ReplayQuarantineItem(t.Context(), runtime.By{Principal: "boss"}, 1, []byte(event("b", "created"))); err != nil {
		t.Errorf("one that was mended: %v", err)
	}
	if list := inQuarantine(t, r); len(list) != 1 || list[0].Number != 3 {
		t.Errorf("left: %+v", list)
	}
	if _, err := r.ReplayQuarantineItem(t.Context(), runtime.By{Principal: "boss"}, 2, nil); !errors.Is(err, runtime.ErrNoQuarantineItem) {
		t.Errorf("once more: %v", err)
	}
	for _, id := range []string{"b", "c", "d"} {
		x, err := r.Explain(t.Context(), "", id)
		by := auditrelay.Provenance{Source: "quarantine", Principal: "boss"}
		if err != nil || x.Provenance != fromS3 || len(x.AlsoFrom) != 1 || x.AlsoFrom[0] != by {
			t.Errorf("%s: %+v, %v", id, x, err)
		}
	}
	settle(t, r)
	// taken, b, c, d, and three records of replays.
	if got := account(t, r, "archive"); got.Delivered != 7 {
		t.Errorf("%+v", got)
	}
	records := 0
	for _, line := range sink.lines() {
		if strings.Contains(line, `"table_name":"auditrelay_quarantine"`) {
			records++
			if !strings.Contains(line, `"changed_by":"boss"`) || !strings.Contains(line, `"action":"unblocked"`) || strings.Contains(line, "s3cr3t") {
				t.Error(line)
			}
			if strings.Contains(line, `"object_id":"1"`) != strings.Contains(line, `"replaced":true`) {
				t.Error(line)
			}
		}
	}
	if records != 3 {
		t.Errorf("%d records of replays", records)
	}
}

func TestQuarantineReplaysAllOfAnItemOrNothing(t *testing.T) {
	r := start(t, runtime.Options{})
	quarantined(t, r, odd(event("a", "created")+"\n{\"id\":\"b\"}\n", "missing"), odd("", "no_events"), odd(`[]`, "no_events"))
	for number := range uint64(3) {
		if _, err := r.ReplayQuarantineItem(t.Context(), runtime.By{Principal: "boss"}, number+1, nil); err == nil {
			t.Errorf("item %d was replayed", number+1)
		}
	}
	if _, err := r.Explain(t.Context(), "", "a"); !errors.Is(err, runtime.ErrNotSeen) || len(inQuarantine(t, r)) != 3 {
		t.Errorf("something was stored, or taken away: %v", err)
	}
}

func TestQuarantineDeletesOnTheRecord(t *testing.T) {
	sink := &memorySink{}
	dir := t.TempDir()
	o := runtime.Options{Dir: dir, Callbacks: []runtime.Callback{quick(runtime.Callback{Name: "archive", Sink: sink})}}
	r := start(t, o)
	quarantined(t, r, odd("s3cr3t", "syntax"), odd("other", "syntax"))
	if err := r.DeleteQuarantineItem(t.Context(), runtime.By{Principal: "boss"}, 1); err != nil {
		t.Fatal(err)
	}
	if err := r.DeleteQuarantineItem(t.Context(), runtime.By{Principal: "boss"}, 1); !errors.Is(err, runtime.ErrNoQuarantineItem) {
		t.Error(err)
	}
	settle(t, r)
	lines := fmt.Sprint(sink.lines())
	for _, want := range []string{`"action":"deleted"`, `"changed_by":"boss"`, `"object_id":"1"`, `"reason":"syntax"`, `"bytes":6`} {
		if !strings.Contains(lines, want) {
			t.Errorf("%s is not in %s", want, lines)
		}
	}
	if strings.Contains(lines, "s3cr3t") {
		t.Error(lines)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r = start(t, o)
	if list := inQuarantine(t, r); len(list) != 1 || list[0].Number != 2 {
		t.Errorf("%+v", list)
	}
}

// TestQuarantineIsInBackups: including numbers and counts.
func TestQuarantineIsInBackups(t *testing.T) {
	dir := t.TempDir()
	r := start(t, runtime.Options{Dir: filepath.Join(dir, "a")})
	quarantined(t, r, odd("gone", "syntax"), odd("{", "syntax"), odd("{", "syntax"))
	if err := r.DeleteQuarantineItem(t.Context(), runtime.By{Principal: "boss"}, 1); err != nil {
		t.Fatal(err)
	}
	backup, restored := filepath.Join(dir, "backup"), filepath.Join(dir, "b")
	if err := r.Backup(t.Context(), backup, runtime.By{}, nil); err != nil {
		t.Fatal(err)
	}
	if err := runtime.Restore(backup, restored, runtime.By{}, nil); err != nil {
		t.Fatal(err)
	}
	r = start(t, runtime.Options{Dir: restored})
	quarantined(t, r, odd("{", "syntax"), odd("new", "syntax"))
	list := inQuarantine(t, r)
	if len(list) != 2 || list[0].Number != 2 || list[0].Times != 3 || list[1].Number != 3 {
		t.Errorf("%+v", list)
	}
	if it, err := r.QuarantineItem(t.Context(), 2); err != nil || string(it.Data) != "{" {
		t.Errorf("%+v, %v", it, err)
	}
}

// TestFullQuarantineRefuses: for a time, and logs it once.
func TestFullQuarantineRefuses(t *testing.T) {
	var told logs
	r := start(t, runtime.Options{Logger: told.logger(), Quarantine: runtime.QuarantineOptions{Items: 1, ItemBytes: 100}})
	quarantined(t, r, odd("a", "syntax"))
	for range 3 {
		err := r.Quarantine(t.Context(), odd("b", "syntax"))
		if unavailable, ok := errors.AsType[*runtime.UnavailableError](err); !ok || unavailable.RetryAfter <= 0 {
			t.Fatal(err)
		}
	}
	quarantined(t, r, odd("a", "syntax")) // the same again needs no room
	if s := r.QuarantineStats(); !s.Full || told.count("quarantine is full") != 1 {
		t.Errorf("%+v, told %d times", s, told.count("quarantine is full"))
	}
	if err := r.Ready(); err != nil {
		t.Errorf("events are not accepted any more: %v", err)
	}
	if err := r.DeleteQuarantineItem(t.Context(), runtime.By{Principal: "boss"}, 1); err != nil {
		t.Fatal(err)
	}
	quarantined(t, r, odd("b", "syntax"))
	if s := r.QuarantineStats(); s.Full || told.count("has room again") != 1 {
		t.Errorf("%+v", s)
	}
	err := r.Quarantine(t.Context(), odd(strings.Repeat("x", 101), "too_large"))
	if _, unavailable := errors.AsType[*runtime.UnavailableError](err); !errors.Is(err, runtime.ErrQuarantineItem) || unavailable {
		t.Errorf("one that is too large: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	err = r.Quarantine(t.Context(), odd("c", "syntax"))
	if _, ok := errors.AsType[*runtime.UnavailableError](err); !ok || !errors.Is(err, runtime.ErrClosed) {
		t.Errorf("after close: %v", err)
	}
}

// TestQuarantineCanBeEmptiedWhereItFillsTheQuota: deletions are recorded, and succeed
// nevertheless.
func TestQuarantineCanBeEmptiedWhereItFillsTheQuota(t *testing.T) {
	r := start(t, runtime.Options{Dir: t.TempDir(), Journal: runtime.JournalOptions{Quota: 16 << 20}})
	random := rand.NewChaCha8([32]byte{})
	fill := func(size int) {
		for full := false; !full; {
			data := make([]byte, size)
			random.Read(data)
			err := r.Quarantine(t.Context(), odd(string(data), "syntax"))
			if _, full = errors.AsType[*runtime.UnavailableError](err); !full && err != nil {
				t.Fatal(err)
			}
		}
	}
	for size := 1 << 20; size > 32; size /= 2 {
		fill(size)
	}
	// The storage engine sometimes frees a little space.
	for full := false; !full; fill(64) {
		err := r.Record(t.Context(), runtime.Change{By: runtime.By{Principal: "boss"}, Action: auditrelay.ActionUpdated, Table: "x", Object: "y"})
		if _, full = errors.AsType[*runtime.UnavailableError](err); !full && err != nil {
			t.Fatal(err)
		}
	}
	if r.QuarantineStats().Full {
		t.Error("it is the journal that is full")
	}
	for items := inQuarantine(t, r); len(items) > 0; items = inQuarantine(t, r) { // a list has an end
		for _, it := range items {
			if err := r.DeleteQuarantineItem(t.Context(), runtime.By{Principal: "boss"}, it.Number); err != nil {
				t.Fatal(err)
			}
		}
	}
	if s := r.QuarantineStats(); s.Items != 0 || s.Bytes != 0 {
		t.Errorf("%+v", s)
	}
}

// TestQuarantineBehindFilters: values that filters before the journal must keep off the disk
// are not written there by the quarantine.
func TestQuarantineBehindFilters(t *testing.T) {
	dir := t.TempDir()
	r := start(t, runtime.Options{Dir: dir, Ingest: []runtime.Step{before(t)}})
	const secret = `{"id":"a","secret":"never-on-disk-0815"`
	for range 2 {
		err := r.Quarantine(t.Context(), odd(secret, "syntax"))
		if !errors.Is(err, runtime.ErrNotKept) || !errors.Is(err, runtime.ErrIngestFilter) {
			t.Fatal(err)
		}
	}
	list := inQuarantine(t, r)
	if len(list) != 1 || !list[0].Bare || list[0].Times != 2 || list[0].Bytes != int64(len(secret)) || len(list[0].Digest) != 32 {
		t.Fatalf("%+v", list)
	}
	if it, err := r.QuarantineItem(t.Context(), 1); err != nil || it.Data != nil {
		t.Errorf("%q, %v", it.Data, err)
	}
	if _, err := r.ReplayQuarantineItem(t.Context(), runtime.By{Principal: "boss"}, 1, nil); err == nil {
		t.Error("nothing was replayed")
	}
	// A replacement goes through the filters.
	if _, err := r.ReplayQuarantineItem(t.Context(), runtime.By{Principal: "boss"}, 1, []byte(event("a", "created"))); err != nil {
		t.Error(err)
	}
	if len(inQuarantine(t, r)) != 0 {
		t.Error("it is still there")
	}
	if e, err := r.Event(t.Context(), 1); err != nil || !bytes.Contains(e.Data, []byte(`"secret":"***"`)) {
		t.Errorf("%s, %v", e.Data, err)
	}
	x, err := r.Explain(t.Context(), "", "a")
	if err != nil || len(x.AlsoFrom) != 1 || x.AlsoFrom[0].Source != "quarantine" {
		t.Errorf("%+v, %v", x, err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"never-on-disk", "s3cr3t", "why it is odd"} {
		if onDisk(t, dir, text) {
			t.Errorf("%q is on the disk", text)
		}
	}
	if !onDisk(t, dir, fromS3.Address) {
		t.Error("the search finds nothing")
	}
}

// onDisk reports whether a file below dir contains text.
func onDisk(t *testing.T, dir, text string) bool {
	t.Helper()
	hit := false
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		hit = hit || bytes.Contains(data, []byte(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return hit
}
