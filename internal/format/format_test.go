package format_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/internal/format"
	"auditrelay/internal/gate"
	"auditrelay/internal/test/corpus"
)

var update = flag.Bool("update", false, "write the goldens")

const journal = "0123456789abcdef.fedcba9876543210"

var (
	ocsf        = auditrelay.Format{OCSF: &auditrelay.OCSF{}}
	ecs         = auditrelay.Format{ECS: &auditrelay.ECS{}}
	cloudEvents = auditrelay.Format{CloudEvents: &auditrelay.CloudEvents{}}
	cef         = auditrelay.Format{CEF: &auditrelay.CEF{}}
	leef        = auditrelay.Format{LEEF: &auditrelay.LEEF{}}
	enveloped   = auditrelay.Format{Envelope: &auditrelay.Envelope{}}
	received    = time.Date(2026, 3, 1, 10, 0, 1, 0, time.UTC)
)

// event returns data as an event of the journal.
func event(namespace, data string) *auditrelay.Event {
	e := &auditrelay.Event{Namespace: namespace, Sequence: 7, Received: received, Time: received, TimeFrom: auditrelay.TimeMissing, Data: []byte(data)}
	var read struct {
		UpdatedAt any `json:"updated_at"`
	}
	_ = json.Unmarshal(e.Data, &read)
	if text, ok := read.UpdatedAt.(string); ok {
		if at, _, ok := document.ParseTime([]byte(text)); ok {
			e.Time, e.TimeFrom = at, auditrelay.TimeOfEvent
		}
	}
	return e
}

func write(o auditrelay.Format, e *auditrelay.Event) []byte {
	return format.New(o, journal).Writer().Append(nil, e, e.Data)
}

// schemas returns the schemas of the classes by class_uid.
func schemas(t testing.TB) map[string]*jsonschema.Schema {
	t.Helper()
	all := map[string]*jsonschema.Schema{}
	for uid, name := range map[string]string{"0": "base_event", "3001": "account_change", "3004": "entity_management"} {
		s, err := jsonschema.NewCompiler().Compile(filepath.Join("testdata", "schema", name+".schema.json"))
		if err != nil {
			t.Fatal(err)
		}
		all[uid] = s
	}
	return all
}

// valid checks a record against the schema of the class that it names.
func valid(t testing.TB, schemas map[string]*jsonschema.Schema, record []byte) {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(record))
	if err != nil {
		t.Fatalf("no JSON: %v\n%s", err, record)
	}
	members, _ := v.(map[string]any)
	s := schemas[fmt.Sprint(members["class_uid"])]
	if s == nil {
		t.Fatalf("class %v, which has no schema here\n%s", members["class_uid"], record)
	}
	if err := s.Validate(v); err != nil {
		t.Fatalf("%v\n%s", err, record)
	}
}

func indented(t *testing.T, record []byte) []byte {
	t.Helper()
	if bytes.ContainsAny(record, "\n\r") {
		t.Errorf("it has a line break: %q", record)
	}
	var b bytes.Buffer
	if err := json.Indent(&b, record, "", "  "); err != nil {
		t.Fatalf("no JSON: %v\n%s", err, record)
	}
	return append(b.Bytes(), '\n')
}

// revisionsOfGoldens are the digests of all goldens for the current mappings of OCSF and
// CloudEvents, of ECS, and of CEF and LEEF.
var revisionsOfGoldens = [3]string{"2 b76e345eaee8b8c0", "2 e3702a503142d558", "2 edd78f4034e6e59c"}

