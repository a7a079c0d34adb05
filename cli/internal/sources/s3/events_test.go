package s3

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"auditrelay"
	"auditrelay/filter"
	"auditrelay/internal/ingest"
	"auditrelay/runtime"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// TestWhatIsNoEventGoesWholeIntoQuarantine: the sender cannot see a 4xx here.
func TestWhatIsNoEventGoesWholeIntoQuarantine(t *testing.T) {
	large := `{"id":"l","action":"created","x":"` + strings.Repeat("x", 2048) + `"}`
	for _, tt := range []struct {
		name, key, body string
		ids, kept       []string
	}{
		{"one event", testKey, event("a"), []string{"a"}, nil},
		{"pretty", testKey, "{\n \"id\":\"a\",\n \"action\":\"created\"\n}\n", []string{"a"}, nil},
		{"lines", testKey, event("a") + "\n" + event("b"), []string{"a", "b"}, nil},
		{"an array", testKey, "[" + event("a") + ",\n" + event("b") + "]", []string{"a", "b"}, nil},
		{"an empty array", testKey, "[]", nil, nil},
		{"an odd one", testKey, `{"id":"a","action":7}`, nil, []string{`wrong_type: {"id":"a","action":7}`}},
		{"a request log", testKey, `{"id":"chat","model":"gpt"}`, nil, []string{`missing: {"id":"chat","model":"gpt"}`}},
		{"no JSON", testKey, "hello\n", nil, []string{"not_object: hello"}},
		{"cut short", testKey, `{"id":"a","action":"cre`, nil, []string{`syntax: {"id":"a","action":"cre`}},
		{"not UTF-8", testKey, "{\"id\":\"a\",\"action\":\"\xff\"}", nil, []string{"utf8: {\"id\":\"a\",\"action\":\"\xff\"}"}},
		{"nothing", testKey, "", nil, []string{"no_events: "}},
		{"among lines", testKey, event("a") + "\n\n{\"id\": \n" + event("b") + "\n", []string{"a", "b"}, []string{`syntax: {"id":`}},
		{"two conflicts", testKey, event("a") + "\n" + strings.Replace(event("a"), "created", "deleted", 1), []string{"a"},
			[]string{"conflict: " + strings.Replace(event("a"), "created", "deleted", 1)}},
		{"too large among lines", testKey, event("a") + "\n" + large + "\r\n" + event("b"), []string{"a", "b"}, []string{"too_large: " + large}},
		{"too large twice", testKey, large + "\n" + large + "1\n" + event("b"), []string{"b"}, []string{"too_large: " + large, "too_large: " + large + "1"}},
		{"too large in an array", testKey, "[" + event("a") + "," + large + ", " + event("b") + "]", []string{"a", "b"}, []string{"too_large: " + large}},
		{"too large over lines", testKey, "{\n" + large[1:], nil, []string{"too_large: {\n" + large[1:]}},
		{"an array's brackets", testKey, "[" + event("a") + `,{"id":"b"],` + event("c") + "]", []string{"a"}, []string{`frame: {"id":"b"],` + event("c") + "]"}},
		{"an array cut short", testKey, "[" + event("a") + `,{"id":"b`, []string{"a"}, []string{`truncated: {"id":"b`}},
		{"a damaged first line of a batch", batchKey, "{\"id\":\"a\",\"act\n" + event("b"), []string{"b"}, []string{`syntax: {"id":"a","act`}},
		{"an own record of the relay's", testKey, `{"id":"a","action":"deleted","table_name":"auditrelay_callback"}`, nil, []string{`reserved: {"id":"a","action":"deleted","table_name":"auditrelay_callback"}`}},
		{"an own record among lines", testKey, event("a") + "\n" + `{"id":"b","action":"deleted","table_name":" AuditRelay_\u0063allback"}`, []string{"a"}, []string{`reserved: {"id":"b","action":"deleted","table_name":" AuditRelay_\u0063allback"}`}},
		{"a mark in front", testKey, "\ufeff" + event("a"), []string{"a"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			limits := ingest.Limits{EventBytes: 1024}
			r := newRelay(t, Options{Limits: limits}, runtime.Options{Limits: runtime.Limits{EventBytes: 1024}})
			for range 2 { // a retry changes nothing
				if _, err := r.put(t.Context(), tt.key, tt.body); err != nil {
					t.Fatal(err)
				}
			}
			ids := []string{}
			for i, data := range r.stored() {
				e, err := ingest.Check([]byte(data), ingest.Limits{})
				if err != nil {
					t.Fatalf("%d: %v", i, err)
				}
				ids = append(ids, e.ID)
			}
			if got := r.quarantined(); !slices.Equal(ids, tt.ids) || !slices.Equal(got, tt.kept) {
				t.Errorf("stored %q, in quarantine %q", ids, got)
			}
		})
	}
}

