package s3_test

import (
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"auditrelay"
	"auditrelay/builtin/s3"

	"github.com/google/go-cmp/cmp"
)

func at(t testing.TB, text string) time.Time {
	t.Helper()
	when, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return when.UTC()
}

// renderOne renders a chunk of one record.
func renderOne(t testing.TB, o s3.Options, r auditrelay.Record) auditrelay.Payload {
	t.Helper()
	if r.Data == nil {
		r.Data = []byte(`{"a":1}`)
	}
	if r.Sequence == 0 {
		r.Sequence = 7
	}
	payloads, err := newSink(t, o).Render(auditrelay.Chunk{
		Callback: "archive", Journal: "j1.1", From: r.Sequence, To: r.Sequence + 1, Records: []auditrelay.Record{r}})
	if err != nil || len(payloads) != 1 {
		t.Fatalf("Render: %d payloads, %v", len(payloads), err)
	}
	return payloads[0]
}

// The date in a key is the event's time in UTC. If the event has no usable time, it is the time of
// receipt, and the object says so. Other tests cover how updated_at is read; this one covers the
// result.
func TestTheDateInTheKeyIsTheEvents(t *testing.T) {
	received := "2026-03-15T12:00:00Z"
	for _, tc := range []struct {
		name     string
		time     string
		from     auditrelay.TimeSource
		received string
		batch    string
		by       string
		litellm  string
		litellmB string // origin of the date in the litellm key, if not as in batch
	}{
		{name: "last microsecond of a day", time: "2026-03-14T23:59:59.999999Z",
			batch: "dt=2026-03-14/hour=23/", by: "event", litellm: "audit_logs/2026-03-14/23-59-59_id.json"},
		{name: "+05:30 across midnight", time: "2026-03-15T01:15:00+05:30",
			batch: "dt=2026-03-14/hour=19/", by: "event", litellm: "audit_logs/2026-03-14/19-45-00_id.json"},
		{name: "-08:00 across midnight", time: "2026-03-14T20:00:00-08:00",
			batch: "dt=2026-03-15/hour=04/", by: "event", litellm: "audit_logs/2026-03-15/04-00-00_id.json"},
		{name: "naive, read as UTC", time: "2026-03-14T23:59:59Z", from: auditrelay.TimeNaive,
			batch: "dt=2026-03-14/hour=23/", by: "event", litellm: "audit_logs/2026-03-14/23-59-59_id.json"},
		{name: "empty", time: received, from: auditrelay.TimeMissing,
			batch: "dt=2026-03-15/hour=12/", by: "received", litellm: "audit_logs/2026-03-15/12-00-00_id.json"},
		{name: "unparsable", time: received, from: auditrelay.TimeUnreadable,
			batch: "dt=2026-03-15/hour=12/", by: "received", litellm: "audit_logs/2026-03-15/12-00-00_id.json"},
		{name: "received a day late", time: "2026-03-14T11:59:59Z",
			batch: "dt=2026-03-14/hour=11/", by: "event", litellm: "audit_logs/2026-03-14/11-59-59_id.json"},
		{name: "as old as may be", time: "2026-02-13T12:00:00Z",
			batch: "dt=2026-02-13/hour=12/", by: "event", litellm: "audit_logs/2026-02-13/12-00-00_id.json"},
		{name: "older", time: "2026-02-13T11:59:59Z",
			batch: "dt=2026-03-15/hour=12/", by: "received", litellm: "audit_logs/2026-02-13/11-59-59_id.json", litellmB: "event"},
		{name: "as far ahead as may be", time: "2026-03-16T12:00:00Z",
			batch: "dt=2026-03-16/hour=12/", by: "event", litellm: "audit_logs/2026-03-16/12-00-00_id.json"},
		{name: "further ahead", time: "2026-03-16T12:00:01Z",
			batch: "dt=2026-03-15/hour=12/", by: "received", litellm: "audit_logs/2026-03-16/12-00-01_id.json", litellmB: "event"},
		{name: "a thousand years off", time: "1026-03-14T00:00:00Z",
			batch: "dt=2026-03-15/hour=12/", by: "received", litellm: "audit_logs/1026-03-14/00-00-00_id.json", litellmB: "event"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			record := auditrelay.Record{ID: "id", Time: at(t, tc.time), TimeFrom: tc.from, Received: at(t, received)}
			batch := renderOne(t, s3.Options{Bucket: "bucket", Prefix: "p"}, record)
			if !strings.HasPrefix(batch.Key, "p/"+tc.batch+"j1.1-") {
				t.Errorf("batch key %s, want p/%s...", batch.Key, tc.batch)
			}
			if by := batch.Headers["X-Amz-Meta-Auditrelay-Partition"]; by != tc.by {
				t.Errorf("the batch object says that it goes by %q, want %q", by, tc.by)
			}
			one := renderOne(t, s3.Options{Bucket: "bucket", Prefix: "p", Layout: s3.LayoutLiteLLM}, record)
			if want := "p/" + tc.litellm; one.Key != want {
				t.Errorf("litellm key %s, want %s", one.Key, want)
			}
			day, file, _ := strings.Cut(strings.TrimPrefix(one.Key, "p/audit_logs/"), "/")
			hour := renderOne(t, s3.Options{Bucket: "bucket", Prefix: "p", Layout: s3.LayoutLiteLLM, Partition: s3.PartitionHour}, record)
			if want := "p/audit_logs/" + day + "/" + file[:2] + "/" + file; hour.Key != want {
				t.Errorf("litellm key by the hour %s, want %s", hour.Key, want)
			}
			want := tc.by
			if tc.litellmB != "" {
				want = tc.litellmB
			}
			if by := one.Headers["X-Amz-Meta-Auditrelay-Partition"]; by != want {
				t.Errorf("the litellm object says that it goes by %q, want %q", by, want)
			}
		})
	}
}