// TestGoldens writes each event of testdata/cases in each format. After a change of the mapping,
// run it with -update and increase mapping in format.go.
func TestGoldens(t *testing.T) {
	all := schemas(t)
	files, err := filepath.Glob("testdata/cases/*.txtar")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d cases, %v", len(files), err)
	}
	sum, ecsSum, lineSum := sha256.New(), sha256.New(), sha256.New()
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			namespace, mapping, mapped := strings.Cut(strings.TrimSpace(strings.TrimPrefix(string(a.Comment), "namespace:")), "\nmapping:")
			e := event(namespace, strings.TrimSpace(string(a.Files[0].Data)))
			if mapped {
				e.Mapping = new(auditrelay.Mapping)
				if err := json.Unmarshal([]byte(mapping), e.Mapping); err != nil {
					t.Fatal(err)
				}
			}
			record := write(ocsf, e)
			valid(t, all, record)
			raw := write(auditrelay.Format{OCSF: &auditrelay.OCSF{Original: auditrelay.OriginalRawData}}, e)
			valid(t, all, raw)
			none := write(auditrelay.Format{OCSF: &auditrelay.OCSF{Original: auditrelay.OriginalNone}}, e)
			valid(t, all, none)
			checkOriginals(t, e, record, raw, none)
			got := []txtar.File{a.Files[0], {Name: "ocsf", Data: indented(t, record)}, {Name: "cloudevents", Data: indented(t, write(cloudEvents, e))}, {Name: "ecs", Data: indented(t, write(ecs, e))},
				{Name: "cef", Data: append(write(cef, e), '\n')}, {Name: "leef", Data: append(write(leef, e), '\n')}}
			checkLine(t, cef, e)
			checkLine(t, leef, e)
			sum.Write(got[1].Data)
			sum.Write(got[2].Data)
			ecsSum.Write(got[3].Data)
			lineSum.Write(got[4].Data)
			lineSum.Write(got[5].Data)
			if *update {
				a.Files = got
				if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(txtar.Format(&txtar.Archive{Comment: a.Comment, Files: got})), string(txtar.Format(a))); diff != "" {
				t.Errorf("-got +want\n%s", diff)
			}
		})
	}
	got := [3]string{
		format.Revision(ocsf)[len("ocsf 1.8.0, mapping "):] + " " + hex.EncodeToString(sum.Sum(nil))[:16],
		format.Revision(ecs)[len("ecs 9.5.0, mapping "):] + " " + hex.EncodeToString(ecsSum.Sum(nil))[:16],
		format.Revision(cef)[len("cef 0, mapping "):] + " " + hex.EncodeToString(lineSum.Sum(nil))[:16],
	}
	if got != revisionsOfGoldens {
		t.Errorf("the records changed: count up mapping in format.go, so that running callbacks notice it, and put %q here", got)
	}
}

// TestMappedFields: in each format, another producer's event has its fields in the same places as
// LiteLLM's event. They are read from the filtered document. LiteLLM's events in another namespace
// are still LiteLLM's.
func TestMappedFields(t *testing.T) {
	e := event("clusters", `{"auditID":"a-1","verb":"delete","user":{"username":"jane@example.com"},"objectRef":{"resource":"secrets","name":"db"}}`)
	e.Mapping = &auditrelay.Mapping{Schema: "kubernetes", ID: "{auditID}/x", Action: "verb", Actor: "user.username", Object: "objectRef.name", ObjectType: "objectRef.resource"}
	masked := []byte(`{"auditID":"a-1","verb":"delete","user":{"username":"***"},"objectRef":{"resource":"secrets","name":"db"}}`)
	for o, want := range map[*auditrelay.Format][]string{
		&ocsf:        {`"product":{"name":"kubernetes"}`, `"original_event_uid":"a-1/x"`, `"activity_name":"delete"`, `"user":{"uid":"***"}`, `"entity":{"type_id":99,"type":"secrets","uid":"db"}`},
		&ecs:         {`"action":"delete"`, `"id":"a-1/x"`, `"dataset":"kubernetes.audit"`, `"user":{"id":"***"}`, `"auditrelay":{"namespace":"clusters","object":{"id":"db","type":"secrets"},"event":{`},
		&cloudEvents: {`"type":"auditrelay.producer.kubernetes.other"`, `"subject":"db"`, `"action":"delete","actor":"***","objecttype":"secrets","producerid":"a-1/x","namespace":"clusters"`},
		&cef:         {" act=delete externalId=a-1/x suid=*** duid=db cs1=secrets", " cs4=clusters cs4Label=namespace"},
		&leef:        {"\taction=delete\texternalId=a-1/x\tusrName=***\tresource=db\ttableName=secrets", "\tnamespace=clusters"},
		&enveloped:   {`"namespace":"clusters"`, `"fields":{"schema":"kubernetes","id":"a-1/x","action":"delete","actor":"***","object":"db","object_type":"secrets"}`},
	} {
		got := string(format.New(*o, journal).Writer().Append(nil, e, masked))
		for _, part := range want {
			if !strings.Contains(got, part) {
				t.Errorf("%s: no %s in\n%s", o.Name(), part, got)
			}
		}
		if strings.Contains(got, "jane@example.com") {
			t.Errorf("%s: what a filter masked is in\n%s", o.Name(), got)
		}
	}
	own := event("team-a", `{"id":"i","action":"updated","table_name":"LiteLLM_TeamTable","object_id":"t"}`)
	for o, want := range map[*auditrelay.Format]string{&ocsf: `"name":"LiteLLM"`, &ecs: `"dataset":"lite_llm.audit"`, &cloudEvents: "ai.litellm.audit.updated"} {
		if got := string(write(*o, own)); !strings.Contains(got, want) {
			t.Errorf("%s: no %s in %s", o.Name(), want, got)
		}
	}
}

