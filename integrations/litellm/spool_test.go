package litellm

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

// A full spool keeps its events. It refuses new ones after a limited wait, and logs that. It
// accepts events again as soon as it has room.
func TestFullSpool(t *testing.T) {
	r := newRelay(t, "")
	s := setup{relay: r.url(), spool: spoolFolder(t), env: []string{"AUDITRELAY_SPOOL_BYTES=65536", "AUDITRELAY_SPOOL_WAIT=0.1"}}
	p := startProducer(t, s)
	p.do(command{"op": "log", "prefix": "e", "count": 250, "tasks": 100})
	acked, refused := p.acknowledged(), p.refused()
	if len(acked) < 50 || len(refused) < 50 || len(acked)+len(refused) != 250 {
		t.Fatalf("%d events were taken and %d refused, want some of both", len(acked), len(refused))
	}
	for id, why := range refused {
		if !strings.Contains(why, "SpoolError") || !strings.Contains(why, "the spool is full") {
			t.Fatalf("%s was refused with %q", id, why)
		}
	}
	if got := p.stat("refused"); got != float64(len(refused)) {
		t.Errorf("%v are counted as refused, want %d", got, len(refused))
	}
	if n := strings.Count(p.log.String(), "the spool is full"); n != 1 {
		t.Errorf("the log says %d times that the spool is full:\n%s", n, p.log)
	}
	if n := spooled(t, s.spool); n > 65536 {
		t.Errorf("the spool holds %d bytes", n)
	}

	// The limit is that of the directory: another process cannot add to it.
	p.kill()
	p = startProducer(t, s)
	p.do(command{"op": "log", "prefix": "again", "count": 50, "tasks": 50})
	if n := p.count(); n > 0 {
		t.Errorf("a process that came after took %d more events", n)
	}
	r.start(t)
	p.drained()
	p.do(command{"op": "log", "prefix": "more", "count": 20})
	p.drained()
	for id := range p.acknowledged() {
		acked[id] = true
	}
	arrived := r.delivered(t, "")
	if n := lost(t, acked, arrived); n > 0 || arrived["more-19"] != 1 {
		t.Errorf("%d acknowledged events are lost; of the last came %d", n, arrived["more-19"])
	}
	for id := range refused {
		if arrived[id] > 0 {
			t.Errorf("%s was refused and arrived", id)
		}
	}
}

// An event that waits for room gets it if the relay comes back in time.
func TestFullSpoolWaits(t *testing.T) {
	r := newRelay(t, "")
	s := setup{relay: r.url(), spool: spoolFolder(t), env: []string{"AUDITRELAY_SPOOL_BYTES=65536", "AUDITRELAY_SPOOL_WAIT=300"}}
	p := startProducer(t, s)
	p.send(command{"op": "background", "prefix": "e", "count": 250, "tasks": 250})
	p.await("a full spool", func() bool { return len(p.acked) >= 60 })
	r.start(t)
	p.await("all events", func() bool { return len(p.acked) == 250 })
	p.drained()
	if n := lost(t, p.acknowledged(), r.delivered(t, "")); n > 0 || len(p.refused()) > 0 {
		t.Errorf("%d events are lost, %d were refused", n, len(p.refused()))
	}
}

// fillSpool makes a process log events without a relay, and kills it. It returns the only segment.
func fillSpool(t *testing.T, s setup, count int) (acked map[string]bool, segment string) {
	t.Helper()
	p := startProducer(t, s)
	p.do(command{"op": "log", "prefix": "e", "count": count, "tasks": 1})
	p.kill()
	files, err := filepath.Glob(filepath.Join(s.spool, "worker-*", "*.events"))
	if err != nil || len(files) != 1 {
		t.Fatalf("segments: %v, %v", files, err)
	}
	return p.acknowledged(), files[0]
}

