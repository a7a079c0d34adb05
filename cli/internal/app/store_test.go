package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	nethttp "net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/builtin/sqlite"
	"auditrelay/cli/internal/http"
	"auditrelay/config"
	"auditrelay/internal/auditstore"
	"auditrelay/internal/test/pgtest"
)

// newStoreRelay returns a relay with a store as its only callback.
func newStoreRelay(t *testing.T) (*relay, *stores) {
	t.Helper()
	o := sqlite.Options{Path: filepath.Join(t.TempDir(), "store.db")}
	sink, err := sqlite.New(o)
	if err != nil {
		t.Fatal(err)
	}
	all := &stores{}
	all.set([]store{{callback: "archive", file: o.Path,
		open:     func(ctx context.Context) (*auditstore.Store, error) { return sqlite.Open(ctx, o) },
		maintain: func(ctx context.Context) (*auditstore.Store, error) { return sqlite.Maintain(ctx, o) },
	}}, "archive")
	t.Cleanup(all.close)
	r := newRelay(t, sink)
	r.serve(http.Options{Stores: all})
	return r, all
}

// Records beyond the retention are deleted, and each deletion is recorded, also if the relay
// ended between the two.
func TestRetention(t *testing.T) {
	r, all := newStoreRelay(t)
	for n := range 12 {
		if status, answer, _ := r.call("POST", "/v1/events", numbered(n)); status != 200 {
			t.Fatal(answer)
		}
	}
	r.audit("") // its record is a row too
	r.settle()
	l := all.live["archive"]
	d := &daemon{rt: r.rt, log: quiet()}
	purge := func(keep auditstore.Keep, now time.Time) []string {
		t.Helper()
		l.keep = keep
		if err := d.tend(t.Context(), l, now); err != nil {
			t.Fatal(err)
		}
		r.settle()
		var told []string
		for _, log := range r.audit("?table_name=" + tableStore + "&sort_order=asc").Logs {
			after, err := json.Marshal(log["updated_values"])
			if err != nil {
				t.Fatal(err)
			}
			told = append(told, fmt.Sprint(log["changed_by"], " ", log["action"], " ", log["object_id"], " ", string(after)))
		}
		return told
	}
	if told := purge(auditstore.Keep{Age: time.Hour, Rows: 100}, time.Now()); told != nil {
		t.Errorf("nothing was deleted, and told of: %v", told)
	}
	one := `retention deleted archive {"keep_rows":10,"left":10,"rows":3}` // one row is the record of the first reading
	if told := purge(auditstore.Keep{Rows: 10}, time.Now()); !slices.Equal(told, []string{one}) {
		t.Errorf("by number: %v", told)
	}
	page := r.audit("?page_size=100&table_name=LiteLLM_TeamTable")
	if *page.Total != 9 || strings.Contains(page.ids(), "e0") || strings.Contains(" "+page.ids()+" ", " e1 ") {
		t.Errorf("left: %s", page.ids())
	}
	// The relay ends after a deletion and before its record.
	s, err := l.maintain(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n, err := s.Purge(t.Context(), time.Now(), auditstore.Keep{Rows: 8}); err != nil || n != 3 {
		t.Fatal(n, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	two := `retention deleted archive {"keep_rows":100,"left":8,"rows":3}`
	if told := purge(auditstore.Keep{Rows: 100}, time.Now()); !slices.Equal(told, []string{one, two}) {
		t.Errorf("told late: %v", told)
	}
	told := purge(auditstore.Keep{Age: time.Hour}, time.Now().Add(2*time.Hour))
	if want := `retention deleted archive {"keep_age":"1h0m0s","left":0,"rows":9}`; len(told) != 1 || told[0] != want {
		t.Errorf("by age: %v", told)
	}
}

// The store and the bucket fail separately: neither waits for the other.
func TestAStoreAndAnotherSinkDoNotWaitForEachOther(t *testing.T) {
	sink := &memorySink{}
	sink.down.Store(true)
	text := storeConfigText + "  - {name: other, sink: {memory: {}}, chunk: {age: 1ms}, backoff: {initial: 1ms, max: 5ms}}\n"
	r := run(t, text, map[string]SinkMaker{"memory": func(config.Section) (auditrelay.Sink, error) { return sink, nil }})
	r.send(numbered(1))
	r.await("store")
	if page := r.audit("?id=e1"); page.ids() != "e1" {
		t.Fatalf("with the other down the store has %s", page.ids())
	}
	// Now the store fails: its folder becomes a file.
	sink.down.Store(false)
	dir := filepath.Join(filepath.Dir(r.file), "data", "store")
	if err := os.Rename(dir, dir+"-away"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r.send(numbered(2))
	r.await("other")
	if status, answer := r.call("GET", "/audit", "", storeToken); status != nethttp.StatusServiceUnavailable || strings.Contains(answer, dir) {
		t.Errorf("without a store to read: %d %s", status, answer)
	}
	if status, answer := r.call("GET", "/readyz", "", ""); status != 200 {
		t.Errorf("not ready for it: %s", answer)
	}
	if err := errors.Join(os.Remove(dir), os.Rename(dir+"-away", dir)); err != nil {
		t.Fatal(err)
	}
	if status, answer := r.call("POST", "/v1/callbacks/store/resume", "", "token-of-the-boss"); status != 200 {
		t.Fatal(answer)
	}
	r.await("store")
	if page := r.audit("?table_name=LiteLLM_TeamTable"); page.ids() != "e2 e1" {
		t.Errorf("mended, the store has %s", page.ids())
	}
}

// LiteLLM's unchanged file creates a store, and no value removed by the preset is in any of its
// files.
func TestNoSecretIsInTheStoresFiles(t *testing.T) {
	const secret = "planted-Zx9Qv7Lw3Rt5"
	text := `
tokens: [{name: auditor, token: ` + storeToken + `, roles: [comply]}, {name: boss, token: token-of-the-boss, roles: [admin]}]
litellm_settings: {store_audit_logs: true}
`
	r := run(t, text, nil)
	for n := range 50 {
		r.send(strings.Replace(numbered(n), `"{\"n\"`, `"{\"litellm_params\":{\"api_key\":\"`+secret+`\"},\"password\":\"`+secret+`\",\"n\"`, 1))
	}
	r.await("")
	page := r.audit("?id=e1")
	if len(page.Logs) != 1 || !strings.Contains(fmt.Sprint(page.Logs[0]["before_value"]), "password:***") {
		t.Fatalf("stored: %v", page.Logs)
	}
	look := func() (files int) {
		dir := filepath.Join(filepath.Dir(r.file), "data", "store")
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			files++
			data, err := os.ReadFile(path)
			if bytes.Contains(data, []byte(secret)) {
				t.Errorf("%s holds the secret", e.Name())
			}
			if strings.HasSuffix(path, ".db") || strings.HasSuffix(path, "-wal") {
				if !bytes.Contains(data, []byte("LiteLLM_TeamTable")) && len(data) > 64<<10 {
					t.Errorf("%s is not what was written", e.Name())
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return files
	}
	if n := look(); n < 3 {
		t.Errorf("%d files", n)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	look()
}

func TestWhichStoreIsRead(t *testing.T) {
	two := "callbacks: [{name: a, sink: {sqlite: {}}}, {name: b, sink: {sqlite: {path: b.db}}}]\n"
	for name, tt := range map[string]struct{ text, serves, says string }{
		"one":              {"callbacks: [{name: a, sink: {sqlite: {}}}, {name: b, sink: {stdout: {}}}]\n", "a", ""},
		"two, one named":   {"store: b\n" + two, "b", ""},
		"two, none named":  {two, "", "callbacks a and b are both stores"},
		"none":             {"callbacks: [{name: b, sink: {stdout: {}}}]\n", "", ""},
		"no store named":   {"store: b\ncallbacks: [{name: b, sink: {stdout: {}}}]\n", "", "it names no callback whose sink is a store"},
		"one file for two": {"store: a\ncallbacks: [{name: a, sink: {sqlite: {path: x.db}}}, {name: b, sink: {sqlite: {path: ./x.db}}}]\n", "", "its store is that of callback a"},
		"a bad option":     {"callbacks: [{name: a, sink: {sqlite: {keep: {rows: -1}}}}]\n", "", "sink.sqlite.keep.rows: out of range"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAssembler(t, nil)
			cfg, err := a.loadConfig(writeConfig(t, tt.text))
			if tt.says != "" {
				if err == nil || !strings.Contains(err.Error(), tt.says) {
					t.Fatalf("got %v, want %s", err, tt.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, serves, err := a.storesOf(cfg); err != nil || serves != tt.serves {
				t.Errorf("it reads %q, %v; want %q", serves, err, tt.serves)
			}
		})
	}
}

// A reload does not affect unchanged stores, and reads from changed ones.
func TestStoresAcrossAReload(t *testing.T) {
	r := run(t, storeConfigText, nil)
	r.send(numbered(1))
	r.await("")
	if page := r.audit("?id=e1"); page.ids() != "e1" {
		t.Fatal(page.ids())
	}
	reload := func(text string) {
		t.Helper()
		r.rewrite(text)
		if status, answer := r.call("POST", "/v1/reload", "", "token-of-the-boss"); status != 200 {
			t.Fatal(answer)
		}
	}
	reload(storeConfigText + "  - {name: other, sink: {stdout: {}}, when: {action: [none]}}\n")
	if page := r.audit("?id=e1"); page.ids() != "e1" {
		t.Errorf("after a reload: %s", page.ids())
	}
	reload(strings.Replace(storeConfigText, "{sqlite: {}}", "{sqlite: {path: elsewhere.db}}", 1) + "removed: [other]\n")
	r.send(numbered(2))
	r.await("")
	if page := r.audit("?table_name=LiteLLM_TeamTable"); page.ids() != "e2" {
		t.Errorf("elsewhere: %s", page.ids())
	}
	reload("tokens: [{name: auditor, token: " + storeToken + ", roles: [comply]}, {name: boss, token: token-of-the-boss, roles: [admin]}]\nremoved: [store]\ncallbacks: [{name: another, sink: {stdout: {}}, when: {action: [none]}}]\n")
	if status, answer := r.call("GET", "/audit", "", storeToken); status != nethttp.StatusNotImplemented {
		t.Errorf("without one: %d %s", status, answer)
	}
}

func TestWhatDidNotChangeStaysOpen(t *testing.T) {
	_, all := newStoreRelay(t)
	l := all.live["archive"]
	first, err := l.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all.set([]store{l.store}, "archive")
	same, err := all.Serving()
	if err != nil || same != l {
		t.Fatal("what did not change was replaced", err)
	}
	if again, err := l.Read(t.Context()); err != nil || again != first {
		t.Errorf("it was opened anew: %v", err)
	}
	changed := l.store
	changed.digest = "another"
	all.set([]store{changed}, "archive")
	if _, err := l.Read(t.Context()); !errors.Is(err, http.ErrNoStore) {
		t.Errorf("what was replaced is read: %v", err)
	}
}

// The same routes work for both databases.
func TestAStoreInPostgres(t *testing.T) {
	server := pgtest.Start(t)
	t.Setenv("STORE_URL", server.URL("owner", "postgres"))
	text := strings.Replace(storeConfigText, "{sqlite: {}}", "{postgres: {url: os.environ/STORE_URL, keep: {age: 30d}}}, backoff: {initial: 1ms, max: 10ms}", 1)
	r := run(t, text, nil)
	for n := range 12 {
		r.send(numbered(n))
	}
	r.await("")
	page := r.audit("?page_size=5&table_name=LiteLLM_TeamTable")
	if page.ids() != "e11 e10 e9 e8 e7" || *page.Total != 12 || page.Next == nil {
		t.Fatalf("the first page: %+v", page)
	}
	if page = r.audit("?page_size=5&table_name=LiteLLM_TeamTable&cursor=" + *page.Next); page.ids() != "e6 e5 e4 e3 e2" {
		t.Errorf("behind the cursor: %s", page.ids())
	}
	if body, trailer, err := r.export("?format=csv&action=deleted"); err != nil || trailer.Get("Auditrelay-Export-Records") != "4" {
		t.Errorf("the export: %v, %s", err, body)
	}
	r.await("")
	// If it is unavailable, nothing else is affected. If it was emptied, it is filled again.
	server.Stop(t, "immediate")
	r.send(numbered(20))
	if status, answer := r.call("GET", "/audit", "", storeToken); status != nethttp.StatusServiceUnavailable || strings.Contains(answer, "socket") {
		t.Errorf("without a server: %d %s", status, answer)
	}
	server.Restart(t)
	r.await("")
	if page = r.audit("?id=e20"); page.ids() != "e20" {
		t.Errorf("what came meanwhile: %s", page.ids())
	}
	before := *r.audit("?table_name=LiteLLM_TeamTable").Total
	server.Connect(t, "owner", "postgres").Exec("DELETE FROM auditrelay.auditrelay_events; UPDATE auditrelay.auditrelay_meta SET value = 0 WHERE name = 'rows'")
	if status, answer := r.call("POST", "/v1/store/rebuild", "", "token-of-the-boss"); status != 200 {
		t.Fatal(answer)
	}
	r.until(func() bool { return *r.audit("?table_name=LiteLLM_TeamTable").Total == before })
	if status, answer := r.call("POST", "/v1/backup", "", "token-of-the-boss"); status != 200 {
		t.Errorf("a backup: %s", answer)
	}
}

// The loss of acknowledged transactions by a store is recorded once.
func TestLostTransactionsAreRecorded(t *testing.T) {
	r, all := newStoreRelay(t)
	if status, answer, _ := r.call("POST", "/v1/events", numbered(1)); status != 200 {
		t.Fatal(answer)
	}
	r.settle()
	l := all.live["archive"]
	s, err := l.maintain(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Lost(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	d := &daemon{rt: r.rt, log: quiet()}
	for range 2 {
		if err := d.tend(t.Context(), l, time.Now()); err != nil {
			t.Fatal(err)
		}
		r.settle()
	}
	logs := r.audit("?table_name=" + tableStore).Logs
	if len(logs) != 1 || logs[0]["object_id"] != "archive" || !strings.Contains(fmt.Sprint(logs[0]["updated_values"]), "lost_transactions:3") {
		t.Errorf("recorded: %v", logs)
	}
}