// checkOriginals checks each choice of original.
func checkOriginals(t *testing.T, e *auditrelay.Event, unmapped, raw, none []byte) {
	t.Helper()
	var u struct {
		Unmapped json.RawMessage `json:"unmapped"`
		RawData  *string         `json:"raw_data"`
	}
	decode := func(record []byte) {
		u.Unmapped, u.RawData = nil, nil
		if err := json.Unmarshal(record, &u); err != nil {
			t.Fatal(err)
		}
	}
	decode(unmapped)
	if !bytes.Equal(u.Unmapped, e.Data) || u.RawData != nil {
		t.Errorf("unmapped: %s", unmapped)
	}
	decode(raw)
	if u.Unmapped != nil || u.RawData == nil || *u.RawData != string(e.Data) {
		t.Errorf("raw_data: %s", raw)
	}
	decode(none)
	if u.Unmapped != nil || u.RawData != nil {
		t.Errorf("none: %s", none)
	}
}

func TestTombstones(t *testing.T) {
	data := `{"auditrelay_tombstone":true,"sequence":7,"received":"2026-03-01T10:00:01Z","action":"deleted","outcome":"dead_lettered","cause":"trap","id_hmac_sha256":"9f86d081884c7d659a2feaa0c55ad015"}`
	r := auditrelay.Record{Sequence: 7, Received: received, Tombstone: true, Data: []byte(data)}
	if got := (*format.Formatter)(nil).Tombstone(r); string(got.Data) != data {
		t.Errorf("without a format: %s", got.Data)
	}
	all := schemas(t)
	for _, original := range []auditrelay.Original{auditrelay.OriginalUnmapped, auditrelay.OriginalRawData, auditrelay.OriginalNone} {
		got := format.New(auditrelay.Format{OCSF: &auditrelay.OCSF{Original: original}}, journal).Tombstone(r)
		valid(t, all, got.Data)
		if !bytes.Contains(got.Data, []byte(`"unmapped":`+data)) {
			t.Errorf("original %v: the tombstone is not in it: %s", original, got.Data)
		}
	}
	got := format.New(cloudEvents, journal).Tombstone(r)
	want := `{"specversion":"1.0","id":"` + journal + `-7","source":"auditrelay","type":"auditrelay.tombstone","time":"2026-03-01T10:00:01Z","recordedtime":"2026-03-01T10:00:01Z","datacontenttype":"application/json","data":` + data + `}`
	if string(got.Data) != want {
		t.Errorf("got %s\nwant %s", got.Data, want)
	}
	got = format.New(ecs, journal).Tombstone(r)
	want = `{"@timestamp":"2026-03-01T10:00:01Z","ecs":{"version":"9.5.0"},"event":{"kind":"event","type":["info"],"action":"tombstone","provider":"auditrelay","dataset":"auditrelay.tombstone","created":"2026-03-01T10:00:01Z","sequence":7},"labels":{"auditrelay_uid":"` + journal + `-7"},"auditrelay":{"tombstone":` + data + `}}`
	if string(got.Data) != want {
		t.Errorf("got %s\nwant %s", got.Data, want)
	}
}

// TestADeterministicRecord: a writer's output does not depend on the events before.
func TestADeterministicRecord(t *testing.T) {
	for _, o := range []auditrelay.Format{ocsf, ecs, cloudEvents, cef, leef, enveloped} {
		w := format.New(o, journal).Writer()
		for n := range uint64(50) {
			e := event(auditrelay.NamespaceLiteLLM, string(corpus.AppendReference(nil, n)))
			if got := w.Append(nil, e, e.Data); !bytes.Equal(got, write(o, e)) {
				t.Fatalf("%s: %s", o.Name(), got)
			}
		}
	}
}

