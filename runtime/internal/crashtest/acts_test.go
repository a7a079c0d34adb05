package crashtest

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// ownRecord is the part of an own record used by these tests.
type ownRecord struct {
	ID      string          `json:"id"`
	Object  string          `json:"object_id"`
	Table   string          `json:"table_name"`
	After   json.RawMessage `json:"updated_values"`
	Control struct{ Act, Outcome, Of, Reason string }
}

// acting lets operators act on a relay, each one act after the other, until it is killed.
type acting struct {
	*relay
	mu       sync.Mutex
	answered map[string]string // acknowledged acts: the request by its reason
	asked    int
}

// ask makes one request. An act's reason identifies it.
func (a *acting) ask(method, path, body string) bool {
	a.mu.Lock()
	a.asked++
	reason := fmt.Sprintf("act %d", a.asked)
	a.mu.Unlock()
	reasoned := strings.Contains(path+body, "WHY")
	path = strings.ReplaceAll(path, "WHY", "reason="+strings.ReplaceAll(reason, " ", "+"))
	body = strings.ReplaceAll(body, "WHY", fmt.Sprintf("%q:%q", "reason", reason))
	req, err := http.NewRequest(method, a.url+path, strings.NewReader(body))
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false // the relay was killed
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return false
	}
	nothing := bytes.Contains(answer, []byte(`"changed":0`)) || bytes.Contains(answer, []byte(`"added":false`)) // to discard, or to push
	if resp.StatusCode == http.StatusOK && reasoned && !nothing {
		a.mu.Lock()
		a.answered[reason] = path
		a.mu.Unlock()
	}
	return true
}

// TestKillBetweenRecordAndEffect kills the relay repeatedly while operators act on it.
// Afterwards each acknowledged act is recorded, the last record of each object matches its
// state, and every act has an end.
func TestKillBetweenRecordAndEffect(t *testing.T) {
	lives(t, rounds(t, 3), killBetweenRecordAndEffect)
}

func killBetweenRecordAndEffect(t *testing.T, n int) {
	dir := t.TempDir()
	config := filepath.Join(dir, "auditrelay.yaml")
	modules := [][]byte{}
	for _, name := range []string{"keep", "drop"} {
		code, err := os.ReadFile("../../../testdata/wasm/hostile/" + name + ".wasm")
		if err != nil {
			t.Fatal(err)
		}
		modules = append(modules, code)
	}
	write(t, config, fmt.Sprintf(`
data_dir: %s
%s
filters: {mask: {redact: {rules: [{names: [password], do: mask}]}}}
callbacks:
  - {name: paused, sink: {file: {path: %s}}, chunk: {age: 1ms}}
  - {name: detached, filters: [mask], sink: {file: {path: %s}}, chunk: {age: 1ms}}
  - {name: gated, must_not_leave: {paths: [secret]}, sink: {file: {path: %s}}, chunk: {age: 1ms}}
`, filepath.Join(dir, "data"), oftenSigned, filepath.Join(dir, "a", "a.ndjson"), filepath.Join(dir, "b", "b.ndjson"), filepath.Join(dir, "c", "c.ndjson")))
	// Not b: payloads in flight when its callback was detached may have arrived, and no log
	// states them.
	auditor := newAuditor(t, filepath.Join(dir, "data"), config, filepath.Join(dir, "a"), filepath.Join(dir, "c"))
	listen := address(t)
	a := &acting{relay: startRelay(t, listen, config), answered: map[string]string{}}
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	for round := range n {
		var batch [][]byte
		for i := range 20 {
			batch = append(batch, fmt.Appendf(nil, `{"id":"e%d-%d","action":"created","secret":1}`, round, i))
		}
		if _, err := a.post(t.Context(), http.DefaultClient, batch); err != nil {
			t.Fatal(err)
		}
		var operators sync.WaitGroup
		for _, acts := range [][]func(i int) bool{
			{func(int) bool { return a.ask("POST", "/v1/callbacks/paused/pause", "{WHY}") }, func(int) bool { return a.ask("POST", "/v1/callbacks/paused/resume", "{WHY}") }},
			{func(int) bool { return a.ask("POST", "/v1/callbacks/detached/detach", "{WHY}") }, func(int) bool { return a.ask("POST", "/v1/callbacks/detached/attach", "{WHY}") }},
			{func(i int) bool {
				return a.ask("POST", "/v1/filters/mask/policy", fmt.Sprintf(`{"policy":"rules: [{names: [n%d], do: mask}]",WHY}`, i))
			}},
			{func(i int) bool { return a.ask("POST", "/v1/modules?name=m&WHY", string(modules[i%2])) }, func(i int) bool { return a.ask("DELETE", "/v1/modules/"+sha(modules[i%2])+"?WHY", "") }},
			{func(int) bool { return a.ask("POST", "/v1/callbacks/gated/dead-letters/discard", `{"all":true,WHY}`) }, func(int) bool { return a.ask("POST", "/v1/callbacks/gated/test", "") }},
			{func(int) bool { return a.ask("POST", "/v1/backup", "{WHY}") }, func(int) bool { return a.ask("GET", "/v1/stored", "") }},
		} {
			operators.Go(func() {
				for i := 0; ; i++ {
					if !acts[i%len(acts)](i / len(acts)) {
						return
					}
				}
			})
		}
		time.Sleep(time.Duration(30+random.IntN(150)) * time.Millisecond) // the moment of the kill
		a.kill()
		operators.Wait()
		if err := auditor.left(t); err != nil {
			t.Errorf("killed in round %d: %v", round, err)
		}
		a.relay = startRelay(t, listen, config)
		a.tell(t, filepath.Join(dir, "data-backups"))
		if t.Failed() {
			t.Fatalf("killed in round %d", round)
		}
	}
	t.Logf("%d acts asked for, %d acknowledged, %d kills", a.asked, len(a.answered), n)
}

