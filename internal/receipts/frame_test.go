package receipts

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/document"
	"auditrelay/filter"
	"auditrelay/internal/test/corpus"

	"github.com/google/go-cmp/cmp"
)

func newCodec(t testing.TB) *Codec {
	t.Helper()
	c, err := NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var sealedAt = time.UnixMilli(1_769_860_800_123).UTC()

// traffic returns n receipts of ordinary traffic: one native filter and one guest, which edit most
// events.
func traffic(n int) []Receipt {
	policy, module := strings.Repeat("ab", 32), strings.Repeat("0c", 32)
	d, track := NewDigester([]byte("key")), Tracker{}
	out := make([]Receipt, n)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range out {
		r := &out[i]
		r.Sequence = uint64(1000 + i)
		r.Outcome = auditrelay.Delivered
		r.Input = d.Of(sha256.Sum256(fmt.Appendf(nil, "in %d", i)))
		var visits []Visit
		touched := []filter.Touch{{Path: "**.~password", Operation: "mask", Count: 1 + random.IntN(3)}, {Path: "secrets", Operation: "mask", Count: 1 + random.IntN(2)}}
		visits = append(visits, Visit{Filter: "no-secrets", Description: filter.Description{Kind: "redact", Digest: policy}, Touched: touched})
		visits = append(visits, Visit{Filter: "team-rules", Description: filter.Description{Kind: "wasm", Digest: module, Version: "1.2.0"}})
		r.Trail = track.Trail(visits)
		switch random.IntN(20) {
		case 0:
			r.Outcome, r.Cause, r.Filter, r.Reason = auditrelay.Filtered, auditrelay.CauseDrop, "team-rules", "another team's"
		case 1:
			r.Outcome, r.Cause, r.Filter = auditrelay.DeadLettered, auditrelay.CauseTrap, "team-rules"
		case 2:
			r.Output = r.Input
		default:
			r.Output = d.Of(sha256.Sum256(fmt.Appendf(nil, "out %d", i)))
		}
	}
	return out
}

func TestFramesComeBackAsTheyWere(t *testing.T) {
	c := newCodec(t)
	for name, receipts := range map[string][]Receipt{
		"none":    {},
		"one":     traffic(1),
		"many":    traffic(5000),
		"skipped": {{Sequence: 7, Outcome: auditrelay.Skipped, Cause: auditrelay.CauseDetached}, {Sequence: 1 << 60, Outcome: auditrelay.Skipped}},
		"odd texts": {{Sequence: 1, Reason: strings.Repeat("AB", 32), Filter: strings.Repeat("ab", 17) + "c", Emitted: 3},
			{Sequence: 2, Reason: strings.Repeat("ab", 16), Filter: "\x00\xff"}},
	} {
		t.Run(name, func(t *testing.T) {
			config := strings.Repeat("1f", 32)
			frame := c.Encode(config, receipts).Seal(sealedAt)
			got, err := c.Decode(frame)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(receipts, got.Receipts); diff != "" || got.Config != config || !got.At.Equal(sealedAt) {
				t.Errorf("%s %v\n%s", got.Config, got.At, diff)
			}
			h, err := ReadHeader(frame)
			if n := len(receipts); err != nil || n > 0 && (h.First != receipts[0].Sequence || h.Last != receipts[n-1].Sequence) {
				t.Errorf("header %+v, %v", h, err)
			}
		})
	}
}

// A part of a frame has the same receipts as the whole frame, and takes memory only for that part.
func TestAPartOfAFrame(t *testing.T) {
	c := newCodec(t)
	all := traffic(5000)
	frame := c.Encode("conf", all).Seal(sealedAt)
	for _, bounds := range [][2]uint64{{0, 1}, {0, 1001}, {1000, 1001}, {3000, 3001}, {5999, 6000}, {5000, 1 << 62}, {2000, 2500}, {6000, 6001}, {7, 7}} {
		first, end := bounds[0], bounds[1]
		want := []Receipt{}
		for _, r := range all {
			if r.Sequence >= first && r.Sequence < end {
				want = append(want, r)
			}
		}
		got, err := c.DecodeRange(frame, first, end)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got.Receipts); diff != "" || got.Config != "conf" || !got.At.Equal(sealedAt) {
			t.Errorf("%d to %d: %s", first, end, diff)
		}
	}
	bytes := func(first, end uint64) int64 {
		return testing.Benchmark(func(b *testing.B) {
			for b.Loop() {
				if _, err := c.DecodeRange(frame, first, end); err != nil {
					b.Fatal(err)
				}
			}
		}).AllocedBytesPerOp()
	}
	if one, whole := bytes(3000, 3001), bytes(0, 1<<62); one*8 > whole {
		t.Errorf("one receipt takes %d bytes, all 5000 take %d", one, whole)
	} else {
		t.Logf("one receipt takes %d bytes, all 5000 take %d", one, whole)
	}
}