// TestTheGateTakesWhatAFormatAdds: no detector finds anything in the data, including names, that
// the relay adds to a clean event.
func TestTheGateTakesWhatAFormatAdds(t *testing.T) {
	g, err := gate.New(gate.Options{Detectors: []string{"secrets", "pii"}})
	if err != nil {
		t.Fatal(err)
	}
	i := g.Inspector()
	tombstone := auditrelay.Record{Sequence: 1, Received: received, Tombstone: true, Data: []byte(`{"auditrelay_tombstone":true}`)}
	for n := range uint64(3000) {
		e := event(auditrelay.NamespaceLiteLLM, `{"id":"3f1f6c1e-0001","updated_at":"2026-03-01T10:00:00+00:00","changed_by":"user-1","changed_by_api_key":"88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b","action":"rotated","table_name":"LiteLLM_VerificationToken","object_id":"5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5"}`)
		if err := i.Document(e.Data); err != nil {
			t.Fatalf("the event itself: %v", err)
		}
		e.Sequence = 1 + n*n*n
		e.Time = received.Add(time.Duration(n*n) * 7919 * time.Millisecond)
		e.Received = e.Time.Add(time.Duration(n) * time.Millisecond)
		for _, o := range []auditrelay.Format{ocsf, {OCSF: &auditrelay.OCSF{Original: auditrelay.OriginalRawData}}, ecs, cloudEvents, enveloped} {
			f := format.New(o, journal)
			if record := f.Writer().Append(nil, e, e.Data); i.Document(record) != nil {
				t.Fatalf("%s, event %d: %v\n%s", o.Name(), n, i.Document(record), record)
			}
			tombstone.Received, tombstone.Sequence = e.Received, e.Sequence
			if r := f.Tombstone(tombstone); i.Document(r.Data) != nil {
				t.Fatalf("%s: %v\n%s", o.Name(), i.Document(r.Data), r.Data)
			}
		}
	}
}

// FuzzAnyEvent: every document that is accepted, or returned by a filter, gives a valid record.
func FuzzAnyEvent(f *testing.F) {
	files, err := filepath.Glob("testdata/cases/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(bytes.TrimSpace(a.Files[0].Data), int64(1_772_359_200_000))
	}
	f.Add([]byte(`{"object_id":"a\u0000b","table_name":"\u00e9","action":"","changed_by_user_email":"a@b.c"}`), int64(-62_135_596_800_000))
	f.Add([]byte(`{"object_id":"\ufdd0","table_name":"x","action":"created","id":1e999}`), int64(253_402_300_799_999))
	all := schemas(f)
	f.Fuzz(func(t *testing.T, data []byte, at int64) {
		if bytes.ContainsAny(data, "\n\r") || document.Check(data, document.Limits{}) != nil {
			t.Skip()
		}
		e := &auditrelay.Event{Namespace: auditrelay.NamespaceLiteLLM, Sequence: 1, Received: received, Time: time.UnixMilli(at).UTC(), Data: data}
		if y := e.Time.Year(); y < 1 || y > 9999 {
			t.Skip()
		}
		record := write(ocsf, e)
		valid(t, all, record)
		if !bytes.HasSuffix(record, append(append([]byte(`,"unmapped":`), data...), '}')) {
			t.Errorf("the event is not in it: %s", record)
		}
		valid(t, all, write(auditrelay.Format{OCSF: &auditrelay.OCSF{Original: auditrelay.OriginalRawData}}, e))
		checkCloudEvent(t, write(cloudEvents, e))
		checkECS(t, write(ecs, e), data)
		checkLine(t, cef, e)
		checkLine(t, leef, e)
	})
}

