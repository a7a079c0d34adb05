package cli

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"auditrelay/cli/internal/api"
	"auditrelay/cli/internal/client"
)

type sendCommand struct {
	remote
	File     string        `arg:"" help:"Events: one JSON object a line, or an array; also FILE.gz; - for standard input."`
	Resume   string        `help:"Remember the position in this file, and continue from it." placeholder:"FILE" type:"path"`
	Rejects  string        `help:"Append rejected events to this file, one a line, to correct and send again." placeholder:"FILE" type:"path"`
	Patience time.Duration `help:"Give up after a request failed for this long." default:"5m"`
	JSON     bool          `help:"Print the summary as JSON."`
}

// sendState is the content of a resume file.
type sendState struct {
	// Begins is the digest of the file's first bytes, which detects another file.
	Begins string      `json:"begins"`
	Sent   client.Sent `json:"sent"`
}

// beginsWith is the number of bytes that identify a file.
const beginsWith = 4096

func (c *sendCommand) Run(a *program) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	in, begins, err := c.open(a)
	if err != nil {
		return err
	}
	defer in.Close()
	before, err := c.load(begins)
	if err != nil {
		return err
	}
	rejects, err := c.openRejects()
	if err != nil {
		return err
	}
	var at *lines // nil for a compressed file, whose lines nobody sees
	var events io.Reader = in
	if !strings.HasSuffix(c.File, ".gz") {
		at = &lines{r: in}
		events = at
	}
	p := &progress{lines: at, w: a.stderr, live: terminal(a.stderr), start: time.Now()}
	sender := client.Sender{
		Client: cl, From: before.Offset, Patience: c.Patience,
		Refused: func(offset int64, event []byte, why *api.Error) error {
			p.refused(offset, why)
			if rejects == nil || event == nil {
				return nil
			}
			_, err := rejects.Write(append(event[:len(event):len(event)], '\n'))
			return err
		},
		Progress: func(sent client.Sent) error {
			p.show(sent)
			if at != nil {
				at.forget(sent.Offset)
			}
			return c.save(begins, total(before, sent), rejects)
		},
		Waiting: func(err error, pause time.Duration) { p.waiting(err, pause) },
	}
	encoding := ""
	if strings.HasSuffix(c.File, ".gz") {
		encoding = "gzip"
	}
	sent, err := sender.Send(a.ctx, events, encoding)
	p.end()
	if rejects != nil {
		err = errors.Join(err, rejects.Close())
	}
	err = errors.Join(err, c.summary(a, sent, time.Since(p.start)))
	if err == nil && sent.Refused > 0 {
		err = refusedError{sent.Refused}
	}
	return err
}

// open returns the events, and the digest that identifies the file.
func (c *sendCommand) open(a *program) (io.ReadCloser, string, error) {
	if c.File == "-" {
		if c.Resume != "" {
			return nil, "", usage("--resume needs a file: standard input cannot be read again")
		}
		return &interruptible{ctx: a.ctx, r: a.stdin}, "", nil
	}
	f, err := os.Open(c.File)
	if err != nil {
		return nil, "", err
	}
	r := bufio.NewReaderSize(f, 256<<10)
	first, err := r.Peek(beginsWith)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, "", errors.Join(err, f.Close())
	}
	sum := sha256.Sum256(first)
	return struct {
		io.Reader
		io.Closer
	}{r, f}, hex.EncodeToString(sum[:]), nil
}

// interruptible stops between two reads when ctx ends.
type interruptible struct {
	ctx context.Context
	r   io.Reader
}

func (i *interruptible) Read(p []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.r.Read(p)
}

func (i *interruptible) Close() error { return nil }

func (c *sendCommand) load(begins string) (client.Sent, error) {
	if c.Resume == "" {
		return client.Sent{}, nil
	}
	data, err := os.ReadFile(c.Resume)
	if errors.Is(err, fs.ErrNotExist) {
		return client.Sent{}, nil
	}
	if err != nil {
		return client.Sent{}, err
	}
	var state sendState
	if err := json.Unmarshal(data, &state); err != nil {
		return client.Sent{}, fmt.Errorf("the resume file %s is damaged: %w; delete it to begin anew, which does no harm", c.Resume, err)
	}
	if state.Begins != begins {
		return client.Sent{}, fmt.Errorf("the resume file %s is of another file, or this one was changed at its beginning; delete it to begin anew", c.Resume)
	}
	return state.Sent, nil
}

