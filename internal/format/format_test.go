package format_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
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
	cloudEvents = auditrelay.Format{CloudEvents: &auditrelay.CloudEvents{}}
	received    = time.Date(2026, 3, 1, 10, 0, 1, 0, time.UTC)
)

// event is data as the journal has it.
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

// schemas are those of the classes, by class_uid.
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

// valid holds a record to the schema of the class that it names.
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

// revisionOfGoldens is the digest of all goldens at the present mapping.
const revisionOfGoldens = "1 17c89fed70fb6fac"

// TestGoldens writes each event of testdata/cases in each format. Run it with -update
// after a change of the mapping, and count up mapping in format.go.
func TestGoldens(t *testing.T) {
	all := schemas(t)
	files, err := filepath.Glob("testdata/cases/*.txtar")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d cases, %v", len(files), err)
	}
	sum := sha256.New()
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			namespace := strings.TrimSpace(strings.TrimPrefix(string(a.Comment), "namespace:"))
			e := event(namespace, strings.TrimSpace(string(a.Files[0].Data)))
			record := write(ocsf, e)
			valid(t, all, record)
			raw := write(auditrelay.Format{OCSF: &auditrelay.OCSF{Original: auditrelay.OriginalRawData}}, e)
			valid(t, all, raw)
			none := write(auditrelay.Format{OCSF: &auditrelay.OCSF{Original: auditrelay.OriginalNone}}, e)
			valid(t, all, none)
			checkOriginals(t, e, record, raw, none)
			got := []txtar.File{a.Files[0], {Name: "ocsf", Data: indented(t, record)}, {Name: "cloudevents", Data: indented(t, write(cloudEvents, e))}}
			sum.Write(got[1].Data)
			sum.Write(got[2].Data)
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
	if got := format.Revision(ocsf)[len("ocsf 1.8.0, mapping "):] + " " + hex.EncodeToString(sum.Sum(nil))[:16]; got != revisionOfGoldens {
		t.Errorf("the records changed: count up mapping in format.go, so that running callbacks notice it, and put %q here", got)
	}
}

// checkOriginals holds the choice of original to its words.
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
}

// TestADeterministicRecord: a writer that has written other events writes the same.
func TestADeterministicRecord(t *testing.T) {
	for _, o := range []auditrelay.Format{ocsf, cloudEvents} {
		w := format.New(o, journal).Writer()
		for n := range uint64(50) {
			e := event(auditrelay.NamespaceLiteLLM, string(corpus.AppendReference(nil, n)))
			if got := w.Append(nil, e, e.Data); !bytes.Equal(got, write(o, e)) {
				t.Fatalf("%s: %s", o.Name(), got)
			}
		}
	}
}

// TestTheGateTakesWhatAFormatAdds: what the relay adds to a clean event, the names
// included, is no finding of any detector.
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
		for _, o := range []auditrelay.Format{ocsf, {OCSF: &auditrelay.OCSF{Original: auditrelay.OriginalRawData}}, cloudEvents} {
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

// FuzzAnyEvent: whatever is accepted, or left by a filter, gives a valid record.
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
	})
}

// checkCloudEvent holds a record to CloudEvents 1.0's required attributes and their form.
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
func BenchmarkCloudEvents(b *testing.B) { benchmark(b, cloudEvents) }
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