// TestAReceiptIsSmall measures receipts of the corpus's events, some of which contain secrets. The
// policy masks typical names at any depth, and a guest comes after it. Two digests of 16 bytes
// cannot shrink; everything else must fit into the rest.
func TestAReceiptIsSmall(t *testing.T) {
	c := newCodec(t)
	policy := paths(t, "**.~password", "**.~api_key", "**.~token", "**.~secret", "changed_by_api_key", "object_id", "**.~email", "**.~models")
	for _, n := range []int{100, 1000, 10_000} {
		events := corpus.New(uint64(n))
		events.Plant(10)
		d, track, out := NewDigester([]byte("key")), Tracker{}, make([]Receipt, n)
		var doc document.Document
		for i := range out {
			e := events.Next()
			doc.Reset(e.Data)
			var touched []filter.Touch
			for _, p := range policy {
				count := 0
				for node := doc.EachOutside(p, document.None); node != document.None; node = doc.EachOutside(p, node) {
					if doc.SetString(node, []byte("***")) == nil {
						count++
					}
				}
				if count > 0 {
					touched = append(touched, filter.Touch{Path: p.String(), Operation: "mask", Count: count})
				}
			}
			var visits []Visit
			visits = append(visits, Visit{Filter: "no-secrets", Description: filter.Description{Kind: "redact", Digest: strings.Repeat("ab", 32)}, Touched: touched})
			visits = append(visits, Visit{Filter: "team-rules", Description: filter.Description{Kind: "wasm", Digest: strings.Repeat("0c", 32), Version: "1.2.0"}})
			out[i] = Receipt{Sequence: uint64(1_000_000 + i), Outcome: auditrelay.Delivered, Trail: track.Trail(visits), Input: d.Of(sha256.Sum256(e.Data)), Output: d.Of(sha256.Sum256(doc.Append(nil)))}
			if i%20 == 0 {
				out[i].Outcome, out[i].Cause, out[i].Filter, out[i].Reason, out[i].Output = auditrelay.Filtered, auditrelay.CauseDrop, "team-rules", "another team's", Digest{}
			}
		}
		frame := c.Encode(strings.Repeat("1f", 32), out).Seal(sealedAt)
		each := float64(len(frame)) / float64(n)
		t.Logf("%d receipts: %.1f bytes each, %d ways", n, each, len(track.known))
		if each > 60 {
			t.Errorf("%d receipts take %.1f bytes each, at most 60", n, each)
		}
	}
}

