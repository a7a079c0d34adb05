// Command configdoc writes docs/reference/configuration.md, the configuration reference, from
// the Go source: the structs' yaml and range tags and their doc comments. It also writes
// config/defaults.txt, the defaults in these comments. go generate ./config runs it. A test
// fails if a file is stale.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	root := flag.String("root", "", "the repository's root; default: the directory above this one that holds go.mod")
	flag.Parse()
	if err := run(*root); err != nil {
		fmt.Fprintln(os.Stderr, "configdoc:", err)
		os.Exit(1)
	}
}

func run(root string) error {
	if root == "" {
		var err error
		if root, err = findRoot(); err != nil {
			return err
		}
	}
	text, defaults, err := render(root)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, filepath.FromSlash(defaultsOutput)), defaults, 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(root, filepath.FromSlash(output)), text, 0o644)
}

func findRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("no go.mod above the working directory")
		}
		dir = parent
	}
}
