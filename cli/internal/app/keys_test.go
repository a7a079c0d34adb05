package app

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"auditrelay"
	"auditrelay/config"
	"auditrelay/internal/redaction"
)

// keptSink stores the delivered records.
type keptSink struct {
	memorySink
	mu   sync.Mutex
	data map[uint64]string // by sequence
}

func (s *keptSink) Render(chunk auditrelay.Chunk) ([]auditrelay.Payload, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.data == nil {
		s.data = map[uint64]string{}
	}
	for _, r := range chunk.Records {
		s.data[r.Sequence] = string(r.Data)
	}
	return s.memorySink.Render(chunk)
}

// inOrder returns all delivered records, parsed, by sequence.
func (s *keptSink) inOrder(t *testing.T) (all []delivered) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sequence := range slices.Sorted(maps.Keys(s.data)) {
		d := delivered{text: s.data[sequence]}
		if err := json.Unmarshal([]byte(d.text), &d); err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
	}
	return all
}

// of returns the delivered records of one table.
func (s *keptSink) of(t *testing.T, table string) []delivered {
	t.Helper()
	return slices.DeleteFunc(s.inOrder(t), func(d delivered) bool { return d.Table != table })
}

type delivered struct {
	By     string          `json:"changed_by"`
	Action string          `json:"action"`
	Table  string          `json:"table_name"`
	Object string          `json:"object_id"`
	Before json.RawMessage `json:"before_value"`
	After  json.RawMessage `json:"updated_values"`
	text   string
}

func (s *keptSink) makers() map[string]SinkMaker {
	return map[string]SinkMaker{"kept": func(config.Section) (auditrelay.Sink, error) { return s, nil }}
}

func (r *running) mustReload(text string) {
	r.t.Helper()
	r.rewrite(text)
	if status, answer := r.call("POST", "/v1/reload", "", ""); status != 200 {
		r.t.Fatalf("reload: %d %s", status, answer)
	}
}

