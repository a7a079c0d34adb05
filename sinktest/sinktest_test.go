package sinktest_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/sinktest"
)

// store is a destination in memory.
type store struct {
	mu       sync.Mutex
	objects  map[string][]byte
	order    []string
	status   int // the response to every request; 0: it stores
	lose     bool
	hang     bool
	answer   *sinktest.Answer // the response to every request
	refuse   string           // a record to reject
	late     bool             // it stores the next payload and does not respond
	stall    bool             // it reads half of the next payload
	secret   string
	deadline chan struct{}
}

// sink puts payloads into a store. A defect breaks one promise.
type sink struct {
	store  *store
	secret func() string
	cached string
	defect string
	tick   int
}

func (s *sink) Render(chunk auditrelay.Chunk) ([]auditrelay.Payload, error) {
	if len(chunk.Records) == 0 && s.defect != "a payload of nothing" {
		return nil, nil
	}
	var body []byte
	var sequences []uint64
	for i, r := range chunk.Records {
		if s.defect == "loses tombstones" && r.Tombstone {
			continue
		}
		if s.defect == "renders a record twice" && i == 1 {
			body = append(append(body, r.Data...), '\n')
			sequences = append(sequences, r.Sequence)
		}
		if len(r.Data) > limit && s.defect != "sends what is too large" {
			return nil, &auditrelay.RecordErrors{Records: []auditrelay.RecordError{{
				Sequence: r.Sequence, Cause: auditrelay.CauseTooLarge, Err: errors.New("too large")}}}
		}
		if bytes.ContainsRune(r.Data, '\n') {
			err := fmt.Errorf("a line feed")
			if s.defect == "names no bad record" {
				return nil, err
			}
			return nil, &auditrelay.RecordErrors{Records: []auditrelay.RecordError{{
				Sequence: r.Sequence, Cause: auditrelay.CauseRender, Err: err}}}
		}
		body = append(append(body, r.Data...), '\n')
		sequences = append(sequences, r.Sequence)
	}
	if s.defect == "renders differently" {
		s.tick++
		body = fmt.Appendf(body, `{"n":%d}`+"\n", s.tick)
	}
	if s.defect == "aliases the records" {
		body, sequences = append(chunk.Records[0].Data, '\n'), sequences[:1]
	}
	return []auditrelay.Payload{s.payload(fmt.Sprintf("%s/%s", chunk.Journal, chunk.Replay), sequences, body)}, nil
}

func (s *sink) payload(dir string, sequences []uint64, body []byte) auditrelay.Payload {
	sum := sha256.Sum256(body)
	digest := hex.EncodeToString(sum[:])
	key := fmt.Sprint(dir, "/", sequences, digest[:12])
	switch s.defect {
	case "keys by content alone":
		key = digest
	case "keys by range alone":
		key = fmt.Sprint(sequences)
	}
	return auditrelay.Payload{Key: key, Body: body, Headers: map[string]string{"dir": dir}, Sequences: sequences, Digest: digest}
}

func (s *sink) Split(p auditrelay.Payload) (first, second auditrelay.Payload, err error) {
	half := len(p.Sequences) / 2
	lines := slices.Collect(bytes.Lines(p.Body))
	if s.defect == "splits wrongly" {
		return s.payload(p.Headers["dir"], p.Sequences[:half], bytes.Join(lines[:half], nil)),
			s.payload(p.Headers["dir"], p.Sequences[half:], bytes.Join(lines[half+1:], nil)), nil
	}
	return s.payload(p.Headers["dir"], p.Sequences[:half], bytes.Join(lines[:half], nil)),
		s.payload(p.Headers["dir"], p.Sequences[half:], bytes.Join(lines[half:], nil)), nil
}

func (s *sink) RenderManifest(m auditrelay.Manifest) (auditrelay.Payload, error) {
	key := fmt.Sprintf("manifest/%d", m.Number)
	if s.defect == "manifests share a key" {
		key = "manifest"
	}
	return auditrelay.Payload{Key: key, Body: []byte("{}"), Digest: strings.Repeat("0", 64)}, nil
}

func (s *sink) Concurrency() int { return 4 }