// save stores the progress. If it is lost, events are sent again and stored once. Rejected
// events are in the rejects file before.
func (c *sendCommand) save(begins string, sent client.Sent, rejects *os.File) error {
	if c.Resume == "" {
		return nil
	}
	if rejects != nil {
		if err := rejects.Sync(); err != nil {
			return err
		}
	}
	data, err := json.Marshal(sendState{Begins: begins, Sent: sent})
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(c.Resume), ".resume-*")
	if err != nil {
		return fmt.Errorf("keep how far it came: %w", err)
	}
	_, err = f.Write(append(data, '\n'))
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), c.Resume)
	}
	if err != nil {
		return fmt.Errorf("keep how far it came: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}

// total adds the counts of earlier runs to those of this one.
func total(before, now client.Sent) client.Sent {
	now.Events += before.Events
	now.Accepted += before.Accepted
	now.Duplicates += before.Duplicates
	now.Refused += before.Refused
	return now
}

func (c *sendCommand) openRejects() (*os.File, error) {
	if c.Rejects == "" {
		return nil, nil
	}
	// Only the owner may read the file: events may contain personal data.
	return os.OpenFile(c.Rejects, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
}

func (c *sendCommand) summary(a *program, sent client.Sent, took time.Duration) error {
	if c.JSON {
		return a.printJSON(struct {
			client.Sent
			Seconds float64 `json:"seconds"`
		}{sent, took.Seconds()})
	}
	_, err := fmt.Fprintf(a.stdout, "%d events: %d accepted, %d accepted before, %d refused, in %s\n",
		sent.Events, sent.Accepted, sent.Duplicates, sent.Refused, took.Round(10*time.Millisecond))
	return err
}

// progress prints the progress on standard error.
type progress struct {
	lines *lines // nil: print positions as bytes
	w     io.Writer
	live  bool // a terminal: one changing line
	start time.Time
	last  time.Time
	shown bool
	told  int // number of printed rejections
	waits int
}

// maxTold limits the number of rejections printed individually.
const maxTold = 20

func (p *progress) show(sent client.Sent) {
	if !p.live || time.Since(p.last) < 200*time.Millisecond {
		return
	}
	p.last, p.shown = time.Now(), true
	rate := float64(sent.Events) / max(time.Since(p.start).Seconds(), 0.001)
	fmt.Fprintf(p.w, "\r\x1b[K%d events sent, %d refused, %.0f/s", sent.Events, sent.Refused, rate)
}

func (p *progress) refused(offset int64, why *api.Error) {
	p.told++
	switch {
	case p.told <= maxTold:
		p.end()
		place := fmt.Sprintf("at byte %d", offset)
		if p.lines != nil {
			place = fmt.Sprintf("on line %d", p.lines.line(offset))
		}
		fmt.Fprintf(p.w, "refused %s: %s: %s\n", place, printable(why.Reason), printable(why.Error()))
		if why.Hint != "" {
			fmt.Fprintf(p.w, "  hint: %s\n", printable(why.Hint))
		}
	case p.told == maxTold+1:
		p.end()
		fmt.Fprintln(p.w, "further refusals are counted only")
	}
}

func (p *progress) waiting(err error, pause time.Duration) {
	p.end()
	fmt.Fprintf(p.w, "%v; trying again in %s\n", err, pause.Round(time.Millisecond))
	if p.waits++; p.waits == 1 {
		if h := hint(err); h != "" {
			fmt.Fprintf(p.w, "  hint: %s\n", h)
		}
	}
}

// end completes the changing line.
func (p *progress) end() {
	if p.shown {
		fmt.Fprintln(p.w)
		p.shown = false
	}
}