func TestAYearOutsideTheCalendarGoesByReceipt(t *testing.T) {
	received := at(t, "2026-03-15T12:00:00Z")
	for _, year := range []int{-5, 0, 10000, 200000} {
		r := auditrelay.Record{ID: "id", Time: time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC), Received: received}
		for _, layout := range []string{s3.LayoutBatch, s3.LayoutLiteLLM} {
			if key := renderOne(t, s3.Options{Bucket: "bucket", Layout: layout}, r).Key; !strings.Contains(key, "2026-03-15") {
				t.Errorf("year %d in layout %s gave %s", year, layout, key)
			}
		}
	}
}

func TestBatchKey(t *testing.T) {
	now := at(t, "2026-03-15T12:00:00Z")
	for _, tc := range []struct {
		compression, want string
	}{
		{"", `^p/q/dt=2026-03-15/hour=12/j1\.1-000000000007-000000000008-[0-9a-f]{12}\.ndjson\.gz$`},
		{s3.CompressionZstd, `^p/q/dt=2026-03-15/hour=12/j1\.1-000000000007-000000000008-[0-9a-f]{12}\.ndjson\.zst$`},
		{s3.CompressionNone, `^p/q/dt=2026-03-15/hour=12/j1\.1-000000000007-000000000008-[0-9a-f]{12}\.ndjson$`},
	} {
		p := renderOne(t, s3.Options{Bucket: "bucket", Prefix: "p/q/", Compression: tc.compression},
			auditrelay.Record{Time: now, Received: now})
		if !regexp.MustCompile(tc.want).MatchString(p.Key) || !strings.Contains(p.Key, "-"+p.Digest[:12]+".") {
			t.Errorf("key %s does not match %s with digest %s", p.Key, tc.want, p.Digest)
		}
	}
}

