package hostfuncs_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/builtin/wasm"
	"auditrelay/document"
	"auditrelay/filter"
)

const event = `{"action":"updated","n":1.50,"s":"añb","none":null,"object_id":"team-7",` +
	`"list":[{"k":1},{"k":2}],"before_value":"{\"password\":\"old\",\"token\": \"t\"}","updated_values":{"password":"new","deep":{"api_key":"x"}}}`

// runner runs the guest that calls host functions according to its configuration.
type runner struct {
	t       *testing.T
	options wasm.Options
	leaks   func(text []byte) bool
	event   string // empty: the default event of the tests
}

func newRunner(t *testing.T) runner {
	code, err := os.ReadFile("../testdata/wasm/script/script.wasm")
	if err != nil {
		t.Fatal(err)
	}
	return runner{t: t, options: wasm.Options{
		Name:   "script",
		Wasm:   code,
		Grants: wasm.Grants{Write: []string{"**"}, Emit: []string{"alerts"}, Keys: []string{"pseudonyms"}, Metrics: []string{"seen"}},
		Keys:   map[string]auditrelay.Key{"pseudonyms": {Secret: "k"}},
		Limits: wasm.Limits{Time: 5 * time.Second},
		Logger: slog.New(slog.DiscardHandler),
		// Each test configures the guest differently; it is compiled once.
		CacheDir: filepath.Join(t.TempDir(), "cache"),
	}}
}

type outcome struct {
	said, doc string
	fuel      int64
	emitted   []filter.Emit
	touched   string
	counts    map[string]uint64
	err       error
}

