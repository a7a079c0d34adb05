package cli

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"auditrelay/cli/internal/inspect"
)

// hostileText controls a terminal in every way: escape sequences, C1 controls as characters and
// as bytes, DEL, and marks that change the writing direction.
const hostileText = "a\x1b[2Jb\u009b31mc\x7fd\u202ee\u2066f\x9bg\rh\U000e0041i"

func TestNothingSteersTheTerminal(t *testing.T) {
	for name, shown := range map[string]string{
		"data":       string(escaped([]byte(hostileText))),
		"cell":       printable(hostileText),
		"quarantine": textOrDump([]byte("\u009b31m\u202e\x7f\r")),
		"binary":     textOrDump([]byte(hostileText)),
		"error":      tellText(t, hostileText),
		"difference": differenceOf(t, hostileText),
	} {
		if i := strings.IndexFunc(shown, func(r rune) bool { return !unicode.IsPrint(r) && r != '\n' && r != '\t' }); i >= 0 || !utf8.ValidString(shown) {
			t.Errorf("%s: %q", name, shown)
		}
	}
	if got, want := string(escaped([]byte("\"é\u00a0\u202e\U000e0041\x7f\""))), `"é\u00a0\u202e\udb40\udc41\u007f"`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// On a terminal an export is escaped, however it is divided. Elsewhere it is unchanged.
func TestExportsDoNotSteerTheTerminal(t *testing.T) {
	text := "é\u009b31m\x1b[2J\u202e\x9bü\U000e0041"
	for cut := range len(text) + 1 {
		var b strings.Builder
		e := &escaping{w: &b}
		for _, part := range []string{text[:cut], text[cut:]} {
			if n, err := e.Write([]byte(part)); n != len(part) || err != nil {
				t.Fatal(n, err)
			}
		}
		if err := e.rest(); err != nil || b.String() != string(escaped([]byte(text))) {
			t.Errorf("cut at %d: %q, %v", cut, b.String(), err)
		}
	}
	var b strings.Builder
	w, done := (&program{stdout: &b}).exact()
	if _, err := w.Write([]byte(text)); err != nil || done() != nil || b.String() != text {
		t.Errorf("beside a terminal: %q", b.String())
	}
}

// differenceOf shows how an event with text differs from one without, in JSON, where text is
// escaped already, and not.
func differenceOf(t *testing.T, text string) string {
	t.Helper()
	inner, err := json.Marshal(map[string]string{"k" + text: text})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	p := &program{stdout: &b}
	for _, data := range [][]byte{inner, escaped(inner), fmt.Appendf(nil, `{"held":%q}`, escaped(inner)), []byte(text)} {
		if err := p.difference(data, []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

func tellText(t *testing.T, text string) string {
	t.Helper()
	var b strings.Builder
	(&program{stderr: &b}).tell(usage("%s", text))
	return b.String()
}

// TestInspectionOfABrokenManifest: the module has a manifest, so the output does not say that
// it has none.
func TestInspectionOfABrokenManifest(t *testing.T) {
	section := "\nauditrelay" + `{"abi":"1.0","writes":["a"],"writes":["**"]}`
	module := "\x00asm\x01\x00\x00\x00" + "\x00" + string(rune(len(section))) + section
	seen := inspect.Module("x", []byte(module))
	var b strings.Builder
	if err := (&program{stdout: &b}).printInspection(&seen); err != nil {
		t.Fatal(err)
	}
	if out := b.String(); !strings.Contains(out, `REFUSED  manifest: duplicate key`) || strings.Contains(out, "none:") {
		t.Error(out)
	}
}

// TestInspectionCutsWhatAManifestMayNotHold: a refused manifest shows where it is wrong, not tens
// of kilobytes of it. A valid one shows in full what it asks for.
func TestInspectionCutsWhatAManifestMayNotHold(t *testing.T) {
	inspected := func(manifest string) string {
		content := append([]byte("\x0aauditrelay"), manifest...)
		size := binary.AppendUvarint(nil, uint64(len(content)))
		seen := inspect.Module("x", slices.Concat([]byte("\x00asm\x01\x00\x00\x00\x00"), size, content))
		var b strings.Builder
		if err := (&program{stdout: &b}).printInspection(&seen); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	long := strings.Repeat("n", 20_000)
	broken := inspected(`{"abi":"1.0","name":"` + long + `","version":"` + long + `","writes":["` + long + `"]}`)
	if !strings.Contains(broken, "REFUSED  manifest: name is longer") || len(broken) > 4_000 {
		t.Errorf("%d bytes: %.300s", len(broken), broken)
	}
	path := strings.Repeat("p", 500)
	if valid := inspected(`{"abi":"1.0","name":"x","writes":["` + path + `","q"]}`); !strings.Contains(valid, path+", q") {
		t.Error(valid)
	}
}