func TestAChunkAcrossAnHourGivesAnObjectForEach(t *testing.T) {
	received := at(t, "2026-03-15T12:00:00Z")
	chunk := auditrelay.Chunk{Callback: "c", Journal: "j", From: 1, To: 6}
	for i, text := range []string{"2026-03-15T11:59:58Z", "2026-03-15T12:00:00Z", "2026-03-15T11:59:59Z", "2020-01-01T00:00:00Z", "2026-03-15T12:00:01Z"} {
		chunk.Records = append(chunk.Records, auditrelay.Record{Sequence: uint64(i + 1), Time: at(t, text), Received: received, Data: []byte(`{}`)})
	}
	payloads, err := newSink(t, s3.Options{Bucket: "bucket"}).Render(chunk)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]uint64{}
	for _, p := range payloads {
		got[p.Key[:len("dt=2026-03-15/hour=11/")]+p.Headers["X-Amz-Meta-Auditrelay-Partition"]] = p.Sequences
	}
	want := map[string][]uint64{
		"dt=2026-03-15/hour=11/event":    {1, 3},
		"dt=2026-03-15/hour=12/event":    {2, 5},
		"dt=2026-03-15/hour=12/received": {4},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestLiteLLMNames(t *testing.T) {
	now := at(t, "2026-03-15T12:00:00Z")
	const folder = "audit_logs/2026-03-15/12-00-00_"
	name := func(r auditrelay.Record) string {
		t.Helper()
		r.Time, r.Received = now, now
		key := renderOne(t, s3.Options{Bucket: "bucket", Layout: s3.LayoutLiteLLM}, r).Key
		got, ok := strings.CutPrefix(key, folder)
		if !ok || strings.Contains(got, "/") {
			t.Errorf("the id %q chose its folder: %s", r.ID, key)
		}
		return got
	}
	for _, tc := range []struct{ id, want string }{
		{"6a1f0c9e-6f0e-4a55-9a36-2f4e8a0d3b11", `^6a1f0c9e-6f0e-4a55-9a36-2f4e8a0d3b11\.json$`},
		{"a=b+c d", `^a=b\+c d\.json$`},
		{"ключ-日本", `^ключ-日本\.json$`},
		{"a/b:c", `^a_b_c![0-9a-f]{16}\.json$`},
		{"../../x", `^\.\._\.\._x![0-9a-f]{16}\.json$`},
		{"a!b", `^a!b![0-9a-f]{16}\.json$`},
		{"a\nb", `^a_b![0-9a-f]{16}\.json$`},
		{strings.Repeat("é", 128), `^é{87}![0-9a-f]{16}\.json$`},
	} {
		got := name(auditrelay.Record{ID: tc.id})
		if !regexp.MustCompile(tc.want).MatchString(got) {
			t.Errorf("the id %q became %s, want %s", tc.id, got, tc.want)
		}
		if len(got) > 220 || !utf8.ValidString(got) {
			t.Errorf("the id %q became %d bytes, valid UTF-8: %v", tc.id, len(got), utf8.ValidString(got))
		}
	}
	if got := name(auditrelay.Record{Sequence: 12, Tombstone: true}); got != "tombstone!j1.1-12.json" {
		t.Errorf("a tombstone became %s", got)
	}
	if got := name(auditrelay.Record{Sequence: 12, ID: "jane@example.com", IDChanged: true}); got != "event!j1.1-12.json" {
		t.Errorf("an id that filters changed became %s", got)
	}

	// All these names must differ.
	long := strings.Repeat("x", 300)
	names := map[string]string{}
	for _, r := range []auditrelay.Record{
		{ID: "a_b"}, {ID: "a/b"}, {ID: "a:b"}, {ID: "a\\b"}, {ID: "a!b"}, {ID: "a_b!" + strings.Repeat("0", 16)},
		{ID: long + "1"}, {ID: long + "2"}, {ID: long[:192]},
		{ID: strings.TrimSuffix(name(auditrelay.Record{ID: "a/b"}), ".json")},
		{Sequence: 12, Tombstone: true}, {ID: "tombstone!j1.1-12"}, {Sequence: 13, Tombstone: true},
		{Sequence: 12, ID: "redacted", IDChanged: true}, {Sequence: 13, ID: "redacted", IDChanged: true}, {ID: "event!j1.1-12"},
		{ID: "a_b", Namespace: auditrelay.NamespaceEmitted}, {ID: "a_b", Namespace: auditrelay.NamespaceRelay},
	} {
		n := name(r)
		if other, taken := names[n]; taken {
			t.Errorf("%q and %q share the name %s", r.ID, other, n)
		}
		names[n] = r.ID
	}
}

func TestDispositionIsOneHeader(t *testing.T) {
	now := at(t, "2026-03-15T12:00:00Z")
	for id, want := range map[string]string{
		"6a1f":           `inline; filename="audit-6a1f.json"`,
		`a"b;c\d%20日本`:   `inline; filename="audit-a_b_c_d_20__!`,
		"a\r\nX-Evil: 1": `inline; filename="audit-a__X-Evil_ 1!`,
	} {
		got := renderOne(t, s3.Options{Bucket: "bucket", Layout: s3.LayoutLiteLLM}, auditrelay.Record{ID: id, Time: now, Received: now}).
			Headers["Content-Disposition"]
		if !strings.HasPrefix(got, want) || strings.ContainsAny(got, "\r\n") {
			t.Errorf("the id %q gave %q, want %q", id, got, want)
		}
	}
}

func TestReplaysAndManifestsHaveFoldersOfTheirOwn(t *testing.T) {
	now := at(t, "2026-03-15T12:00:00Z")
	for layout, want := range map[string]string{
		s3.LayoutBatch:   "p/replay=r1/dt=2026-03-15/hour=12/",
		s3.LayoutLiteLLM: "p/replay=r1/audit_logs/2026-03-15/",
	} {
		sink := newSink(t, s3.Options{Bucket: "bucket", Prefix: "p", Layout: layout})
		payloads, err := sink.Render(auditrelay.Chunk{Callback: "c", Journal: "j", Replay: "r1", From: 1, To: 2,
			Records: []auditrelay.Record{{Sequence: 1, ID: "id", Time: now, Received: now, Data: []byte(`{}`)}}})
		if err != nil || !strings.HasPrefix(payloads[0].Key, want) {
			t.Errorf("a replay's key is %s, %v; want %s...", payloads[0].Key, err, want)
		}
		for replay, want := range map[string]string{
			"":   `^p/_manifests/audit ship/j\.1/000000000042-[0-9a-f]{12}\.json$`,
			"r1": `^p/replay=r1/_manifests/audit ship/j\.1/000000000042-[0-9a-f]{12}\.json$`,
		} {
			m, err := sink.RenderManifest(auditrelay.Manifest{Callback: "audit ship", Journal: "j.1", Replay: replay, Number: 42})
			if err != nil || !regexp.MustCompile(want).MatchString(m.Key) {
				t.Errorf("a manifest's key is %s, %v; want %s", m.Key, err, want)
			}
		}
	}
}

func FuzzLiteLLMKey(f *testing.F) {
	for _, id := range []string{"a/b", "..", "a!b", "\x00", "日本", strings.Repeat("x", 500), "\xff"} {
		f.Add(id)
	}
	sink := newSink(f, s3.Options{Bucket: "bucket", Layout: s3.LayoutLiteLLM})
	now := at(f, "2026-03-15T12:00:00Z")
	f.Fuzz(func(t *testing.T, id string) {
		payloads, err := sink.Render(auditrelay.Chunk{Journal: "j", From: 1, To: 2,
			Records: []auditrelay.Record{{Sequence: 1, ID: id, Time: now, Received: now, Data: []byte(`{}`)}}})
		if err != nil {
			t.Fatal(err)
		}
		name, ok := strings.CutPrefix(payloads[0].Key, "audit_logs/2026-03-15/12-00-00_")
		if !ok || strings.ContainsAny(name, "/\\\x00\n") || len(name) > 220 || !utf8.ValidString(name) {
			t.Fatalf("%q became %q", id, payloads[0].Key)
		}
	})
}

// Lines of text are not JSON, and their objects' names and content type say so. Names of JSON
// objects stay unchanged, and names of LiteLLM's events keep LiteLLM's form.
func TestNamesOfLinesOfText(t *testing.T) {
	for compression, ending := range map[string]string{s3.CompressionGzip: ".gz", s3.CompressionZstd: ".zst", s3.CompressionNone: ""} {
		for media, want := range map[string]string{"application/json": ".ndjson", "application/cloudevents+json": ".ndjson", auditrelay.MediaTypeText: ".log"} {
			o := s3.Options{Bucket: "audit", Compression: compression}
			c := auditrelay.Chunk{Callback: "archive", Journal: "j1.1", From: 7, To: 9, MediaType: media, Records: []auditrelay.Record{{Sequence: 7, Data: []byte("a")}, {Sequence: 8, Data: []byte("b")}}}
			s := newSink(t, o)
			payloads, err := s.Render(c)
			if err != nil || len(payloads) != 1 {
				t.Fatal(payloads, err)
			}
			first, _, err := s.Split(payloads[0])
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range []auditrelay.Payload{payloads[0], first} {
				if !strings.HasSuffix(p.Key, want+ending) || strings.HasPrefix(p.Headers["Content-Type"], "text/") != (want == ".log") {
					t.Errorf("%s, %s: %s, %s", media, compression, p.Key, p.Headers["Content-Type"])
				}
			}
			o.Layout, o.Compression = s3.LayoutLiteLLM, ""
			if payloads, err = newSink(t, o).Render(c); err != nil || !strings.HasSuffix(payloads[0].Key, ".json") {
				t.Errorf("layout litellm: %s, %v", payloads[0].Key, err)
			}
		}
	}
}
