package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"auditrelay"
	"auditrelay/cli/internal/api"
	"auditrelay/cli/internal/client"
	"auditrelay/internal/diff"
)

// remote are the flags of commands that call a relay. A token is never an argument: process
// lists and shell histories show arguments.
type remote struct {
	Server    string `help:"The relay's URL, or unix:PATH for its socket." env:"AUDITRELAY_SERVER" default:"${server}" placeholder:"URL"`
	TokenFile string `help:"File with the bearer token. Default: the variable AUDITRELAY_TOKEN." placeholder:"FILE"`
	CA        string `help:"File of PEM certificates to trust instead of the system's." env:"AUDITRELAY_CA" placeholder:"FILE"`
	Cert      string `name:"client-cert" help:"File with a client certificate, PEM." env:"AUDITRELAY_CLIENT_CERT" placeholder:"FILE"`
	Key       string `name:"client-key" help:"File with the client certificate's key, PEM." env:"AUDITRELAY_CLIENT_KEY" placeholder:"FILE"`
}

// why are the flags of commands that change the relay.
type why struct {
	Reason string `help:"Why, in your words; the relay's own record contains it." placeholder:"TEXT"`
	Seen   string `name:"if-match" help:"Change only this version of the object, as callbacks show or module filters prints it." placeholder:"VERSION"`
}

func (w *why) api() api.Why { return api.Why{Reason: w.Reason} }

// required returns the usage error for a missing reason.
func (w *why) required(what string) error {
	if strings.TrimSpace(w.Reason) == "" {
		return usage("--reason: say why %s: this cannot be undone, and the relay's own record contains the reason", what)
	}
	return nil
}

func (r *remote) client() (*client.Client, error) { return r.clientFor("") }

// clientFor is like client, for a change that requires the version that the user saw.
func (r *remote) clientFor(seen string) (*client.Client, error) {
	token := os.Getenv("AUDITRELAY_TOKEN")
	if r.TokenFile != "" {
		data, err := os.ReadFile(r.TokenFile)
		if err != nil {
			return nil, fmt.Errorf("read the token: %w", err)
		}
		token = string(bytes.TrimSpace(data))
		if token == "" {
			return nil, usage("the token file %s is empty", r.TokenFile)
		}
	}
	c, err := client.New(client.Options{Server: r.Server, Token: auditrelay.Secret(token), CAFile: r.CA, CertFile: r.Cert, KeyFile: r.Key, Seen: seen})
	if err != nil {
		return nil, usageError{err}
	}
	return c, nil
}

func (a *program) printJSON(v any) error {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := a.stdout.Write(escaped(out.Bytes()))
	return err
}

// escaped writes non-printable characters, except line breaks and tabs, as \u escapes as in
// JSON, and replaces invalid UTF-8: a terminal may interpret such bytes as commands.
func escaped(text []byte) []byte {
	if bytes.IndexFunc(text, hidden) < 0 && utf8.Valid(text) {
		return text
	}
	out := make([]byte, 0, len(text)+64)
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && n == 1:
			out = append(out, `\ufffd`...)
		case !hidden(r):
			out = append(out, text[:n]...)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		text = text[n:]
	}
	return out
}

// difference prints the lines of two JSON documents that differ. It escapes the lines, not the
// documents: reading a document undoes the escapes of its strings.
func (a *program) difference(before, after []byte) error {
	lines := func(document []byte) []string {
		all := diff.Lines(document)
		for i := range all {
			all[i] = string(escaped([]byte(all[i])))
		}
		return all
	}
	return diff.Write(a.stdout, lines(before), lines(after), a.color())
}

// exact returns standard output for data that a file or a program must get byte for byte. A
// terminal gets it escaped. done writes the rest.
func (a *program) exact() (w io.Writer, done func() error) {
	if !terminal(a.stdout) {
		return a.stdout, func() error { return nil }
	}
	e := &escaping{w: a.stdout}
	return e, e.rest
}

// escaping writes text escaped, however the writes divide it.
type escaping struct {
	w    io.Writer
	left []byte // the beginning of an incomplete character
}

func (e *escaping) Write(p []byte) (int, error) {
	text := append(e.left, p...)
	n := len(text)
	for back := 1; back < utf8.UTFMax && back <= len(text); back++ {
		if at := len(text) - back; utf8.RuneStart(text[at]) {
			if !utf8.FullRune(text[at:]) {
				n = at
			}
			break
		}
	}
	e.left = append([]byte(nil), text[n:]...)
	if _, err := e.w.Write(escaped(text[:n])); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (e *escaping) rest() error {
	_, err := e.w.Write(escaped(e.left))
	e.left = nil
	return err
}

// hidden reports whether a character controls the terminal or does not print as itself: it may
// change the writing direction or join separate characters.
func hidden(r rune) bool { return !unicode.IsPrint(r) && r != '\n' && r != '\t' }

// table writes rows in columns.
func (a *program) table(rows [][]string) error {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			if i > 0 {
				fmt.Fprint(w, "\t")
			}
			fmt.Fprint(w, printable(cell))
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

// printable prevents external text from controlling the terminal.
func printable(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 && utf8.ValidString(s) {
		return s
	}
	quoted, err := json.Marshal(s)
	if err != nil {
		return "?"
	}
	return string(escaped(quoted))
}

// terminal reports whether w is a terminal.
func terminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// moment formats a time for people. The zero time is empty.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}
