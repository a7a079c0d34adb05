package app

import (
	"context"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"auditrelay/config"
)

const (
	// logQueue limits the queued lines, in bytes.
	logQueue = 1 << 20
	// logFlush is how long the relay waits at its end for queued lines to be written.
	logFlush = time.Second
)

// logWriter writes log lines from its own goroutine, so that a stalled reader blocks no
// caller. Lines that do not fit its queue are dropped and counted; the count is logged
// when writing works again. If the reader is gone, all lines are lost.
type logWriter struct {
	to io.Writer
	// tell formats the line with the number of dropped lines.
	tell func(dropped uint64) []byte

	mu      sync.Mutex
	lines   [][]byte
	bytes   int
	dropped uint64 // since they were last reported
	total   uint64
	closed  bool
	wake    chan struct{} // capacity 1
	ended   chan struct{}
}

func newLogWriter(to io.Writer, tell func(uint64) []byte) *logWriter {
	w := &logWriter{to: to, tell: tell, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	go w.run()
	return w
}

// Write queues one line. It never blocks and never fails.
func (w *logWriter) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || w.bytes+len(line) > logQueue {
		w.drop(1)
		return len(line), nil
	}
	w.lines = append(w.lines, append([]byte(nil), line...))
	w.bytes += len(line)
	w.signal()
	return len(line), nil
}

func (w *logWriter) drop(n uint64) {
	w.dropped += n
	w.total += n
}

func (w *logWriter) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Dropped returns the number of dropped lines since start.
func (w *logWriter) Dropped() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.total
}

func (w *logWriter) run() {
	defer close(w.ended)
	for {
		w.mu.Lock()
		if len(w.lines) == 0 {
			closed := w.closed
			w.mu.Unlock()
			if closed {
				return
			}
			<-w.wake
			continue
		}
		line := w.lines[0]
		w.lines = w.lines[1:]
		w.mu.Unlock()

		_, err := w.to.Write(line)

		w.mu.Lock()
		w.bytes -= len(line)
		missing := w.dropped
		if err != nil {
			w.drop(1)
			missing = 0
		}
		w.mu.Unlock()
		if missing == 0 {
			continue
		}
		if _, err := w.to.Write(w.tell(missing)); err == nil {
			w.mu.Lock()
			w.dropped -= missing
			w.mu.Unlock()
		}
	}
}

// Close writes the queued lines for at most logFlush. Call it once.
func (w *logWriter) Close() {
	w.mu.Lock()
	w.closed = true
	w.signal()
	w.mu.Unlock()
	timer := time.NewTimer(logFlush)
	defer timer.Stop()
	select {
	case <-w.ended:
	case <-timer.C:
	}
}

// newLog returns the configured log. For a file, which may be a pipe, writer writes from a
// separate goroutine and must be closed; otherwise writer is nil.
func (d *daemon) newLog() (log *slog.Logger, writer *logWriter) {
	d.setLevel(d.cfg)
	to := d.options.Log
	if to == nil {
		to = os.Stderr
	}
	if _, ok := to.(*os.File); ok {
		format := d.cfg.Log.Format
		writer = newLogWriter(to, func(dropped uint64) []byte {
			var line lineBuffer
			slog.New(logHandler(format, &line, slog.LevelInfo)).Warn("log lines were dropped: the reader of the log is too slow, or was gone", "lines", dropped)
			return line
		})
		to = writer
	}
	return slog.New(logHandler(d.cfg.Log.Format, to, &d.level)), writer
}

// lineBuffer stores what is written to it.
type lineBuffer []byte

func (b *lineBuffer) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}

// logHandler writes text or JSON. Durations have their unit in both.
func logHandler(format config.LogFormat, w io.Writer, level slog.Leveler) slog.Handler {
	o := &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Value.Kind() == slog.KindDuration {
			a.Value = slog.StringValue(a.Value.Duration().String())
		}
		return a
	}}
	if format == "json" {
		return slog.NewJSONHandler(w, o)
	}
	return slog.NewTextHandler(w, o)
}

// setLevel applies the configuration's log level, which config has checked.
func (d *daemon) setLevel(cfg *config.Config) {
	level := slog.LevelInfo
	_ = level.UnmarshalText([]byte(cfg.Log.Level))
	d.level.Set(level)
}

func (d *daemon) tellNotes(cfg *config.Config) {
	for _, n := range cfg.Notes {
		d.log.Log(context.Background(), n.Level, n.Text, "file", n.File, "line", n.Line)
	}
}