func (r runner) run(steps [][]string) outcome {
	r.t.Helper()
	config, err := json.Marshal(map[string]any{"steps": steps})
	if err != nil {
		r.t.Fatal(err)
	}
	o := r.options
	o.Config = config
	m, err := wasm.Load(r.t.Context(), o)
	if err != nil {
		r.t.Fatal(err)
	}
	defer m.Close()
	i, err := m.Open(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	defer i.Close()
	data := []byte(cmp.Or(r.event, event))
	if err := document.Check(data, document.Limits{}); err != nil {
		r.t.Fatal(err)
	}
	d := new(document.Document)
	d.Reset(data)
	call := &filter.Call{
		Event:    &auditrelay.Event{ID: "e", Sequence: 42, Received: time.Unix(7, 9), Data: data},
		Document: d,
		Leaks:    r.leaks,
	}
	_, err = i.Apply(r.t.Context(), call)
	touched := ""
	for _, t := range call.Touched {
		touched += fmt.Sprintf("%s %s %d\n", t.Path, t.Operation, t.Count)
	}
	return outcome{call.Reason, string(d.Append(nil)), call.Usage.Fuel, call.Emitted, touched, m.Counts(), err}
}

// load returns why a guest with these steps does not start.
func (r runner) load(steps [][]string) error {
	r.t.Helper()
	o := r.options
	var err error
	if o.Config, err = json.Marshal(map[string]any{"steps": steps}); err != nil {
		r.t.Fatal(err)
	}
	m, err := wasm.Load(r.t.Context(), o)
	if err == nil {
		err = m.Close()
	}
	return err
}

// Each host function from the guest's side.
func TestHostFunctions(t *testing.T) {
	r := newRunner(t)
	const pseudonym = "hmac:pseudonyms:56c18bd2ac6a5ef8c338f6203cadc0cf" // of team-7 with the key k
	for _, c := range []struct {
		name  string
		steps [][]string
		said  string
		old   string // the changed part of the event
		new   string
	}{
		{"kinds", [][]string{{"kind", "missing"}, {"kind", "none"}, {"kind", "n"}, {"kind", "s"}, {"kind", "updated_values"}, {"kind", "list"}, {"kind", "before_value"}}, "0 1 3 4 5 6 4", "", ""},
		{"length counts members, elements, bytes", [][]string{{"length", "updated_values"}, {"length", "list"}, {"length", "s"}, {"length", "missing"}}, "2 2 4 -1", "", ""},
		{"key", [][]string{{"key", "updated_values.deep"}, {"key", "list.1"}}, "deep 1", "", ""},
		{"get gives JSON", [][]string{{"get", "n"}, {"get", "s"}, {"get", "missing"}}, `1.50 "añb" -1`, "", ""},
		{"get_string gives text, of strings only", [][]string{{"get_string", "s"}, {"get_string", "n"}, {"get_string", "missing"}}, "añb -2 -1", "", ""},
		{"a buffer that is too small gets nothing, and the length", [][]string{{"tight", "object_id"}}, "8", "", ""},
		{"child", [][]string{{"keys", "updated_values"}, {"keys", "before_value"}, {"keys", "s"}}, "password deep password token", "", ""},
		{"each goes through strings that hold JSON", [][]string{{"each", "**.password"}, {"each", "list.*.k"}}, `"old" "new" 1 2`, "", ""},
		{"is", [][]string{{"is", "action", "updated"}, {"is", "action", "update"}, {"is", "n", "1.50"}, {"is", "missing", ""}}, "1 0 0 0", "", ""},
		{"matches", [][]string{{"matches", "object_id", "^team-[0-9]+$"}, {"matches", "action", "x"}, {"matches", "n", "1"}}, "1 0 -2", "", ""},
		{"query", [][]string{{"query", "list.#.k"}, {"query", "nothing"}, {"query", "s"}}, `[1,2] -1 "añb"`, "", ""},
		{"query sees edits", [][]string{{"mask", "s"}, {"query", "s"}}, `0 "***"`, `"añb"`, `"***"`},

		{"set_json", [][]string{{"set_json", "n", `{"a": [1]}`}, {"get", "n.a.0"}, {"set_json", "missing", "1"}}, "0 1 -1", `1.50`, `{"a": [1]}`},
		{"set_string escapes", [][]string{{"set_string", "s", "a\"b\n"}}, "0", `"añb"`, `"a\"b\n"`},
		{"put adds one new last key", [][]string{{"put", "updated_values", "new", "true"}, {"put", "updated_values", "deep", "1"}, {"put", "missing", "a", "1"}, {"put", "n", "a", "1"}}, "0 -4 -1 -2", `"x"}}`, `"x"},"new":true}`},
		{"put into a string that holds JSON", [][]string{{"put", "before_value", "new", "true"}}, "0", ` \"t\"}`, ` \"t\",\"new\":true}`},
		{"delete", [][]string{{"delete", "none"}, {"delete", "none"}}, "0 -1", `"none":null,`, ``},
		{"mask", [][]string{{"mask", "n"}, {"mask", "missing"}}, "0 -1", `1.50`, `"***"`},
		{"mask inside a string that holds JSON", [][]string{{"mask", "before_value.password"}}, "0", `\"old\"`, `\"***\"`},
		{"truncate counts characters", [][]string{{"truncate", "s", "2"}, {"truncate", "action", "100"}, {"truncate", "n", "1"}}, "0 0 -2", `"añb"`, `"añ"`},
		{"partial shows at most half", [][]string{{"partial", "object_id", "2"}, {"partial", "n", "1"}, {"partial", "missing", "1"}, {"partial", "none", "1"}}, "0 -2 -1 -2", `"team-7"`, `"***-7"`},
		{"partial_all", [][]string{{"partial_all", "updated_values.deep.*", "4"}, {"partial_all", "list.*.k", "1"}}, "1 0", `"api_key":"x"`, `"api_key":"***"`},
		{"detects, with the key in mind", [][]string{{"set_string", "s", "use sk-proj-mJ3kq9ZsTb81LwXy0dVf now"}, {"detects", "s", "secrets"}, {"detects", "action", "secrets"}, {"detects", "n", "secrets"}, {"detects", "list", "secrets"}, {"detects", "missing", "secrets"}, {"set_string", "updated_values.password", "c0rrect-h0rse"}, {"detects", "updated_values.password", "secrets, jwt"}, {"set_string", "s", "añb"}, {"set_string", "updated_values.password", "new"}}, "0 1 0 0 -2 -1 0 1 0 0", "", ""},
		{"redact_matches masks or removes what an expression finds", [][]string{{"redact_matches", "object_id", "[a-z]+", "1"}, {"redact_matches", "object_id", "[0-9]", "2"}, {"redact_matches", "object_id", "x", "1"}, {"redact_matches", "list", "x", "1"}, {"redact_matches", "missing", "x", "1"}}, "1 1 0 -2 -1", `"team-7"`, `"***-"`},
		{"redact_matches with detectors", [][]string{{"set_string", "s", "use sk-proj-mJ3kq9ZsTb81LwXy0dVf now"}, {"redact_detected", "s", "secrets", "1"}}, "0 1", `"añb"`, `"use *** now"`},
		{"redact_matches_all", [][]string{{"redact_matches_all", "**.password", "[nw]", "1"}, {"redact_detected_all", "**", "secrets", "1"}}, "1 0", `{"password":"new"`, `{"password":"***e***"`},
		{"a number in which something is found goes whole", [][]string{{"redact_matches", "n", "5", "1"}}, "1", `1.50`, `"***"`},
		{"hmac", [][]string{{"hmac", "object_id", "pseudonyms"}, {"hmac", "none", "pseudonyms"}}, "0 0", `"team-7"`, `"` + pseudonym + `"`},

		{"set_json_all", [][]string{{"set_json_all", "list.*.k", "null"}}, "2", `[{"k":1},{"k":2}]`, `[{"k":null},{"k":null}]`},
		{"set_json_all does not enter what it has set", [][]string{{"set_json_all", "**.deep", `{"deep":{"deep":1}}`}}, "1", `{"api_key":"x"}`, `{"deep":{"deep":1}}`},
		{"set_string_all", [][]string{{"set_string_all", "list.*.k", "x"}}, "2", `[{"k":1},{"k":2}]`, `[{"k":"x"},{"k":"x"}]`},
		{"mask_all", [][]string{{"mask_all", "list.*.k"}, {"mask_all", "missing"}}, "2 0", `[{"k":1},{"k":2}]`, `[{"k":"***"},{"k":"***"}]`},
		{"delete_all", [][]string{{"delete_all", "list.*"}, {"length", "list"}}, "2 0", `[{"k":1},{"k":2}]`, `[]`},
		{"delete_all by a name as people mean it", [][]string{{"delete_all", "**.~apiKey"}}, "1", `{"api_key":"x"}`, `{}`},
		{"truncate_all", [][]string{{"truncate_all", "list.*.k", "1"}, {"truncate_all", "s", "1"}}, "0 1", `"añb"`, `"a"`},
		{"hmac_all gives the same value the same pseudonym, inside strings too", [][]string{{"set_string", "before_value.token", "team-7"}, {"hmac_all", "**.token", "pseudonyms"}, {"is", "before_value.token", pseudonym}, {"hmac_all", "object_id", "pseudonyms"}, {"is", "object_id", pseudonym}, {"set_string", "object_id", "team-7"}, {"set_string", "before_value.token", "t"}}, "0 1 1 1 1 0 0", "", ""},
		{"hmac keeps what is empty or null, and takes other values by their JSON", [][]string{{"set_string", "s", ""}, {"hmac", "s", "pseudonyms"}, {"get", "s"}, {"hmac", "n", "pseudonyms"}, {"kind", "n"}, {"set_json", "n", "1.50"}, {"set_string", "s", "añb"}}, `0 0 "" 0 4 0 0`, "", ""},

		{"event_len and event_read see edits", [][]string{{"event_replace", "action", `{"a":1, "b":2}`}, {"delete", "b"}, {"event_len"}, {"event_read"}}, `0 0 7 {"a":1}`, event, `{"a":1}`},
		{"config is there as text and as a document", [][]string{{"config"}}, `{"steps":[["config"]]}`, "", ""},
		{"log", [][]string{{"log", "s", "a line"}}, "0", "", ""},
		{"sequence, received", [][]string{{"sequence"}, {"received"}}, "42 7000000009", "", ""},
		{"has", [][]string{{"has", "mask"}, {"has", "emit"}, {"has", "detects"}, {"has", "count"}, {"has", "counts"}}, "1 1 1 1 0", "", ""},
		{"event_replace", [][]string{{"event_replace", "action", `{"a":1}`}, {"get", "a"}, {"mask", "a"}}, "0 1 0", event, `{"a":"***"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			r.t = t
			got := r.run(c.steps)
			if got.err != nil {
				t.Fatal(got.err)
			}
			if want := strings.Replace(event, c.old, c.new, 1); got.said != c.said || got.doc != want {
				t.Errorf("it said %s\nwant    %s\ndocument %s\nwant     %s", got.said, c.said, got.doc, want)
			}
		})
	}
}

// A forbidden act ends the call, whatever the guest does with return values.
func TestGrantsHoldNodeByNode(t *testing.T) {
	r := newRunner(t)
	for _, c := range []struct {
		name  string
		write []string
		step  []string
		ok    bool
	}{
		{"the node itself", []string{"updated_values.password"}, []string{"mask", "updated_values.password"}, true},
		{"below the granted one", []string{"updated_values"}, []string{"mask_all", "updated_values.deep.api_key"}, true},
		{"at any depth", []string{"updated_values.**"}, []string{"mask_all", "updated_values.deep.api_key"}, true},
		{"beside it", []string{"updated_values.password"}, []string{"mask", "updated_values.deep"}, false},
		{"above it", []string{"updated_values.password"}, []string{"mask", "updated_values"}, false},
		{"one match of several outside", []string{"updated_values"}, []string{"mask_all", "**.password"}, false},
		{"inside a string that holds JSON", []string{"before_value.password"}, []string{"delete", "before_value.password"}, true},
		{"that string as a whole", []string{"before_value.password"}, []string{"set_string", "before_value", "x"}, false},
		{"a new key that is granted", []string{"updated_values.new"}, []string{"put", "updated_values", "new", "1"}, true},
		{"a new key that is not", []string{"updated_values.new"}, []string{"put", "updated_values", "other", "1"}, false},
		{"a replacement that changes nothing", []string{"none"}, []string{"event_replace", "action", event}, true},
		{"one that changes what is granted", []string{"n", "updated_values.deep"}, []string{"event_replace", "action", strings.NewReplacer("1.50", "[2]", `"x"`, `"y"`).Replace(event)}, true},
		{"one that changes something else", []string{"n"}, []string{"event_replace", "action", strings.Replace(event, `"x"`, `"y"`, 1)}, false},
		{"one that leaves something out", []string{"n"}, []string{"event_replace", "action", strings.Replace(event, `"none":null,`, "", 1)}, false},
		{"one that leaves out what is granted", []string{"none"}, []string{"event_replace", "action", strings.Replace(event, `"none":null,`, "", 1)}, true},
		{"one that adds", []string{"n"}, []string{"event_replace", "action", strings.Replace(event, `"none":null,`, `"none":null,"more":1,`, 1)}, false},
		{"one that adds what is granted", []string{"more"}, []string{"event_replace", "action", strings.Replace(event, `"none":null,`, `"none":null,"more":1,`, 1)}, true},
		{"one that changes what a string holds", []string{"before_value.password"}, []string{"event_replace", "action", strings.Replace(event, `\"old\"`, `\"***\"`, 1)}, true},
		{"one that changes what a string holds elsewhere", []string{"before_value.password"}, []string{"event_replace", "action", strings.Replace(event, `\"t\"`, `\"***\"`, 1)}, false},
		{"one that names a key twice in a string", []string{"none"}, []string{"event_replace", "action", strings.Replace(event, `"{\"`, `"{\"password\":\"smuggled\",\"`, 1)}, false},
		{"one that makes text of an object", []string{"before_value.password"}, []string{"event_replace", "action", strings.Replace(event, `{"k":2}`, `"{\"k\":2}"`, 1)}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r.t = t
			r.options.Grants.Write = c.write
			got := r.run([][]string{c.step})
			f, failed := errors.AsType[*filter.Error](got.err)
			switch {
			case c.ok && got.err != nil:
				t.Errorf("it was refused: %v", got.err)
			case !c.ok && (!failed || f.Cause != auditrelay.CauseRejectedOutput):
				t.Errorf("got %v, want a refusal", got.err)
			}
		})
	}
}

func TestCallsThatEndTheEvent(t *testing.T) {
	r := newRunner(t)
	for _, c := range []struct {
		name  string
		step  []string
		cause auditrelay.Cause
		want  string
	}{
		{"the root is edited", []string{"mask_root"}, auditrelay.CauseRejectedOutput, "mask: the module's manifest does not ask"},
		{"the configuration is edited", []string{"mask_config", "steps"}, auditrelay.CauseProtocol, "mask: the configuration cannot be edited"},
		{"a key that is not granted", []string{"hmac", "object_id", "other"}, auditrelay.CauseRejectedOutput, "hmac: no such key"},
		{"a value that is no JSON", []string{"set_json", "n", "nope"}, auditrelay.CauseRejectedOutput, "set_json: "},
		{"a query that multiplies the event", []string{"query", "@tostr|@tostr"}, auditrelay.CauseProtocol, "query: modifiers"},
		{"a query that takes it several times", []string{"query", "[list,list]"}, auditrelay.CauseProtocol, "query: modifiers"},
		{"a metric that is not granted", []string{"count", "odd", "1"}, auditrelay.CauseRejectedOutput, "grants.metrics"},
		{"a record for another callback", []string{"emit", "archive", "{}"}, auditrelay.CauseRejectedOutput, "grants.emit"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r.t = t
			got := r.run([][]string{c.step})
			f, ok := errors.AsType[*filter.Error](got.err)
			if !ok || f.Cause != c.cause || !strings.Contains(got.err.Error(), c.want) {
				t.Errorf("got %v\nwant cause %s and %q", got.err, c.cause, c.want)
			}
		})
	}
}

