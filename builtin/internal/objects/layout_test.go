package objects_test

import (
	"strings"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/builtin/internal/httpsink"
	"auditrelay/builtin/internal/objects"
)

func layout() objects.Layout {
	return objects.Layout{Prefix: "p/", Compression: httpsink.CompressionNone,
		Batching: objects.Batching{MaxAge: 30 * 24 * time.Hour, MaxAhead: 24 * time.Hour, MaxBytes: 64 << 20}}
}

// chunk has a record for each time.
func chunk(received time.Time, times ...time.Time) auditrelay.Chunk {
	c := auditrelay.Chunk{Callback: "c", Journal: "j.1", From: 1, To: uint64(len(times)) + 1, MediaType: "application/json"}
	for i, at := range times {
		c.Records = append(c.Records, auditrelay.Record{Sequence: uint64(i) + 1, Time: at, Received: received, Namespace: "n", Data: []byte(`{"id":"a"}`)})
	}
	return c
}

// An object's name says its content, by the format, and stays what it was for JSON.
func TestNames(t *testing.T) {
	at := time.Date(2026, 3, 1, 10, 30, 0, 0, time.UTC)
	for _, tt := range []struct{ media, compression, ending, contentType string }{
		{"application/json", httpsink.CompressionNone, ".ndjson", "application/x-ndjson"},
		{"application/cloudevents+json", httpsink.CompressionGzip, ".ndjson.gz", "application/x-ndjson"},
		{auditrelay.MediaTypeText, httpsink.CompressionNone, ".log", auditrelay.MediaTypeText},
		{auditrelay.MediaTypeText, httpsink.CompressionGzip, ".log.gz", auditrelay.MediaTypeText},
	} {
		l, c := layout(), chunk(at, at, at)
		l.Compression, c.MediaType = tt.compression, tt.media
		payloads, err := l.Render(c)
		if err != nil || len(payloads) != 1 {
			t.Fatal(payloads, err)
		}
		first, second, err := l.Split(payloads[0])
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []auditrelay.Payload{payloads[0], first, second} {
			if !strings.HasPrefix(p.Key, "p/dt=2026-03-01/hour=10/j.1-00000000000") || !strings.HasSuffix(p.Key, tt.ending) || p.Headers["Content-Type"] != tt.contentType {
				t.Errorf("%s, %s: %s, %v", tt.media, tt.compression, p.Key, p.Headers)
			}
		}
		if first.Key == second.Key || first.Sequences[0] != 1 || second.Sequences[0] != 2 {
			t.Errorf("the halves: %s and %s", first.Key, second.Key)
		}
	}
}

// Records go by the hour of their own time, and by that of their receipt where it is too far
// off, missing, or in no calendar.
func TestHours(t *testing.T) {
	received := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name   string
		time   time.Time
		from   auditrelay.TimeSource
		folder string
		by     string
	}{
		{"its own", received.Add(-2 * time.Hour), auditrelay.TimeOfEvent, "dt=2026-03-01/hour=08/", objects.ByEvent},
		{"another zone", time.Date(2026, 3, 1, 1, 0, 0, 0, time.FixedZone("", -8*3600)), auditrelay.TimeOfEvent, "dt=2026-03-01/hour=09/", objects.ByEvent},
		{"without a zone", received.Add(-time.Hour), auditrelay.TimeNaive, "dt=2026-03-01/hour=09/", objects.ByEvent},
		{"too old", received.Add(-31 * 24 * time.Hour), auditrelay.TimeOfEvent, "dt=2026-03-01/hour=10/", objects.ByReceived},
		{"too far ahead", received.Add(25 * time.Hour), auditrelay.TimeOfEvent, "dt=2026-03-01/hour=10/", objects.ByReceived},
		{"missing", time.Time{}, auditrelay.TimeMissing, "dt=2026-03-01/hour=10/", objects.ByReceived},
		{"in no calendar", time.Date(12026, 3, 1, 0, 0, 0, 0, time.UTC), auditrelay.TimeOfEvent, "dt=2026-03-01/hour=10/", objects.ByReceived},
	} {
		c := chunk(received, tt.time)
		c.Records[0].TimeFrom = tt.from
		groups := layout().Batching.Groups(c.Records)
		if len(groups) != 1 || groups[0].Folder != tt.folder || groups[0].By != tt.by {
			t.Errorf("%s: %+v", tt.name, groups)
		}
	}
}

