package readmetest

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var testName = regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z][A-Za-z0-9]+`)

// TestEveryClaimNamesItsTest checks that each claim on the security page names a test, and that
// every test named on any page exists.
func TestEveryClaimNamesItsTest(t *testing.T) {
	there := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	walk(t, "../..", "_test.go", func(_, text string) {
		for _, m := range declared.FindAllStringSubmatch(text, -1) {
			there[m[1]] = true
		}
	})
	if len(there) < 1000 {
		t.Fatalf("only %d tests were found", len(there))
	}
	walk(t, "../../docs", ".md", func(page, text string) {
		for _, name := range testName.FindAllString(text, -1) {
			if !there[name] {
				t.Errorf("%s names %s, and there is no such test", page, name)
			}
		}
	})
	text, err := os.ReadFile("../../docs/design/security.md")
	if err != nil {
		t.Fatal(err)
	}
	claims := 0
	for section := range strings.SplitSeq(string(text), "\n## ") {
		if !strings.HasPrefix(section, "What holds") {
			continue
		}
		for _, claim := range strings.Split(section, "\n- ")[1:] {
			if claims++; !testName.MatchString(claim) {
				t.Errorf("no test is named for: %.80s", claim)
			}
		}
	}
	if claims < 30 {
		t.Errorf("only %d claims were found", claims)
	}
}

// walk calls fn for each file below dir with this suffix.
func walk(t *testing.T, dir, end string, fn func(name, text string)) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && strings.HasPrefix(e.Name(), ".") && len(e.Name()) > 2 {
			return filepath.SkipDir
		}
		if e.IsDir() || !strings.HasSuffix(name, end) {
			return nil
		}
		text, err := os.ReadFile(name)
		if err == nil {
			fn(name, string(text))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