// tell compares the own records with the relay's state.
func (a *acting) tell(t *testing.T, backups string) {
	t.Helper()
	begun, last, recorded := map[string]ownRecord{}, map[string]ownRecord{}, map[string]bool{}
	for _, o := range a.control(t) {
		switch o.Control.Outcome {
		case "begun":
			begun[o.ID] = o
			continue
		case "done", "failed":
			if of := o.Control.Of; of != "" {
				if _, ok := begun[of]; !ok {
					t.Errorf("a second end, or one without a beginning: %+v", o)
				}
				delete(begun, of)
			}
		default:
			t.Errorf("neither done nor not done: %+v", o)
		}
		recorded[o.Control.Reason] = true
		if o.Control.Outcome == "done" {
			last[o.Table+" "+o.Object] = o
		}
		if o.Table == "auditrelay_backup" && o.Control.Outcome != "failed" {
			if _, err := os.Stat(filepath.Join(backups, o.Object)); err != nil {
				t.Errorf("a backup that is on record: %v", err)
			}
		}
	}
	for id, o := range begun {
		t.Errorf("%s has no end: %+v", id, o)
	}
	for reason := range a.answered {
		if !recorded[reason] {
			t.Errorf("%s was acknowledged and is not on record: %s", reason, a.answered[reason])
		}
	}
	for name, states := range map[string]map[string]string{"paused": {"pause": "paused", "resume": "active"}, "detached": {"detach": "detached", "attach": "active"}} {
		act := last["auditrelay_callback "+name].Control.Act
		if got := a.callback(t, name).State; act != "" && got != states[act] {
			t.Errorf("callback %s is %s; its last record: %s", name, got, act)
		}
	}
	var stored []struct {
		SHA256 string `json:"sha256"`
	}
	a.read(t, "/v1/modules", &stored)
	for key, o := range last {
		digest, ok := strings.CutPrefix(key, "auditrelay_module ")
		if !ok {
			continue
		}
		is := false
		for _, s := range stored {
			is = is || s.SHA256 == digest
		}
		if is != (o.Control.Act != "delete") {
			t.Errorf("module %s is stored: %v; its last record: %s", digest, is, o.Control.Act)
		}
	}
	var policies []struct{ Kind, Name, Digest string }
	a.read(t, "/v1/policies", &policies)
	for _, p := range policies {
		if o, ok := last["auditrelay_policy "+p.Name]; ok && p.Kind == "policy" && !bytes.Contains(o.After, []byte(p.Digest)) {
			t.Errorf("policy %s has digest %s; its last record: %s", p.Name, p.Digest, o.After)
		}
	}
}

// control returns the own records in the journal.
func (r *relay) control(t *testing.T) (all []ownRecord) {
	t.Helper()
	for from := uint64(0); ; {
		var page struct {
			Next    uint64
			Records []struct{ Data ownRecord }
		}
		r.read(t, fmt.Sprintf("/v1/control?limit=1000&from=%d", from), &page)
		for _, o := range page.Records {
			all = append(all, o.Data)
		}
		if from = page.Next; from == 0 {
			return all
		}
	}
}

// read decodes the answer to a GET.
func (r *relay) read(t *testing.T, path string, into any) {
	t.Helper()
	resp, err := http.Get(r.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: status %d, %v", path, resp.StatusCode, err)
	}
}

func sha(code []byte) string { return fmt.Sprintf("%x", sha256.Sum256(code)) }