// Each change of a key is recorded once, with fingerprints in place of secrets.
func TestChangesOfKeysAreAuditEvents(t *testing.T) {
	sink := &keptSink{}
	dir := t.TempDir()
	config := func(keys string) string {
		return "data_dir: " + dir + "\nlog: {level: debug}\nkeys: {" + keys + "}\ncallbacks: [{name: one, sink: {kept: {}}, chunk: {age: 1ms}}]\n"
	}
	steps := []string{
		"team: {current: 1, versions: {1: first-secret-of-team}}, user: secret-of-the-users",
		"team: {current: 2, versions: {1: first-secret-of-team, 2: second-secret-of-team}}, user: secret-of-the-users", // rotated
		"team: {current: 2, versions: {1: destroyed, 2: second-secret-of-team}}, user: secret-of-the-users",            // destroyed
		"team: {current: 2, versions: {1: destroyed, 2: second-secret-of-team}}",                                       // removed
		"team: {current: 2, versions: {1: destroyed, 2: another-2nd-secret-of-team}}",                                  // another secret
	}
	r := run(t, config(steps[0]), sink.makers())
	for _, keys := range steps[1:] {
		r.mustReload(config(keys))
	}
	r.mustReload(config(steps[4]) + "filters: {f: {redact: {preset: minimal}}}\n") // no change of a key
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	again := run(t, config(steps[4]), sink.makers()) // the next start does not repeat it
	if err := again.stop(); err != nil {
		t.Fatal(err)
	}
	type state struct {
		Current  int
		Versions map[string]string
	}
	var got []string
	fingerprints := map[string]string{}
	for _, e := range sink.of(t, tableKey) {
		var before, after state
		if err := json.Unmarshal(e.Before, &before); err != nil {
			t.Error(err)
		}
		if err := json.Unmarshal(e.After, &after); err != nil {
			t.Error(err)
		}
		show := func(s state) string {
			var versions []string
			for _, number := range slices.Sorted(maps.Keys(s.Versions)) {
				fingerprint := s.Versions[number]
				if fingerprint != versionDestroyed {
					if len(fingerprint) != 32 {
						t.Errorf("a fingerprint is %q", fingerprint)
					}
					if fingerprints[fingerprint] == "" {
						fingerprints[fingerprint] = string(rune('A' + len(fingerprints)))
					}
					fingerprint = fingerprints[fingerprint]
				}
				versions = append(versions, number+"="+fingerprint)
			}
			return fmt.Sprintf("%d(%s)", s.Current, strings.Join(versions, " "))
		}
		got = append(got, fmt.Sprintf("%s %s %s -> %s by %s", e.Action, e.Object, show(before), show(after), e.By))
	}
	want := []string{
		"created team 0() -> 1(1=A) by config file",
		"created user 0() -> 0(0=B) by config file",
		"rotated team 1(1=A) -> 2(1=A 2=C) by local",
		"updated team 2(1=A 2=C) -> 2(1=destroyed 2=C) by local",
		"deleted user 0(0=B) -> 0() by local",
		"updated team 2(1=destroyed 2=C) -> 2(1=destroyed 2=D) by local",
	}
	if !slices.Equal(got, want) {
		t.Errorf("told:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, where := range append([]string{r.log.String(), again.log.String()}, texts(sink.inOrder(t))...) {
		if strings.Contains(where, "secret-of") {
			t.Errorf("it shows a secret: %s", where)
		}
	}
}

func texts(all []delivered) (texts []string) {
	for _, d := range all {
		texts = append(texts, d.text)
	}
	return texts
}

// During a reload with a new key version, nothing is lost, and every pseudonym is that of the
// version it names. After the reload is answered, only the new version makes pseudonyms.
func TestAKeyIsRotatedWhileEventsFlow(t *testing.T) {
	secrets := map[int]auditrelay.Secret{1: "first-secret-of-team", 2: "second-secret-of-team", 3: "third-secret-of-team"}
	config := func(current int) string {
		return fmt.Sprintf("keys: {team: {current: %d, versions: {1: %s, 2: %s, 3: %s}}}\n", current, secrets[1].Reveal(), secrets[2].Reveal(), secrets[3].Reveal()) +
			"filters: {p: {redact: {pseudonyms: shared, rules: [{paths: [object_id], do: hmac, key: team}]}}}\n" +
			"callbacks: [{name: one, filters: [p], sink: {kept: {}}, chunk: {age: 1ms}}]\n"
	}
	sink := &keptSink{}
	r := run(t, config(1), sink.makers())
	sent := 0
	send := func() {
		t.Helper()
		sent++
		if status, answer := r.call("POST", "/v1/events", event(fmt.Sprintf("e-%d", sent)), ""); status != 200 {
			t.Fatalf("send: %d %s", status, answer)
		}
	}
	var at []int // number of events sent before each version was definitely in force
	for version := 1; version <= 3; version++ {
		if version > 1 {
			r.rewrite(config(version))
			done := make(chan string)
			go func() {
				status, answer := r.call("POST", "/v1/reload", "", "")
				done <- fmt.Sprint(status, " ", answer)
			}()
			for reloading := true; reloading; {
				select {
				case answer := <-done:
					if reloading = false; !strings.HasPrefix(answer, "200 ") {
						t.Fatal(answer)
					}
				default:
					send()
				}
			}
		}
		at = append(at, sent)
		for range 20 {
			send()
		}
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	events := sink.of(t, "LiteLLM_TeamTable")
	if len(events) != sent {
		t.Fatalf("%d events of %d were delivered", len(events), sent)
	}
	last := 1
	for i, e := range events {
		version := 0
		for number, secret := range secrets {
			if e.Object == string(redaction.NewPseudonymiser("team", auditrelay.Key{Version: number, Secret: secret}).Append(nil, []byte("o"))) {
				version = number
			}
		}
		least := 1
		for number, count := range at {
			if i >= count {
				least = number + 1
			}
		}
		if version < least || version < last {
			t.Fatalf("event %d of %d has %q, of version %d, when %d was in force and %d had been used", i, sent, e.Object, version, least, last)
		}
		last = version
	}
}
