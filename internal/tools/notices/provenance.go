package main

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// statement is an in-toto statement, v1, with a SLSA provenance, v1, as its predicate:
// https://slsa.dev/spec/v1.0/provenance. It contains no times and no random ids, so two builds
// of one commit have the same statement.
type statement struct {
	Type          string     `json:"_type"`
	Subject       []resource `json:"subject"`
	PredicateType string     `json:"predicateType"`
	Predicate     provenance `json:"predicate"`
}

type resource struct {
	Name   string            `json:"name,omitempty"`
	URI    string            `json:"uri,omitempty"`
	Digest map[string]string `json:"digest,omitempty"`
}

type provenance struct {
	BuildDefinition struct {
		BuildType          string            `json:"buildType"`
		ExternalParameters map[string]string `json:"externalParameters"`
		InternalParameters map[string]string `json:"internalParameters"`
		Dependencies       []resource        `json:"resolvedDependencies"`
	} `json:"buildDefinition"`
	RunDetails struct {
		Builder struct {
			ID string `json:"id"`
		} `json:"builder"`
	} `json:"runDetails"`
}

// release is the input of a provenance.
type release struct {
	target, version, platforms string
	sums                       string // the file SHA256SUMS
	builder                    string // URI of the builder
}

// describe returns the provenance of a release.
func describe(r release) ([]byte, error) {
	subjects, err := subjectsOf(r.sums)
	if err != nil {
		return nil, err
	}
	s := statement{Type: "https://in-toto.io/Statement/v1", Subject: subjects, PredicateType: "https://slsa.dev/provenance/v1"}
	b := &s.Predicate.BuildDefinition
	b.BuildType = "urn:auditrelay:make-release:v1" // target release of the Makefile
	b.ExternalParameters = map[string]string{"version": r.version, "platforms": r.platforms, "target": r.target}
	s.Predicate.RunDetails.Builder.ID = r.builder

	commit, err := command("git", "rev-parse", "HEAD")
	if err != nil {
		return nil, err
	}
	changed, err := command("git", "status", "--porcelain", "--untracked-files=no")
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(changed) != "" {
		return nil, errors.New("tracked files differ from the commit, so that no provenance is true: commit or stash them")
	}
	compiler, err := command("go", "env", "GOVERSION")
	if err != nil {
		return nil, err
	}
	b.InternalParameters = map[string]string{"go": strings.TrimSpace(compiler), "env": "CGO_ENABLED=0", "flags": "-trimpath -ldflags '-s -w -X main.version=" + r.version + "'"}
	b.Dependencies = []resource{{URI: "git+https://auditrelay", Name: "source", Digest: map[string]string{"gitCommit": strings.TrimSpace(commit)}}}
	modules, err := linkedOn(r.target, strings.Fields(r.platforms))
	if err != nil {
		return nil, err
	}
	b.Dependencies = append(b.Dependencies, modules...)
	return json.MarshalIndent(s, "", "  ")
}

// linkedOn returns the modules linked on any of the platforms, with their sums in go.sum.
func linkedOn(target string, platforms []string) ([]resource, error) {
	sums := map[string]string{}
	for _, platform := range platforms {
		system, arch, _ := strings.Cut(platform, "/")
		for key, value := range map[string]string{"GOOS": system, "GOARCH": arch, "CGO_ENABLED": "0"} {
			if err := os.Setenv(key, value); err != nil {
				return nil, err
			}
		}
		modules, err := linked(target)
		if err != nil {
			return nil, err
		}
		for _, m := range modules {
			if m.Path != "std" { // given by the compiler's version
				sums[m.Path+"@"+m.Version] = m.sum
			}
		}
	}
	var all []resource
	for name, sum := range sums {
		raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(sum, "h1:"))
		if err != nil || len(raw) == 0 {
			return nil, fmt.Errorf("module %s has no sum in go.sum", name)
		}
		all = append(all, resource{URI: "pkg:golang/" + name, Digest: map[string]string{"dirHash": hex.EncodeToString(raw)}})
	}
	slices.SortFunc(all, func(a, b resource) int { return strings.Compare(a.URI, b.URI) })
	return all, nil
}

// subjectsOf reads a file in the format of sha256sum.
func subjectsOf(file string) (all []resource, err error) {
	text, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		digest, name, ok := strings.Cut(strings.TrimSpace(line), "  ")
		if raw, err := hex.DecodeString(digest); !ok || err != nil || len(raw) != 32 {
			return nil, fmt.Errorf("%s: %q is not a line of sha256sum", file, line)
		}
		all = append(all, resource{Name: name, Digest: map[string]string{"sha256": digest}})
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s is empty", file)
	}
	return all, nil
}