// An object is bounded in size; a larger record is alone, and none is left out.
func TestSizes(t *testing.T) {
	at := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	c := chunk(at, at, at, at, at, at)
	c.Records[2].Data = []byte(`{"id":"` + strings.Repeat("x", 100) + `"}`)
	b := layout().Batching
	b.MaxBytes = 25
	var sizes []int
	next := uint64(1)
	for _, g := range b.Groups(c.Records) {
		sizes = append(sizes, len(g.Records))
		for _, r := range g.Records {
			if r.Sequence != next {
				t.Errorf("record %d, want %d", r.Sequence, next)
			}
			next++
		}
	}
	if len(sizes) != 3 || sizes[0] != 2 || sizes[1] != 1 || sizes[2] != 2 {
		t.Errorf("%v", sizes)
	}
}

// No name that somebody chose starts a folder, and different names stay different.
func TestSegments(t *testing.T) {
	seen := map[string]string{}
	for _, name := range []string{"plain", "a/b", "a_b", "..", ".", "", "a\\b", "a:b", "tab\tbed", strings.Repeat("é", 60), strings.Repeat("é", 61)} {
		got := objects.Segment(name)
		if got == "" || got == "." || got == ".." || strings.ContainsAny(got, "/\\:\t") || len(got) > 96 {
			t.Errorf("%q is %q", name, got)
		}
		if other, taken := seen[got]; taken {
			t.Errorf("%q and %q are both %q", name, other, got)
		}
		seen[got] = name
	}
	if objects.Segment("plain") != "plain" {
		t.Error("a plain name changed")
	}
}

func TestPrefixes(t *testing.T) {
	for prefix, good := range map[string]bool{
		"": true, "a/b": true, "a/b/": true, "ü +=": true, "/a": false, "a//b": false, "a/../b": false, "./a": false, "a*": false, "a\nb": false,
		strings.Repeat("x", 256): true, strings.Repeat("x", 257): false,
	} {
		if err := objects.CheckPrefix(prefix); (err == nil) != good {
			t.Errorf("%q: %v", prefix, err)
		}
	}
	if objects.WithSlash("a/b") != "a/b/" || objects.WithSlash("a/") != "a/" || objects.WithSlash("") != "" {
		t.Error("the slash")
	}
}

// What stands beside the data is named by its number and content, and a replay's apart.
func TestBeside(t *testing.T) {
	l := layout()
	m, err := l.RenderManifest(auditrelay.Manifest{Callback: "c/d", Journal: "j.1", Number: 7, Replay: "r1"})
	if err != nil || !strings.HasPrefix(m.Key, "p/replay=r1/_manifests/c_d!") || !strings.Contains(m.Key, "/j.1/000000000007-") || m.Headers["Content-Type"] != "application/json" {
		t.Errorf("%s %v", m.Key, err)
	}
	p, err := l.RenderProof(auditrelay.Proof{Callback: "c", Journal: "j.1", Size: 9, Bundle: []byte("tar")})
	if err != nil || !strings.HasPrefix(p.Key, "p/_proofs/c/j.1/000000000009-") || !strings.HasSuffix(p.Key, ".tar") {
		t.Errorf("%s %v", p.Key, err)
	}
	if a, b := l.ProbePayload(), l.ProbePayload(); a.Key != "p/_auditrelay/probe" || a.Digest != b.Digest {
		t.Errorf("%+v", a)
	}
}
