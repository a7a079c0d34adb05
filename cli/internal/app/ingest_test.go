package app

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"auditrelay/config"
)

// Faults in a source's section are reported at their places, all at once, and without secrets.
func TestSourcesComplaintsHaveTheirPlace(t *testing.T) {
	files, err := filepath.Glob("testdata/ingest/*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			o := newAssembler(t, nil).loadOptions(file)
			o.LookupHost = func(string) ([]string, error) { return nil, errors.New("no resolver here") }
			cfg, err := config.Parse(filepath.Base(file), data, o)
			var b strings.Builder
			if err != nil {
				fmt.Fprintln(&b, err)
			} else {
				for _, n := range cfg.Notes {
					fmt.Fprintf(&b, "line %d: %s: %s\n", n.Line, n.Level, n.Text)
				}
			}
			goldenText(t, strings.TrimSuffix(file, ".yaml")+".txt", b.String())
			if strings.Contains(b.String(), "s3cr3t") {
				t.Error("it shows a secret")
			}
		})
	}
}