func TestContentEncodings(t *testing.T) {
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	_, _ = w.Write([]byte(event("a") + "\n" + event("b")))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var bomb bytes.Buffer
	w = gzip.NewWriter(&bomb)
	_, _ = w.Write(bytes.Repeat([]byte("\n"), 1<<20))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		encoding, body string
		events         int
		kept           string
	}{
		{"gzip", z.String(), 2, ""},
		{"identity", event("a"), 1, ""},
		{"gzip", event("a"), 0, "compression: " + event("a")},
		{"gzip", z.String()[:z.Len()-9], 0, "compression: " + z.String()[:z.Len()-9]},
		{"gzip", bomb.String(), 0, "body_too_large: " + bomb.String()},
		{"br", event("a"), 0, "media_type: " + event("a")},
	} {
		r := newRelay(t, Options{Limits: ingest.Limits{BodyBytes: 64 << 10}}, runtime.Options{})
		_, err := r.client().PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(testBucket), Key: aws.String(testKey),
			Body: strings.NewReader(tt.body), ContentEncoding: aws.String(tt.encoding)})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(r.quarantined(), "\n"); len(r.stored()) != tt.events || got != tt.kept {
			t.Errorf("%s %.20q: stored %d, in quarantine %q", tt.encoding, tt.body, len(r.stored()), got)
		}
	}
}

// TestManyRefusedEventsOfOneObject: with over a hundred invalid events, the whole object goes
// into quarantine as one item, so that it cannot fill the quarantine item by item.
func TestManyRefusedEventsOfOneObject(t *testing.T) {
	r := newRelay(t, Options{}, runtime.Options{})
	var b strings.Builder
	for range 3000 {
		b.WriteString(`{"id":"x` + strings.Repeat("y", b.Len()%7) + `"}` + "\n")
	}
	body := b.String() + event("a")
	if _, err := r.put(t.Context(), testKey, body); err != nil {
		t.Fatal(err)
	}
	list, err := r.rt.QuarantineItems(t.Context(), runtime.QuarantineQuery{})
	if err != nil {
		t.Fatal(err)
	}
	whole := slices.ContainsFunc(list, func(it runtime.QuarantineItem) bool { return it.Bytes == int64(len(body)) })
	if len(r.stored()) != 1 || len(list) > maxItems+1 || !whole {
		t.Errorf("stored %d, in quarantine %d, the whole object: %v", len(r.stored()), len(list), whole)
	}
}

// TestTheSameEventByTwoWaysIsOne: an event received by two ways is stored once.
func TestTheSameEventByTwoWaysIsOne(t *testing.T) {
	r := newRelay(t, Options{}, runtime.Options{})
	if _, err := r.put(t.Context(), testKey, event("a")); err != nil {
		t.Fatal(err)
	}
	// As read from the table: with objects as values and another format of the time.
	other := strings.NewReplacer(`"{}"`, `{}`, "12:00:00+00:00", "12:00:00.000Z", `"before_value":null,`, "").Replace(event("a"))
	results, err := r.rt.Submit(t.Context(), runtime.Submission{Data: []byte(other), Provenance: auditrelay.Provenance{Source: "http"}})
	if err != nil || !results[0].Duplicate {
		t.Errorf("%+v, %v", results, err)
	}
}

// TestWhenNothingCanBeTakenItIsSlowDown: and nothing is stored partly.
func TestWhenNothingCanBeTakenItIsSlowDown(t *testing.T) {
	slow := func(t *testing.T, r *relay, err error) {
		t.Helper()
		if codeOf(err) != "SlowDown" {
			t.Fatal(err)
		}
		req := unsigned(t, r, http.MethodPut, "/"+testBucket+"/"+testKey, `{"id":"other"}`)
		resign(t, s3Signer(), req, `{"id":"other"}`)
		if a := r.do(req); a.status != http.StatusServiceUnavailable || a.head.Get("Retry-After") == "" || a.head.Get("ETag") != "" {
			t.Errorf("%d %v", a.status, a.head)
		}
	}
	t.Run("stopping", func(t *testing.T) {
		r := newRelay(t, Options{}, runtime.Options{})
		if err := r.rt.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err := r.put(t.Context(), testKey, event("a"))
		slow(t, r, err)
	})
	t.Run("the quarantine is full", func(t *testing.T) {
		r := newRelay(t, Options{}, runtime.Options{Quarantine: runtime.QuarantineOptions{Items: 1}})
		if _, err := r.put(t.Context(), testKey, `{"id":"first"}`); err != nil {
			t.Fatal(err)
		}
		body := event("a") + "\n" + `{"id":"second"}`
		_, err := r.put(t.Context(), testKey, body)
		slow(t, r, err)
		// When there is space, the retry stores the rest, and the stored events are recognised.
		if err := r.rt.DeleteQuarantineItem(t.Context(), runtime.By{Principal: "test"}, 1); err != nil {
			t.Fatal(err)
		}
		if _, err := r.put(t.Context(), testKey, body); err != nil {
			t.Fatal(err)
		}
		if got := r.quarantined(); !slices.Equal(got, []string{`missing: {"id":"second"}`}) {
			t.Errorf("%q", got)
		}
		if stats := r.rt.Stats(); stats.Accepted != 1 || stats.Duplicates == 0 {
			t.Errorf("%+v", stats)
		}
	})
	t.Run("no memory", func(t *testing.T) {
		r := newRelay(t, Options{Reserve: noMemory}, runtime.Options{})
		_, err := r.put(t.Context(), testKey, event("a"))
		slow(t, r, err)
		r.nothing()
	})
}