// checkECS checks that a document contains only fields of ECS 9.5, with their types and the
// permitted values of event.kind, event.category and event.type, and that it contains the event.
func checkECS(t *testing.T, record, data []byte) {
	t.Helper()
	var c struct {
		Timestamp time.Time `json:"@timestamp"`
		ECS       struct {
			Version string `json:"version"`
		} `json:"ecs"`
		Event struct {
			Kind     string    `json:"kind"`
			Category []string  `json:"category"`
			Type     []string  `json:"type"`
			Action   *string   `json:"action"`
			ID       *string   `json:"id"`
			Provider string    `json:"provider"`
			Dataset  string    `json:"dataset"`
			Created  time.Time `json:"created"`
			Sequence int64     `json:"sequence"`
		} `json:"event"`
		Labels map[string]string `json:"labels"`
		User   *struct {
			ID     *string `json:"id"`
			Email  *string `json:"email"`
			Target *struct {
				ID   string  `json:"id"`
				Name *string `json:"name"`
			} `json:"target"`
		} `json:"user"`
		Related *struct {
			User []string `json:"user"`
		} `json:"related"`
		LiteLLM struct {
			Audit json.RawMessage `json:"audit"`
		} `json:"lite_llm"`
	}
	d := json.NewDecoder(bytes.NewReader(record))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		t.Fatalf("%v\n%s", err, record)
	}
	for _, is := range c.Event.Category {
		if is != "configuration" {
			t.Errorf("category %s: %s", is, record)
		}
	}
	for _, is := range c.Event.Type {
		if !slices.Contains([]string{"change", "creation", "deletion", "info"}, is) {
			t.Errorf("type %s: %s", is, record)
		}
	}
	if c.ECS.Version != "9.5.0" || c.Event.Kind != "event" || len(c.Event.Type) == 0 || c.Timestamp.IsZero() && c.Event.Created.IsZero() ||
		(c.User == nil) != (c.Related == nil) || !sameOpened(t, c.LiteLLM.Audit, data) || c.Labels["auditrelay_uid"] == "" {
		t.Errorf("%s", record)
	}
}

// sameOpened reports whether got equals data after its before_value and updated_values were changed
// from text to objects.
func sameOpened(t *testing.T, got, data []byte) bool {
	t.Helper()
	var a, b map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(got, &a), json.Unmarshal(data, &b)); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"before_value", "updated_values"} {
		var text string
		if bytes.HasPrefix(a[key], []byte("{")) && json.Unmarshal(b[key], &text) == nil {
			b[key] = json.RawMessage(strings.NewReplacer("\n", " ", "\r", " ").Replace(text))
		}
	}
	return maps.EqualFunc(a, b, func(x, y json.RawMessage) bool { return string(x) == strings.TrimSpace(string(y)) })
}

// checkCloudEvent checks the required attributes of CloudEvents 1.0 and their form.
func checkCloudEvent(t *testing.T, record []byte) {
	t.Helper()
	var c struct {
		SpecVersion string          `json:"specversion"`
		ID          string          `json:"id"`
		Source      string          `json:"source"`
		Type        string          `json:"type"`
		Time        time.Time       `json:"time"`
		Recorded    time.Time       `json:"recordedtime"`
		Content     string          `json:"datacontenttype"`
		Subject     *string         `json:"subject"`
		Data        json.RawMessage `json:"data"`
	}
	d := json.NewDecoder(bytes.NewReader(record))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		t.Fatalf("%v\n%s", err, record)
	}
	if c.SpecVersion != "1.0" || c.ID == "" || c.Source == "" || c.Type == "" || c.Content != "application/json" || c.Data == nil || c.Subject != nil && *c.Subject == "" {
		t.Errorf("%s", record)
	}
}

func BenchmarkOCSF(b *testing.B)        { benchmark(b, ocsf) }
func BenchmarkECS(b *testing.B)         { benchmark(b, ecs) }
func BenchmarkCloudEvents(b *testing.B) { benchmark(b, cloudEvents) }
func BenchmarkCEF(b *testing.B)         { benchmark(b, cef) }
func BenchmarkLEEF(b *testing.B)        { benchmark(b, leef) }
func BenchmarkOCSFRawData(b *testing.B) {
	benchmark(b, auditrelay.Format{OCSF: &auditrelay.OCSF{Original: auditrelay.OriginalRawData}})
}

func benchmark(b *testing.B, o auditrelay.Format) {
	e := event(auditrelay.NamespaceLiteLLM, string(corpus.AppendReferenceText(nil, 1)))
	w := format.New(o, journal).Writer()
	var record []byte
	b.ReportAllocs()
	b.SetBytes(int64(len(e.Data)))
	for b.Loop() {
		record = w.Append(record[:0], e, e.Data)
	}
}