// TestReceiptsAreToldWhatWasEdited: a path appears as the module wrote it, and a node without
// keys below the schema's fields.
func TestReceiptsAreToldWhatWasEdited(t *testing.T) {
	r := newRunner(t)
	for _, c := range []struct {
		name  string
		steps [][]string
		want  string
	}{
		{"nothing", [][]string{{"get", "n"}, {"mask", "missing"}, {"mask_all", "missing"}, {"truncate", "n", "1"}}, ""},
		{"by a path", [][]string{{"mask_all", "**.~passWord"}, {"mask_all", "**.~passWord"}, {"delete_all", "list.*"}}, "**.~passWord mask 4\nlist.* remove 2\n"},
		{"by nodes", [][]string{{"mask", "before_value.token"}, {"hmac", "object_id", "pseudonyms"}, {"delete", "updated_values.deep.api_key"}, {"set_string", "updated_values.password", "x"}, {"set_json", "n", "1"}},
			"before_value.** mask 1\nobject_id hmac 1\nupdated_values.** remove 1\nupdated_values.** set 1\n** set 1\n"},
		{"a new key", [][]string{{"put", "updated_values", "s3cr3t", "1"}}, "updated_values put 1\n"},
		{"the whole", [][]string{{"event_replace", "action", `{"a":1}`}}, "** replace 1\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r.t = t
			if got := r.run(c.steps); got.err != nil || got.touched != c.want {
				t.Errorf("got %v\n%s\nwant\n%s", got.err, got.touched, c.want)
			}
		})
	}
}