func TestCountsAndMemory(t *testing.T) {
	held, most := int64(0), int64(0)
	counts := new(Counts)
	r := newRelay(t, Options{Counts: counts, Reserve: reserveInto(&held, &most)}, runtime.Options{})
	for _, body := range []string{event("a"), event("a"), `{"id":"odd"}`} {
		if _, err := r.put(t.Context(), testKey, body); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.put(t.Context(), "other/x.json", event("a")); codeOf(err) != "InvalidRequest" {
		t.Error(err)
	}
	got := map[Answer]uint64{}
	counts.Answers(func(a Answer, n uint64) { got[a] = n })
	if len(got) != 2 || got[Answer{"put_events", "OK"}] != 3 || got[Answer{"forward", "InvalidRequest"}] != 1 {
		t.Errorf("%v", got)
	}
	events := map[string]uint64{}
	counts.Events(func(result string, n uint64) { events[result] = n })
	if events["accepted"] != 1 || events["duplicate"] != 1 || events["quarantined"] != 1 || events["discarded"] != 0 {
		t.Errorf("%v", events)
	}
	if held != 0 || most < 2*int64(len(event("a"))) {
		t.Errorf("memory: %d held, at most %d", held, most)
	}
}

func TestAnObjectThatIsTooLarge(t *testing.T) {
	r := newRelay(t, Options{Limits: ingest.Limits{BodyBytes: 1 << 10}}, runtime.Options{})
	for size, code := range map[int]string{1 << 10: "", 1<<10 + 1: "EntityTooLarge"} {
		body := strings.Repeat(" ", size-len(event("a"))) + event("a")
		if _, err := r.put(t.Context(), testKey, body); (err == nil) != (code == "") || (err != nil && codeOf(err) != code) {
			t.Errorf("%d: %v", size, err)
		}
	}
	if len(r.stored()) != 1 {
		t.Error("not one event")
	}
}

var errNoMemory = errors.New("no memory")

type failingFilter struct{}

func (failingFilter) Open(context.Context) (filter.Instance, error) { return failingFilter{}, nil }
func (failingFilter) Close() error                                  { return nil }
func (failingFilter) Apply(_ context.Context, call *filter.Call) (auditrelay.Verdict, error) {
	if call.Event.ID == "b" {
		return auditrelay.NoVerdict, errors.New("it failed")
	}
	return auditrelay.Keep, nil
}

// TestAnEventThatAFilterBeforeTheJournalFailedOn: nothing of it is stored, so the answer is not
// 200. Its neighbours are stored.
func TestAnEventThatAFilterBeforeTheJournalFailedOn(t *testing.T) {
	r := newRelay(t, Options{}, runtime.Options{Ingest: []runtime.Step{{Name: "f", Filter: failingFilter{}}}})
	_, err := r.put(t.Context(), testKey, event("a")+"\n"+event("b"))
	if codeOf(err) != "InvalidRequest" || !strings.Contains(err.Error(), "filter before the journal") {
		t.Errorf("got %v", err)
	}
	if s := r.rt.Stats(); s.Accepted != 1 || len(r.quarantined()) != 0 {
		t.Errorf("accepted %d, in quarantine %q", s.Accepted, r.quarantined())
	}
	// The producer keeps the object and sends it again. This adds no second tombstone.
	head := r.rt.Stats().Head
	for range 3 {
		if _, err := r.put(t.Context(), testKey, event("a")+"\n"+event("b")); codeOf(err) != "InvalidRequest" {
			t.Errorf("again: %v", err)
		}
	}
	if again := r.rt.Stats().Head; again != head {
		t.Errorf("the journal grew from %d to %d", head, again)
	}
}
