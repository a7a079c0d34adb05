package cli

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"unicode/utf8"

	"auditrelay"
	"auditrelay/cli/internal/api"
)

type quarantineCommand struct {
	List   quarantineList   `cmd:"" help:"List quarantined items, without contents."`
	Show   quarantineShow   `cmd:"" help:"Show one item with its contents (role comply)."`
	Replay quarantineReplay `cmd:"" help:"Accept items as events."`
	Delete quarantineDelete `cmd:"" help:"Delete items for good; this is recorded."`
}

type quarantineList struct {
	remote
	Reason string `help:"Only those with this reason." placeholder:"REASON"`
	Source string `help:"Only those of this source." placeholder:"SOURCE"`
	After  uint64 `help:"Only after this number." placeholder:"NUMBER"`
	Limit  int    `help:"Maximum number." default:"100"`
	JSON   bool   `help:"Print JSON."`
}

func (c *quarantineList) Run(a *program) error {
	if c.Limit < 1 || c.Limit > 1000 {
		return usage("--limit: a number from 1 to 1000")
	}
	cl, err := c.client()
	if err != nil {
		return err
	}
	items, err := cl.Quarantine(a.ctx, api.QuarantineQuery{After: c.After, Reason: c.Reason, Source: c.Source, Limit: c.Limit})
	if err != nil {
		return err
	}
	if len(items) == c.Limit {
		fmt.Fprintf(a.stderr, "there may be more; continue with: --after %d\n", items[len(items)-1].Number)
	}
	if c.JSON {
		return a.printJSON(items)
	}
	rows := [][]string{{"NUMBER", "FIRST", "TIMES", "SOURCE", "PRINCIPAL", "BYTES", "REASON", "DETAIL"}}
	for _, it := range items {
		rows = append(rows, []string{
			count(it.Number), moment(it.First), count(it.Times), it.Provenance.Source, it.Provenance.Principal,
			auditrelay.ByteSize(it.Bytes).String(), it.Reason, withBare(it),
		})
	}
	return a.table(rows)
}

func withBare(it api.QuarantineItem) string {
	if !it.Bare {
		return it.Detail
	}
	return "not kept: filters stand before the journal"
}

type quarantineShow struct {
	remote
	Number uint64 `arg:"" help:"The item's number."`
	Raw    bool   `help:"Write only the item's bytes." xor:"form"`
	JSON   bool   `help:"Print JSON." xor:"form"`
}

func (c *quarantineShow) Run(a *program) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	item, err := cl.QuarantineItem(a.ctx, c.Number)
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(item)
	}
	if c.Raw {
		if item.Bare {
			return fmt.Errorf("only a digest of item %d was kept", c.Number)
		}
		w, done := a.exact()
		_, err := w.Write(item.Data)
		return errors.Join(err, done())
	}
	err = a.table([][]string{
		{"number", count(item.Number)},
		{"first", moment(item.First)},
		{"last", moment(item.Last)},
		{"times", count(item.Times)},
		{"source", item.Provenance.Source},
		{"principal", item.Provenance.Principal},
		{"address", item.Provenance.Address},
		{"reason", item.Reason},
		{"detail", withBare(item.QuarantineItem)},
		{"bytes", count(uint64(item.Bytes))},
		{"hmac_sha256", item.Digest},
	})
	if err != nil || item.Bare {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "\n%s\n", textOrDump(item.Data))
	return err
}

// textOrDump returns data in a form that is safe for a terminal: text escaped, everything else
// as a dump.
func textOrDump(data []byte) string {
	control := func(c rune) bool { return c < ' ' && c != '\n' && c != '\t' && c != '\r' }
	if utf8.Valid(data) && bytes.IndexFunc(data, control) < 0 {
		return string(escaped(data))
	}
	return hex.Dump(data)
}

// whichItems are the flags of commands that change items.
type whichItems struct {
	remote
	why
	Numbers []uint64 `arg:"" optional:"" help:"The items' numbers."`
	All     bool     `help:"All items."`
	Cause   string   `help:"With --all, only those in quarantine for this reason, such as duplicate_key." placeholder:"REASON"`
	Source  string   `help:"With --all, only those of this source." placeholder:"SOURCE"`
	JSON    bool     `help:"Print JSON."`
}

func (c *whichItems) check() error {
	if c.All == (len(c.Numbers) > 0) {
		return usage("name numbers, or use --all")
	}
	if !c.All && c.Cause+c.Source != "" {
		return usage("--cause and --source go with --all")
	}
	return nil
}

func (c *whichItems) which() api.QuarantineChange {
	return api.QuarantineChange{Numbers: c.Numbers, All: c.All, Cause: c.Cause, Source: c.Source, Reason: c.Reason}
}

// told prints the changed items. It returns an error for unchanged items.
func (c *whichItems) told(a *program, done api.QuarantineChanged, what string) error {
	if c.JSON {
		if err := a.printJSON(done); err != nil {
			return err
		}
	} else if _, err := fmt.Fprintf(a.stdout, "%d %s\n", done.Changed, what); err != nil {
		return err
	}
	for _, f := range done.Failed {
		fmt.Fprintf(a.stderr, "%s\n", f.Error)
	}
	if n := len(done.Failed); n > 0 {
		return stayError{stay: n, all: n + done.Changed}
	}
	return nil
}

type quarantineReplay struct {
	whichItems
	Edit string `help:"File to accept instead of the item (- for standard input); also needs role ingest." placeholder:"FILE"`
}

func (c *quarantineReplay) Run(a *program) error {
	if err := c.check(); err != nil {
		return err
	}
	if c.Edit != "" && len(c.Numbers) != 1 {
		return usage("--edit replaces one item: give its number")
	}
	cl, err := c.client()
	if err != nil {
		return err
	}
	var done api.QuarantineChanged
	if c.Edit == "" {
		done, err = cl.ReplayQuarantine(a.ctx, c.which())
	} else {
		var contents []byte
		if contents, err = a.contents(c.Edit); err == nil {
			done, err = cl.ReplaceQuarantined(a.ctx, c.Numbers[0], contents, c.api())
		}
		if e, ok := errors.AsType[*api.Error](err); ok && e.Status == http.StatusUnprocessableEntity {
			done.Failed, err = []api.QuarantineFailed{{Number: c.Numbers[0], Error: e}}, nil
		}
	}
	if err != nil {
		return err
	}
	return c.told(a, done, fmt.Sprintf("replayed as %d events", done.Events))
}

// mostContents limits the replacement of an item's content. The relay's own limit is lower.
const mostContents = 1 << 30

func (a *program) contents(name string) ([]byte, error) {
	in := a.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, mostContents))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return data, nil
}

type quarantineDelete struct {
	whichItems
	Yes bool `help:"Confirm; this cannot be undone."`
}

func (c *quarantineDelete) Run(a *program) error {
	if err := c.check(); err != nil {
		return err
	}
	if err := c.required("items are deleted"); err != nil {
		return err
	}
	if !c.Yes {
		return usage("deleted items are gone for good: confirm with --yes")
	}
	cl, err := c.client()
	if err != nil {
		return err
	}
	done, err := cl.DeleteQuarantine(a.ctx, c.which())
	if err != nil {
		return err
	}
	return c.told(a, done, "deleted")
}