// TestLogLinesAreHeldBack: the host decides about each log line of a guest first.
func TestLogLinesAreHeldBack(t *testing.T) {
	r := newRunner(t)
	var log bytes.Buffer
	r.options.Logger = slog.New(slog.NewTextHandler(&log, nil))
	r.leaks = func(text []byte) bool { return bytes.Contains(text, []byte("s3cr3t")) }
	if got := r.run([][]string{{"log", "object_id", "a line"}, {"log", "object_id", "the s3cr3t"}}); got.err != nil {
		t.Fatal(got.err)
	}
	if text := log.String(); !strings.Contains(text, `text="a line"`) || strings.Contains(text, "s3cr3t") || !strings.Contains(text, "(withheld: must_not_leave)") {
		t.Errorf("logged: %s", text)
	}
}

func TestEmittedRecordsComeWithTheVerdict(t *testing.T) {
	got := newRunner(t).run([][]string{{"emit", "alerts", `{"a":1}`}, {"emit", "alerts", `{"a":2}`}})
	if got.err != nil || len(got.emitted) != 2 || got.emitted[1].Target != "alerts" || string(got.emitted[1].Data) != `{"a":2}` {
		t.Errorf("got %v, %v", got.emitted, got.err)
	}
}

// A guest's counts are added with its verdict, but not if the event fails.
func TestCountsComeWithTheVerdict(t *testing.T) {
	r := newRunner(t)
	got := r.run([][]string{{"count", "seen", "2"}, {"count", "seen", "3"}})
	if got.err != nil || got.said != "0 0" || !maps.Equal(got.counts, map[string]uint64{"seen": 5}) {
		t.Errorf("got %v, %q, %v", got.counts, got.said, got.err)
	}
	if got := r.run([][]string{{"count", "seen", "2"}, {"nothing of the kind"}}); got.err == nil || got.counts["seen"] != 0 {
		t.Errorf("the event failed: got %v, %v", got.counts, got.err)
	}
	r.options.Grants.Metrics = nil
	if _, err := wasm.Load(t.Context(), r.options); err == nil || !strings.Contains(err.Error(), "grants.metrics") {
		t.Errorf("not granted: got %v", err)
	}
}

// A guest names a key and gets its current version. The pseudonym names the version.
func TestPseudonymsNameTheKeysVersion(t *testing.T) {
	r := newRunner(t)
	r.options.Keys = map[string]auditrelay.Key{"pseudonyms": {Version: 3, Secret: "k"}}
	got := r.run([][]string{{"hmac", "object_id", "pseudonyms"}})
	if got.err != nil || !strings.Contains(got.doc, `"hmac:pseudonyms.3:56c18bd2ac6a5ef8c338f6203cadc0cf"`) {
		t.Errorf("%s, %v", got.doc, got.err)
	}
	if got := r.run([][]string{{"hmac", "object_id", "pseudonyms.3"}}); got.err == nil {
		t.Error("a guest may choose the version")
	}
}