func paths(t *testing.T, texts ...string) []*document.Path {
	t.Helper()
	var out []*document.Path
	for _, text := range texts {
		p, err := document.ParsePath(text)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

// TestDamageIsLoud: any changed or missing byte causes an error.
func TestDamageIsLoud(t *testing.T) {
	c := newCodec(t)
	frame := c.Encode("", traffic(50)).Seal(sealedAt)
	for i := range frame {
		bad := append([]byte(nil), frame...)
		bad[i] ^= 0x10
		if _, err := c.Decode(bad); err == nil || i > 0 && !errors.Is(err, ErrDamaged) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
		if _, err := ReadHeader(bad); err == nil {
			t.Fatalf("byte %d changed: the header reads", i)
		}
		if _, err := c.Decode(frame[:i]); err == nil {
			t.Fatalf("cut at %d: no error", i)
		}
	}
	if _, err := c.Decode(append(frame, 0)); err == nil {
		t.Error("a byte too many is no error")
	}
}

func TestOrdinaryTrailsAllocateNothing(t *testing.T) {
	var track Tracker
	touched := []filter.Touch{{Path: "**.~password", Operation: "mask", Count: 2}}
	d := NewDigester([]byte("key"))
	data := []byte("data")
	var visits []Visit
	if n := testing.AllocsPerRun(100, func() {
		visits = append(visits[:0], Visit{Filter: "a", Description: filter.Description{Kind: "redact", Digest: "d"}, Touched: touched})
		if len(track.Trail(visits)) != 1 || d.Of(sha256.Sum256(data)) == (Digest{}) {
			t.Fatal("no trail")
		}
	}); n > 0 {
		t.Errorf("%v allocations an event", n)
	}
	touched[0].Count = 3 // the filter may reuse its slice
	if track.Trail(visits)[0].Touched[0].Count != 3 {
		t.Error("another count is another trail")
	}
}

// TestFiltersCannotFillTheReceipts: a filter's reports about itself are limited.
func TestFiltersCannotFillTheReceipts(t *testing.T) {
	var track Tracker
	var touched []filter.Touch
	for i := range 1000 {
		touched = append(touched, filter.Touch{Path: strings.Repeat("p", 1000) + fmt.Sprint(i), Operation: "mask", Count: 1})
	}
	v := track.Trail([]Visit{{Filter: "a", Description: filter.Description{Version: strings.Repeat("v", 1000)}, Touched: touched}})[0]
	count := 0
	for _, touch := range v.Touched {
		count += touch.Count
		if len(touch.Path) > maxText {
			t.Errorf("a path of %d bytes", len(touch.Path))
		}
	}
	if len(v.Touched) != maxTouches+1 || count != 1000 || len(v.Version) > maxText {
		t.Errorf("%d touches of %d values", len(v.Touched), count)
	}
	// If the touched paths are long and differ in every event, they are omitted. The frame can
	// still be read.
	receipts := traffic(11_000)
	for i := range receipts {
		var visit Visit
		for k := range maxTouches {
			visit.Touched = append(visit.Touched, filter.Touch{Path: fmt.Sprintf("p%0100d", i*maxTouches+k), Operation: "mask", Count: i})
		}
		receipts[i].Trail = Trail{visit}
	}
	c := newCodec(t)
	got, err := c.Decode(c.Encode("", receipts).Seal(sealedAt))
	if err != nil || len(got.Receipts) != len(receipts) || len(got.Receipts[9].Trail[0].Touched) != 1 || got.Receipts[9].Input != receipts[9].Input {
		t.Errorf("%v", err)
	}
}

func TestDigestsAreKeyed(t *testing.T) {
	a, b := NewDigester([]byte("a")).Of(sha256.Sum256([]byte("x"))), NewDigester([]byte("b")).Of(sha256.Sum256([]byte("x")))
	if a == b || a == (Digest{}) || a != NewDigester([]byte("a")).Of(sha256.Sum256([]byte("x"))) {
		t.Errorf("%s, %s", hex.EncodeToString(a[:]), hex.EncodeToString(b[:]))
	}
}

func FuzzDecode(f *testing.F) {
	c := newCodec(f)
	f.Add(c.Encode("ab", traffic(3)).Seal(sealedAt))
	e := encoder{texts: map[string]uint64{}, ways: map[string]uint64{}, visits: map[string]uint64{}}
	receipts := traffic(3)
	f.Add(e.encode("ab", len(receipts), func(i int) Receipt { return receipts[i] }))
	f.Fuzz(func(t *testing.T, data []byte) {
		if got, err := c.Decode(data); err == nil {
			again, err := c.Decode(c.Encode(got.Config, got.Receipts).Seal(got.At))
			if err != nil || len(again.Receipts) != len(got.Receipts) {
				t.Errorf("again: %v", err)
			}
		}
		// Treat data as a body whose checksum is valid: a part is damaged if the whole is.
		whole, part := new(Frame).decode(data, 0, math.MaxUint64), new(Frame).decode(data, 1001, 1002)
		if (whole == nil) != (part == nil) {
			t.Errorf("the whole: %v, a part: %v", whole, part)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	c, receipts := newCodec(b), traffic(1000)
	for b.Loop() {
		c.Encode("", receipts)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(receipts)), "ns/receipt")
}

func BenchmarkSum(b *testing.B) {
	d, data := NewDigester([]byte("key")), make([]byte, 900)
	b.SetBytes(900)
	for b.Loop() {
		d.Of(sha256.Sum256(data))
	}
}
