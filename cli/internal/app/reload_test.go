package app

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// injected makes one step of a reload fail or block.
type injected struct {
	mu    sync.Mutex
	at    string
	do    func() error
	steps []string
}

func (i *injected) step(name string) error {
	i.mu.Lock()
	i.steps = append(i.steps, name)
	do := i.do
	if name != i.at {
		do = nil
	}
	i.mu.Unlock()
	if do == nil {
		return nil
	}
	return do()
}

func (i *injected) set(at string, do func() error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.at, i.do, i.steps = at, do, nil
}

// scrubbedState matches values that change from moment to moment.
var scrubbedState = regexp.MustCompile(`"(since|lag_ns|last_seen)":[^,}]*|"(assigned|delivered|pending|cursor|head|payloads|attempts|in_flight|lag_ns)":\d+|"oldest_pending":"[^"]*",?`)

func testdataDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../../../testdata/wasm")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// A reload that fails at any step changes nothing: neither callbacks nor tokens, sources,
// stores, filters or the log's level. The next one works.
func TestAReloadThatFailsAnywhereChangesNothing(t *testing.T) {
	const boss, other = "token-of-the-boss", "token-of-another-1"
	guest := func(file string) string { return filepath.Join(testdataDir(t), file) }
	before := "tokens: [{name: boss, token: " + boss + ", roles: [admin]}]\n" +
		"filters: {f: {wasm: " + guest("hostile/keep.wasm") + "}}\n" +
		"callbacks:\n  - {name: one, filters: [f], sink: {memory: {}}, chunk: {age: 1ms}}\n  - {name: store, sink: {sqlite: {}}}\n"
	after := "log: {level: debug}\ntokens: [{name: boss, token: " + boss + ", roles: [admin]}, {name: other, token: " + other + ", roles: [view]}]\n" +
		"ingest: {s3: {listen: '127.0.0.1:0', keys: [{name: k, access_key_id: AKIDEXAMPLE, secret_access_key: 7f3a91c04be2d586}]}}\n" +
		"filters: {f: {wasm: " + guest("hostile/keep.wasm") + ", limits: {fuel: 123456}}}\n" +
		"callbacks:\n  - {name: one, filters: [f], sink: {memory: {}}, chunk: {age: 2ms}}\n  - {name: two, sink: {memory: {}}}\n  - {name: store, sink: {sqlite: {path: other.db}}}\n"
	in := &injected{}
	r := runFile(t, writeConfig(t, "listen: 127.0.0.1:0\n"+before), memorySinks, func(o *Options) { o.step = in.step })
	state := func() string {
		var b strings.Builder
		for _, path := range []string{"/v1/callbacks", "/v1/sources", "/v1/filters"} {
			_, answer := r.call("GET", path, "", boss)
			b.WriteString(answer)
		}
		status, _ := r.call("GET", "/v1/callbacks", "", other)
		b.WriteString(http.StatusText(status))
		return b.String()
	}
	in.set("", nil)
	if status, answer := r.call("POST", "/v1/reload", "", boss); status != 200 {
		t.Fatal(answer)
	}
	steps := slices.Clone(in.steps)
	if len(steps) < 5 {
		t.Fatalf("only the steps %v", steps)
	}
	r.await("")
	was := scrubbedState.ReplaceAllString(state(), "")
	r.rewrite(after)
	for _, step := range steps {
		in.set(step, func() error { return errors.New("injected") })
		if status, answer := r.call("POST", "/v1/reload", "", boss); status != http.StatusUnprocessableEntity || !strings.Contains(answer, "injected") {
			t.Fatalf("%s: %d %s", step, status, answer)
		}
		if now := scrubbedState.ReplaceAllString(state(), ""); now != was {
			t.Errorf("%s failed, and something changed:\n%s\nwas:\n%s", step, now, was)
		}
		if strings.Contains(r.log.String(), "level=DEBUG") {
			t.Errorf("%s failed, and the log's level changed", step)
		}
	}
	in.set("", nil)
	if status, answer := r.call("POST", "/v1/reload", "", boss); status != 200 {
		t.Fatalf("after all: %s", answer)
	}
	if now := scrubbedState.ReplaceAllString(state(), ""); now == was {
		t.Error("the reload changed nothing")
	}
}

// During a slow reload, requests are answered, and the relay can stop without it.
func TestASlowReloadHoldsUpNobody(t *testing.T) {
	in := &injected{}
	r := runFile(t, writeConfig(t, "listen: 127.0.0.1:0\n"+oneCallback), memorySinks, func(o *Options) { o.step = in.step })
	slow, release := make(chan struct{}), make(chan struct{})
	in.set("sinks and filters", func() error { close(slow); <-release; return nil })
	reloaded := make(chan struct{})
	go func() {
		defer close(reloaded)
		r.reload <- os.Interrupt // like a signal
	}()
	<-slow
	<-reloaded
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, path := range []string{"/v1/filters", "/v1/modules", "/v1/callbacks", "/v1/sources", "/metrics", "/readyz", "/v1/stats"} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.address+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatalf("%s waits for the reload: %v", path, err)
		}
		resp.Body.Close()
	}
	time.AfterFunc(100*time.Millisecond, func() { close(release) }) // a killed child ends soon
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if log := r.log.String(); !strings.Contains(log, "the old one stays in force") {
		t.Errorf("the reload was not given up:\n%s", log)
	}
}
