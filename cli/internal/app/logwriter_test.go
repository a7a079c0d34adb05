package app

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"
)

// A stalled reader of the log blocks nobody. Missed lines are counted, and reported once it
// reads again. A closed reader is no failure either.
func TestTheLogBlocksNobody(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out := newLogWriter(w, func(n uint64) []byte { return fmt.Appendf(nil, "dropped %d\n", n) })
	line := []byte(strings.Repeat("x", 1023) + "\n")
	const lines = 4 * logQueue / 1024
	for range lines {
		if n, err := out.Write(line); n != len(line) || err != nil {
			t.Fatal(n, err)
		}
	}
	dropped := out.Dropped()
	if dropped == 0 || dropped >= lines {
		t.Fatalf("%d of %d lines were dropped", dropped, lines)
	}
	// The report may be in one line or in several: some lines may have been written in between.
	told := uint64(0)
	in := bufio.NewReader(r)
	for told < dropped {
		text, err := in.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		var n uint64
		if _, err := fmt.Sscanf(text, "dropped %d", &n); err == nil {
			told += n
		}
	}
	if told != dropped {
		t.Errorf("%d were told, %d dropped", told, dropped)
	}
	go func() { _, _ = io.Copy(io.Discard, in) }()
	out.Close()
	_ = w.Close()

	// The reader is gone.
	r, w, err = os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	out = newLogWriter(w, func(uint64) []byte { return nil })
	if _, err := out.Write(line); err != nil {
		t.Error(err)
	}
	out.Close()
	if out.Dropped() != 1 {
		t.Errorf("%d lines counted", out.Dropped())
	}
	_ = w.Close()

	// A reader that never reads again does not delay the end.
	r, w, err = os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	out = newLogWriter(w, func(uint64) []byte { return nil })
	for range lines {
		_, _ = out.Write(line)
	}
	begun := time.Now()
	out.Close()
	if took := time.Since(begun); took > 10*logFlush {
		t.Errorf("the end took %v", took)
	}
}

// One JSON object per line; durations have their unit.
func TestJSONLogs(t *testing.T) {
	var line lineBuffer
	slog.New(logHandler("json", &line, slog.LevelInfo)).With("first", time.Second).Info("text", "took", 1500*time.Millisecond, slog.Group("g", "d", time.Minute))
	var got map[string]any
	if err := json.Unmarshal(line, &got); err != nil {
		t.Fatal(err)
	}
	if got["took"] != "1.5s" || got["first"] != "1s" || got["g"].(map[string]any)["d"] != "1m0s" {
		t.Errorf("%s", line)
	}
}
