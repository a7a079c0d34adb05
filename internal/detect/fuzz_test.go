package detect_test

import (
	"bytes"
	"regexp"
	"slices"
	"testing"

	"auditrelay/internal/detect"
)

// FuzzAppend holds findings to their order and places, and those that begin with
// known words to the reference.
func FuzzAppend(f *testing.F) {
	for _, c := range cases {
		for _, r := range slices.Concat(c.finds, c.misses) {
			text, _ := marked(r.text)
			f.Add([]byte(text), []byte(r.key))
		}
	}
	f.Add([]byte("%AIza xoxb-xoxb-xoxp-1-123456789012-abcdef\\nsk-\\u00e4sk-sk-aB1aB1aB1aB1aB1aB1"), []byte("token"))
	all := newSet(f, "secrets", "pii")
	names := make(map[string]bool)
	for _, info := range detect.All() {
		names[info.Name] = true
	}
	refs := references()
	sets := make([]*detect.Set, len(refs))
	for i, ref := range refs {
		sets[i] = newSet(f, ref.detector)
	}
	f.Fuzz(func(t *testing.T, text, key []byte) {
		before := bytes.Clone(text)
		kept := detect.Finding{Start: -1, Detector: "was there before"}
		found := all.Append([]detect.Finding{kept}, text, key)
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
		if all.Detects(text, key) != (len(found) > 1) {
			t.Fatalf("Detects differs on %q under %q", text, key)
		}
		for i, ref := range refs {
			got, want := sets[i].Append(nil, text, nil), ref.find(text)
			if !slices.Equal(got, want) {
				t.Fatalf("%s: %+v, and the reference %+v in %q", ref.detector, got, want, text)
			}
		}
	})
}

// reference finds by regular expressions, at every place of the text, what begins
// with known words.
type reference struct {
	detector string
	forms    []referenceForm
}

type referenceForm struct {
	form *regexp.Regexp
	also func(rest string) bool // of the first 64 bytes of the group, what the form does not say
}

func references() []reference {
	number, small, capital := regexp.MustCompile(`[0-9]`), regexp.MustCompile(`[a-z]`), regexp.MustCompile(`[A-Z]`)
	mixed := func(rest string) bool {
		return number.MatchString(rest) && (small.MatchString(rest) || capital.MatchString(rest))
	}
	cased := func(rest string) bool {
		return mixed(rest) || small.MatchString(rest) && capital.MatchString(rest)
	}
	form := func(s string) *regexp.Regexp { return regexp.MustCompile("^" + s) }
	all := func(string) bool { return true }
	return []reference{
		{"sk-key", []referenceForm{{form(`sk-([\w-]{16,})`), cased}}},
		{"model-provider-key", []referenceForm{
			{form(`gsk_([A-Za-z0-9]{30,})`), all}, {form(`xai-([\w-]{30,})`), mixed}, {form(`pplx-([A-Za-z0-9]{30,})`), all}, {form(`nvapi-([\w-]{30,})`), mixed}, {form(`(?:r8|hf)_([A-Za-z0-9]{30,})`), all},
		}},
		{"aws-access-key-id", []referenceForm{{form(`(?:AKIA|ASIA|ABIA|ACCA)([A-Z0-9]+)`), func(rest string) bool { return len(rest) == 16 }}}},
		{"gcp-key", []referenceForm{{form(`AIza([\w-]{35,})`), all}, {form(`GOCSPX-([\w-]{24,})`), all}, {form(`ya29\.([\w.-]{30,})`), mixed}}},
		{"github-token", []referenceForm{{form(`gh[pousr]_(\w{36,})`), all}, {form(`github_pat_(\w{40,})`), all}}},
		{"gitlab-token", []referenceForm{{form(`gl(?:pat|dt|rt|ptt)-([\w.-]{20,})`), mixed}}},
		{"stripe-key", []referenceForm{{form(`[sr]k_live_([A-Za-z0-9]{16,})`), all}, {form(`whsec_([A-Za-z0-9+/]{24,})`), all}}},
	}
}

var alnum = regexp.MustCompile(`^[A-Za-z0-9]$`)

// wordBegins reports whether a word may begin behind before.
func wordBegins(before []byte) bool {
	last := func(n int) string { // the last n bytes, less where there are not so many
		return string(before[max(0, len(before)-n):])
	}
	return !alnum.MatchString(last(1)) ||
		len(before) >= 2 && last(2)[0] == '\\' || len(before) >= 3 && last(3)[0] == '%' || len(before) >= 6 && last(6)[:2] == `\u`
}

func (r reference) find(text []byte) []detect.Finding {
	var found []detect.Finding
	for start := 0; start < len(text); start++ {
		if !wordBegins(text[:start]) {
			continue
		}
		for _, f := range r.forms {
			m := f.form.FindSubmatch(text[start:])
			if m == nil || !f.also(string(m[1][:min(len(m[1]), 64)])) {
				continue
			}
			found = append(found, detect.Finding{Start: start, End: start + len(m[0]), Detector: r.detector})
			start += len(m[0]) - 1
			break
		}
	}
	return found
}
