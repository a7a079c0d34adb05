package detect_test

import (
	"bytes"
	"regexp"
	"slices"
	"testing"

	"auditrelay/internal/detect"
)

// FuzzAppend checks the order and positions of findings, and compares those that begin with
// known words with the reference.
func FuzzAppend(f *testing.F) {
	for _, c := range cases {
		for _, r := range slices.Concat(c.finds, c.misses) {
			text, _ := marked(r.text)
			f.Add([]byte(text), []byte(r.key))
		}
	}
	f.Add([]byte("%AIza xoxb-xoxb-xoxp-1-123456789012-abcdef\\nsk-\\u00e4sk-sk-aB1aB1aB1aB1aB1aB1"), []byte("token"))
	all := newSet(f, "secrets", "pii", "personal")
	names := make(map[string]bool)
	for _, info := range detect.Shipped().All() {
		names[info.Name] = true
	}
	refs := references(f)
	f.Fuzz(func(t *testing.T, text, key []byte) {
		before := bytes.Clone(text)
		kept := detect.Finding{Start: -1, Detector: "was there before"}
		found := all.Append([]detect.Finding{kept}, text, all.Name(key))
		if found[0] != kept || !bytes.Equal(text, before) {
			t.Fatal("what was given is changed")
		}
		at := 0
		for _, finding := range found[1:] {
			if finding.Start < at || finding.End <= finding.Start || finding.End > len(text) || !names[finding.Detector] {
				t.Fatalf("%+v in %q of %d bytes", found[1:], text, len(text))
			}
			at = finding.End
		}
		if all.Detects(text, all.Name(key)) != (len(found) > 1) {
			t.Fatalf("Detects differs on %q under %q", text, key)
		}
		for _, ref := range refs {
			for _, at := range ref.starts(text) {
				if !slices.ContainsFunc(found[1:], func(f detect.Finding) bool { return f.Start <= at && at < f.End }) {
					t.Fatalf("%s: nothing is found at %d of %q: %+v", ref.rule.ID, at, text, found[1:])
				}
			}
		}
	})
}

// reference finds a rule's secrets with its expressions, at every position of a text.
type reference struct {
	rule  *detect.Rule
	forms []*regexp.Regexp
}

func references(tb testing.TB) (all []reference) {
	for _, info := range detect.Shipped().All() {
		if info.Rule == nil || info.Rule.Check != "" || len(info.Rule.Near) > 0 || info.Rule.Exact || info.Rule.Entropy > 0 || len(info.Rule.Keywords) > 0 {
			continue
		}
		ref := reference{rule: info.Rule}
		for _, form := range info.Rule.Forms {
			ref.forms = append(ref.forms, regexp.MustCompile("^(?:"+form+")"))
		}
		all = append(all, ref)
	}
	if len(all) < 80 {
		tb.Fatal("few rules have a reference")
	}
	return all
}

var alnum = regexp.MustCompile(`^[A-Za-z0-9]$`)

// wordBegins reports whether a word may begin after before.
func wordBegins(before []byte) bool {
	last := func(n int) string { // the last n bytes, or fewer if there are not as many
		return string(before[max(0, len(before)-n):])
	}
	return !alnum.MatchString(last(1)) ||
		len(before) >= 2 && last(2)[0] == '\\' || len(before) >= 3 && last(3)[0] == '%' || len(before) >= 6 && last(6)[:2] == `\u`
}

func (r *reference) starts(text []byte) (starts []int) {
	for at := range text {
		if !wordBegins(text[:at]) {
			continue
		}
		for _, form := range r.forms {
			if m := form.Find(text[at:]); m != nil && r.rule.Mix == "" {
				starts = append(starts, at)
			}
		}
	}
	return starts
}