// The last record of a spool may be incomplete after a kill, and records before it may be damaged
// by the disk. The other records are sent anyway, and damaged ones are kept.
func TestTornAndDamagedSpool(t *testing.T) {
	r := newRelay(t, "")
	s := setup{relay: r.url(), spool: spoolFolder(t)}
	acked, segment := fillSpool(t, s, 20)
	body, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(body, []byte("\n"))
	damaged := gjson.GetBytes(lines[5][9:], "id").Str
	lines[5][40] ^= 1
	body = append(bytes.Join(lines, nil), lines[0][:100]...) // half of an event whose hook did not return
	if err := os.WriteFile(segment, body, 0o600); err != nil {
		t.Fatal(err)
	}
	r.start(t)
	p := startProducer(t, s)
	eventually(t, "the rest sent", func() (bool, string) { return spooled(t, s.spool) == 0, p.log.String() })
	arrived := r.delivered(t, "")
	delete(acked, damaged)
	if n := lost(t, acked, arrived); n > 0 || len(arrived) != 19 {
		t.Errorf("%d events are lost, %d arrived", n, len(arrived))
	}
	kept, err := filepath.Glob(filepath.Join(s.spool, "damaged", "*"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("damaged: %v, %v", kept, err)
	}
	if got, err := os.ReadFile(kept[0]); err != nil || !bytes.Equal(got, lines[5]) {
		t.Errorf("what is kept is not what was there: %v", err)
	}
	for _, want := range []string{"a record of the spool is damaged", "ends with a piece of an event"} {
		if strings.Count(p.log.String(), want) != 1 {
			t.Errorf("the log does not say %q once:\n%s", want, p.log)
		}
	}
}

// After a damaged cursor, events are sent again and none is skipped.
func TestDamagedCursor(t *testing.T) {
	for name, cursor := range map[string]string{
		"torn":     "000000000001 00000000",
		"checksum": "000000000001 0000000000009999 00000000\n",
		"empty":    "",
		"bytes":    "\xff\xfe\x00",
	} {
		t.Run(name, func(t *testing.T) {
			r := newRelay(t, "")
			s := setup{relay: r.url(), spool: spoolFolder(t)}
			acked, segment := fillSpool(t, s, 10)
			if err := os.WriteFile(filepath.Join(filepath.Dir(segment), "cursor"), []byte(cursor), 0o600); err != nil {
				t.Fatal(err)
			}
			r.start(t)
			p := startProducer(t, s)
			eventually(t, "all sent", func() (bool, string) { return spooled(t, s.spool) == 0, p.log.String() })
			if n := lost(t, acked, r.delivered(t, "")); n > 0 {
				t.Errorf("%d events are lost", n)
			}
		})
	}
}

// If the disk fails in the middle of writes, their hooks report it. Nothing else is affected.
func TestDiskThatFails(t *testing.T) {
	r := newRelay(t, "")
	s := setup{relay: r.url(), spool: spoolFolder(t), env: []string{"FILE_BYTES=10000"}}
	p := startProducer(t, s)
	p.do(command{"op": "log", "prefix": "e", "count": 200, "tasks": 4})
	acked, refused := p.acknowledged(), p.refused()
	if len(acked) < 50 || len(refused) < 3 || len(acked)+len(refused) != 200 {
		t.Fatalf("%d events were taken and %d refused, want some of both", len(acked), len(refused))
	}
	for id, why := range refused {
		if !strings.Contains(why, "SpoolError: the event is not in the spool: OSError (File too large)") {
			t.Fatalf("%s was refused with %q", id, why)
		}
	}
	r.start(t)
	p.drained()
	if n := lost(t, acked, r.delivered(t, "")); n > 0 {
		t.Errorf("%d acknowledged events are lost", n)
	}
}

// An event that the relay refuses for good is kept and logged. The other events continue.
func TestRejectedEvents(t *testing.T) {
	r := newRelay(t, "")
	r.start(t)
	s := setup{relay: r.url(), spool: spoolFolder(t)}
	p := startProducer(t, s)
	p.do(command{"op": "log", "prefix": "good", "count": 10})
	p.do(command{"op": "log", "prefix": "typed", "count": 3, "event": command{"object_id": 7}})
	p.do(command{"op": "log", "prefix": "good", "count": 1, "event": command{"object_id": "another"}}) // the id of the first event
	p.do(command{"op": "log", "prefix": "after", "count": 10})
	p.drained()
	arrived := r.delivered(t, "")
	if len(arrived) != 20 || arrived["good-0"] != 1 || arrived["after-9"] != 1 {
		t.Errorf("%d events arrived: %v", len(arrived), arrived)
	}
	names := map[string]int{}
	kept, err := filepath.Glob(filepath.Join(s.spool, "rejected", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range kept {
		body, err := os.ReadFile(path)
		if err != nil || !gjson.ValidBytes(body) {
			t.Errorf("%s is no event: %v", path, err)
		}
		names[strings.Split(filepath.Base(path), ".")[1]]++
	}
	if fmt.Sprint(names) != "map[conflict:1 wrong_type:3]" || p.stat("rejected") != 4.0 {
		t.Errorf("rejected are %v, counted %v", names, p.stat("rejected"))
	}
	if n := strings.Count(p.log.String(), "refused an audit event for good"); n != 4 {
		t.Errorf("the log tells of %d:\n%s", n, p.log)
	}
	spooled(t, s.spool) // checks the permissions
}

// Values that JSON cannot express become text. Events that the relay cannot accept are kept.
func TestOddPayloads(t *testing.T) {
	r := newRelay(t, "")
	r.start(t)
	s := setup{relay: r.url(), spool: spoolFolder(t)}
	p := startProducer(t, s)
	p.do(command{"op": "odd"})
	if refused := p.refused(); len(refused) > 0 {
		t.Fatalf("refused: %v", refused)
	}
	p.drained()
	r.delivered(t, "")
	events := r.events(t)
	for id, want := range map[string]map[string]string{
		"nan":         {"before_value": `{"budget": NaN, "n": [Infinity]}`, "extra": "-inf"},
		"types":       {"extra.at": "2026-01-02 00:00:00", "extra.u": "00000000-0000-0000-0000-000000000007", "extra.s": "{1}", "extra.b": "b'x'", "extra.t": "[1, 2]"},
		"keys":        {`extra.(1\, 2)`: "", "extra.3": "int", "extra.null": ""},
		"loop":        {"action": "updated"},
		"unprintable": {"extra": "<Unprintable>"},
		"text":        {"object_alias": "ä😀\n\u2028\x00"},
		"big":         {"action": "updated"},
	} {
		if len(events[id]) != 1 {
			t.Errorf("%s arrived %d times", id, len(events[id]))
			continue
		}
		for path, value := range want {
			if got := gjson.Get(events[id][0], path); value != "" && got.String() != value {
				t.Errorf("%s: %s is %q, want %q", id, path, got, value)
			}
		}
	}
	for id, reason := range map[string]string{"surrogate": "lone_surrogate", "huge": "too_large"} {
		if kept, err := filepath.Glob(filepath.Join(s.spool, "rejected", "*."+reason+".json")); err != nil || len(kept) != 1 || len(events[id]) > 0 {
			t.Errorf("%s: kept %v, arrived %d times", id, kept, len(events[id]))
		}
	}
}

// A wrong token stops the sending, is logged once and loses nothing. The right token needs no
// restart.
func TestToken(t *testing.T) {
	const right = "7f3a91c04be2d586-right"
	r := newRelay(t, "tokens:\n  - {name: litellm, token: "+right+", roles: [ingest]}\n  - {name: me, token: 7f3a91c04be2d586-view, roles: [view]}")
	r.start(t)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("7f3a91c04be2d586-wrong\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := setup{relay: r.url(), spool: spoolFolder(t), env: []string{"AUDITRELAY_TOKEN_FILE=" + file}}
	p := startProducer(t, s)
	p.do(command{"op": "log", "prefix": "e", "count": 20})
	eventually(t, "the stall being told", func() (bool, string) { return p.stat("stalled") == "status 401", p.log.String() })
	if err := os.WriteFile(file, []byte(right+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.drained()
	if n := lost(t, p.acknowledged(), r.delivered(t, "7f3a91c04be2d586-view")); n > 0 || p.count() != 20 {
		t.Errorf("%d of %d events are lost", n, p.count())
	}
	if text := p.log.String(); strings.Count(text, "wait in the spool: status 401") != 1 || strings.Count(text, "go out again") != 1 || strings.Contains(text, "0123456789abcdef") {
		t.Errorf("the log:\n%s", text)
	}
}