func (s *sink) Deliver(ctx context.Context, p auditrelay.Payload) (auditrelay.Receipt, error) {
	st := s.store
	st.mu.Lock()
	hang := st.hang
	st.mu.Unlock()
	if hang {
		if s.defect == "ignores its context" {
			<-st.deadline
		}
		<-ctx.Done()
	}
	if err := ctx.Err(); err != nil {
		return auditrelay.Receipt{}, err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.stall {
		st.stall = false
		if s.defect == "stores half a body" {
			st.objects[p.Key] = bytes.Clone(p.Body[:len(p.Body)/2])
			st.order = append(st.order, p.Key)
		}
		<-ctx.Done()
		return auditrelay.Receipt{}, ctx.Err()
	}
	if st.answer != nil {
		return auditrelay.Receipt{}, s.answered(*st.answer)
	}
	if st.refuse != "" && bytes.Contains(p.Body, []byte(st.refuse)) {
		switch s.defect {
		case "counts a refusal as delivered":
			return auditrelay.Receipt{Location: p.Key}, nil
		case "stalls for one record":
			return auditrelay.Receipt{}, &auditrelay.DeliveryError{Kind: auditrelay.Misconfigured, Err: errors.New("refused")}
		}
		return auditrelay.Receipt{}, &auditrelay.DeliveryError{Kind: auditrelay.Refused, Err: errors.New("refused")}
	}
	if s.cached == "" || s.defect != "caches its secret" {
		s.cached = s.secret()
	}
	if s.cached != st.secret {
		kind := auditrelay.Unauthorized
		if s.defect == "refuses for want of a secret" {
			kind = auditrelay.Refused
		}
		return auditrelay.Receipt{}, &auditrelay.DeliveryError{Kind: kind, Err: errors.New("wrong secret")}
	}
	if status := st.status; status != 0 && status/100 != 2 {
		return auditrelay.Receipt{}, s.refusal(status, p)
	}
	receipt := auditrelay.Receipt{Location: p.Key}
	key := p.Key
	if _, stands := st.objects[key]; stands {
		if s.defect != "appends again" {
			receipt.Duplicate = true
			return receipt, nil
		}
		key += fmt.Sprint("#", len(st.order))
	}
	if s.defect == "holds the body" {
		st.objects[key] = p.Body
	} else {
		st.objects[key] = bytes.Clone(p.Body)
	}
	st.order = append(st.order, key)
	if st.late {
		st.late = false
		<-ctx.Done()
		if s.defect == "gives up after a timeout" {
			return auditrelay.Receipt{}, &auditrelay.DeliveryError{Kind: auditrelay.Refused, Err: ctx.Err()}
		}
		return auditrelay.Receipt{}, ctx.Err()
	}
	if st.lose {
		st.lose = false
		return auditrelay.Receipt{}, errors.New("no answer")
	}
	return receipt, nil
}

// answered returns the failure for a response.
func (s *sink) answered(a sinktest.Answer) error {
	if a.Status/100 == 2 {
		switch s.defect {
		case "takes a page for an answer":
			return nil
		case "refuses for a page":
			return &auditrelay.DeliveryError{Kind: auditrelay.Refused, Err: errors.New("a page")}
		}
		return &auditrelay.DeliveryError{Kind: auditrelay.Misconfigured, Err: errors.New("a page")}
	}
	e := &auditrelay.DeliveryError{Kind: auditrelay.Throttled, Err: fmt.Errorf("status %d", a.Status)}
	if seconds, err := strconv.Atoi(a.Header["Retry-After"]); err == nil && s.defect != "does not wait" {
		e.RetryAfter = time.Duration(seconds) * time.Second
	}
	return e
}

// limit is the largest record that the store accepts.
const limit = 200 << 10

func (s *sink) refusal(status int, p auditrelay.Payload) error {
	if s.defect == "takes 3xx for success" && status/100 == 3 {
		return nil
	}
	text := fmt.Sprintf("status %d", status)
	if s.defect == "quotes the event" {
		text += ": " + string(p.Body)
	}
	kind := auditrelay.Refused
	switch {
	case s.defect == "refuses everything":
	case status == 401 || status == 403:
		kind = auditrelay.Unauthorized
	case status == 429:
		kind = auditrelay.Throttled
	case status >= 500, status == 408:
		kind = auditrelay.Transient
	}
	return &auditrelay.DeliveryError{Kind: kind, Err: errors.New(text)}
}

func kit(t *testing.T, defect string) sinktest.Kit {
	st := &store{objects: map[string][]byte{}, secret: "first", deadline: make(chan struct{})}
	t.Cleanup(func() { close(st.deadline) })
	known := "first"
	build := func() auditrelay.Sink {
		return &sink{store: st, secret: func() string { return known }, defect: defect}
	}
	with := func(change func()) auditrelay.Sink {
		st.mu.Lock()
		defer st.mu.Unlock()
		change()
		return build()
	}
	return sinktest.Kit{
		New: func(*testing.T) auditrelay.Sink { return build() },
		Read: func(*testing.T) [][]byte {
			st.mu.Lock()
			defer st.mu.Unlock()
			var docs [][]byte
			for _, key := range st.order {
				if strings.HasPrefix(key, "manifest") && defect != "manifests among the data" {
					continue
				}
				for line := range bytes.Lines(st.objects[key]) {
					docs = append(docs, bytes.TrimSuffix(line, []byte("\n")))
				}
			}
			return docs
		},
		Unordered:  true,
		Tear:       func(*testing.T, auditrelay.Payload) {},
		LoseAnswer: func(*testing.T) auditrelay.Sink { return with(func() { st.lose = true }) },
		Hang:       func(*testing.T) auditrelay.Sink { return with(func() { st.hang = true }) },
		Fail:       func(_ *testing.T, status int) auditrelay.Sink { return with(func() { st.status = status }) },
		Answer:     func(_ *testing.T, a sinktest.Answer) auditrelay.Sink { return with(func() { st.answer = &a }) },
		Refuse:     func(_ *testing.T, record string) auditrelay.Sink { return with(func() { st.refuse = record }) },
		HangAfter:  func(*testing.T) auditrelay.Sink { return with(func() { st.late = true }) },
		Stall:      func(*testing.T) auditrelay.Sink { return with(func() { st.stall = true }) },
		TooLarge:   limit + 1,
		Expire:     func(*testing.T) { with(func() { st.secret = "second" }) },
		Rotate: func(*testing.T) {
			st.mu.Lock()
			defer st.mu.Unlock()
			st.secret, known = "second", "second"
		},
	}
}

// defects names, for each way to break the contract, the check that must find
// it.
var defects = map[string]string{
	"renders differently":           "render is pure",
	"renders a record twice":        "render puts every record in one payload, in order",
	"loses tombstones":              "render puts every record in one payload, in order",
	"keys by content alone":         "render gives different chunks different keys",
	"keys by range alone":           "render gives different chunks different keys",
	"a payload of nothing":          "render of nothing gives nothing",
	"aliases the records":           "render does not hold the records",
	"names no bad record":           "render names the records that it cannot take",
	"appends again":                 "a payload delivered again changes nothing",
	"splits wrongly":                "the halves of a payload hold what it held",
	"ignores its context":           "a hanging delivery stops when it is told to",
	"holds the body":                "deliver does not hold the payload",
	"takes 3xx for success":         "no other status than 2xx is delivery",
	"refuses everything":            "no other status than 2xx is delivery",
	"quotes the event":              "errors carry no event data",
	"caches its secret":             "a rotated secret is taken up",
	"does not wait":                 "throttling is told with the pause that was asked for",
	"takes a page for an answer":    "a log-in page with status 200 is no delivery",
	"refuses for a page":            "a log-in page with status 200 is no delivery",
	"counts a refusal as delivered": "a refused record leaves the others alone",
	"stalls for one record":         "a refused record leaves the others alone",
	"gives up after a timeout":      "a timeout after the payload was stored loses nothing",
	"stores half a body":            "a delivery cancelled in the middle of its body can be made again",
	"sends what is too large":       "a record over the limit is named before it is sent",
	"refuses for want of a secret":  "an expired secret stalls and its successor is taken up",
	"manifests share a key":         "a manifest goes beside the data",
	"manifests among the data":      "a manifest goes beside the data",
}

func TestASoundSinkPasses(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Kit { return kit(t, "") })
}

const brokenSink = "AUDITRELAY_SINKTEST_DEFECT"

func TestEveryDefectIsFound(t *testing.T) {
	for _, defect := range slices.Sorted(maps.Keys(defects)) {
		t.Run(defect, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0], "-test.run=^TestABrokenSink$")
			cmd.Env = append(os.Environ(), brokenSink+"="+defect)
			out, err := cmd.CombinedOutput()
			want := "--- FAIL: TestABrokenSink/" + strings.ReplaceAll(defects[defect], " ", "_") + " "
			if err == nil || !strings.Contains(string(out), want) {
				t.Errorf("%q did not fail (%v):\n%.2000s", defects[defect], err, out)
			}
		})
	}
}

func TestABrokenSink(t *testing.T) {
	defect := os.Getenv(brokenSink)
	if defect == "" {
		t.Skip("it is started by TestEveryDefectIsFound")
	}
	sinktest.Run(t, func(t *testing.T) sinktest.Kit { return kit(t, defect) })
}
