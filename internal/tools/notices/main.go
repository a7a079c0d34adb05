// Command notices writes a release's files about its linked modules: THIRD_PARTY_NOTICES.txt
// with their licences, and sbom.cdx.json, a software bill of materials in CycloneDX 1.6. make
// release runs it, with GOOS and GOARCH set as for the build. With -provenance it writes the
// build's provenance instead. It fails on a module without a licence, or with one that is not
// permissive.
package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	target := flag.String("target", "./cmd/auditrelay", "the package that is released")
	version := flag.String("version", "dev", "the release's version")
	out := flag.String("out", ".", "the folder to write to")
	sums := flag.String("provenance", "", "write the provenance of the files in this SHA256SUMS to standard output")
	platforms := flag.String("platforms", "", "the platforms of the release, with -provenance")
	builder := flag.String("builder", "urn:auditrelay:builder:unknown", "URI of who builds, with -provenance")
	flag.Parse()
	if *sums != "" {
		text, err := describe(release{target: *target, version: *version, platforms: *platforms, sums: *sums, builder: *builder})
		if err != nil {
			fmt.Fprintln(os.Stderr, "notices:", err)
			os.Exit(1)
		}
		fmt.Printf("%s\n", text)
		return
	}
	if err := run(*target, *version, *out); err != nil {
		fmt.Fprintln(os.Stderr, "notices:", err)
		os.Exit(1)
	}
}

func run(target, version, out string) error {
	modules, err := linked(target)
	if err != nil {
		return err
	}
	sbom, err := json.MarshalIndent(billOfMaterials(modules, version), "", "  ")
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(out, "THIRD_PARTY_NOTICES.txt"), notices(modules), 0o644),
		os.WriteFile(filepath.Join(out, "sbom.cdx.json"), append(sbom, '\n'), 0o644),
	)
}

// module is one linked module. Sum is its line in go.sum ("h1:..."), or empty for the standard
// library.
type module struct {
	Path, Version, Dir string
	sum                string
	licences           []string // SPDX identifiers
	texts              []text
}

// text is one licence file.
type text struct{ name, content string }

// linked returns the modules whose packages are linked into target, by path, and the standard
// library, each with its licences.
func linked(target string) ([]module, error) {
	list, err := command("go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Version}}\t{{.Dir}}{{end}}{{end}}", target)
	if err != nil {
		return nil, err
	}
	lines := strings.Fields(strings.ReplaceAll(list, "\t", "|"))
	slices.Sort(lines)
	sums, err := readSums()
	if err != nil {
		return nil, err
	}
	env, err := command("go", "env", "GOROOT", "GOVERSION")
	if err != nil {
		return nil, err
	}
	root, goVersion, _ := strings.Cut(strings.TrimSpace(env), "\n")
	modules := []module{{Path: "std", Version: goVersion, Dir: root}}
	for _, line := range slices.Compact(lines) {
		parts := strings.Split(line, "|")
		if len(parts) != 3 || parts[2] == "" {
			return nil, fmt.Errorf("module %s is not in the module cache; run go mod download", parts[0])
		}
		modules = append(modules, module{Path: parts[0], Version: parts[1], Dir: parts[2], sum: sums[parts[0]+" "+parts[1]]})
	}
	var problems []error
	for i := range modules {
		problems = append(problems, modules[i].read())
	}
	return modules, errors.Join(problems...)
}

func command(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		err = fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", name, args[0], err)
	}
	return string(out), nil
}

// readSums reads the sums of go.sum by "path version".
func readSums() (map[string]string, error) {
	mod, err := command("go", "env", "GOMOD")
	if err != nil {
		return nil, err
	}
	content, err := os.ReadFile(filepath.Join(filepath.Dir(strings.TrimSpace(mod)), "go.sum"))
	if err != nil {
		return nil, err
	}
	sums := map[string]string{}
	for s := bufio.NewScanner(bytes.NewReader(content)); s.Scan(); {
		if parts := strings.Fields(s.Text()); len(parts) == 3 {
			sums[parts[0]+" "+parts[1]] = parts[2]
		}
	}
	return sums, nil
}

// read finds the module's licence files and identifies their licences.
func (m *module) read() error {
	entries, err := os.ReadDir(m.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := strings.ToUpper(e.Name())
		if e.IsDir() || !slices.ContainsFunc([]string{"LICENSE", "LICENCE", "COPYING", "NOTICE", "PATENTS", "UNLICENSE", "SQLITE-LICENSE"},
			func(prefix string) bool { return strings.HasPrefix(name, prefix) }) || strings.HasSuffix(name, ".GO") {
			continue
		}
		content, err := os.ReadFile(filepath.Join(m.Dir, e.Name()))
		if err != nil {
			return err
		}
		m.texts = append(m.texts, text{e.Name(), string(content)})
		found, bad := identify(string(content))
		if bad != "" {
			return fmt.Errorf("%s %s: %s says %q: no permissive licence", m.Path, m.Version, e.Name(), bad)
		}
		m.licences = append(m.licences, found...)
	}
	if slices.Sort(m.licences); len(m.licences) == 0 {
		return fmt.Errorf("%s %s: no known licence among its files", m.Path, m.Version)
	}
	m.licences = slices.Compact(m.licences)
	return nil
}

// The phrases that identify permissive licences, and those of others.
var (
	phrases = []struct{ phrase, id string }{
		{"apache license version 2.0", "Apache-2.0"},
		{"licensed under the apache license, version 2.0", "Apache-2.0"},
		{"permission is hereby granted, free of charge", "MIT"},
		{"permission to use, copy, modify, and/or distribute", "ISC"},
		{"permission to use, copy, modify, and distribute", "ISC"},
		{"mozilla public license version 2.0", "MPL-2.0"},
		{"mozilla public license, version 2.0", "MPL-2.0"},
		{"this is free and unencumbered software", "Unlicense"},
		{"the author disclaims copyright to this source code", "blessing"},
	}
	// Include the version: the Mozilla licence mentions the GNU licences without being one.
	refused = []string{
		"gnu general public license version", "gnu lesser general public license version", "gnu affero general public license version",
		"server side public license version", "business source license 1",
	}
)

// identify returns the licences of a text as SPDX identifiers. bad is the phrase of a licence
// that must not be linked.
func identify(content string) (ids []string, bad string) {
	plain := strings.Join(strings.Fields(strings.ToLower(content)), " ")
	for _, phrase := range refused {
		if strings.Contains(plain, phrase) {
			return nil, phrase
		}
	}
	for _, p := range phrases {
		if strings.Contains(plain, p.phrase) {
			ids = append(ids, p.id)
		}
	}
	if strings.Contains(plain, "redistribution and use in source and binary forms") {
		if strings.Contains(plain, "endorse or promote products") {
			ids = append(ids, "BSD-3-Clause")
		} else {
			ids = append(ids, "BSD-2-Clause")
		}
	}
	return ids, ""
}

func notices(modules []module) []byte {
	var b bytes.Buffer
	b.WriteString("auditrelay contains the following software, under the following licences.\n\n")
	for _, m := range modules {
		fmt.Fprintf(&b, "%s %s: %s\n", m.Path, m.Version, strings.Join(m.licences, ", "))
	}
	for _, m := range modules {
		for _, t := range m.texts {
			fmt.Fprintf(&b, "\n%s\n%s %s, %s\n\n%s\n", strings.Repeat("=", 80), m.Path, m.Version, t.name, strings.TrimSpace(t.content))
		}
	}
	return b.Bytes()
}

// The parts of CycloneDX in use.
type (
	bom struct {
		Format     string      `json:"bomFormat"`
		Spec       string      `json:"specVersion"`
		Version    int         `json:"version"`
		Metadata   metadata    `json:"metadata"`
		Components []component `json:"components"`
	}
	metadata struct {
		Component component `json:"component"`
	}
	component struct {
		Type     string    `json:"type"`
		Ref      string    `json:"bom-ref"`
		Name     string    `json:"name"`
		Version  string    `json:"version"`
		Purl     string    `json:"purl"`
		Licences []licence `json:"licenses,omitempty"`
		Hashes   []hash    `json:"hashes,omitempty"`
	}
	licence struct {
		License struct {
			ID string `json:"id"`
		} `json:"license"`
	}
	hash struct {
		Alg     string `json:"alg"`
		Content string `json:"content"`
	}
)

func billOfMaterials(modules []module, version string) bom {
	program := componentOf(module{Path: "auditrelay", Version: version, licences: []string{"Apache-2.0"}})
	program.Type = "application"
	b := bom{Format: "CycloneDX", Spec: "1.6", Version: 1, Metadata: metadata{program}}
	for _, m := range modules {
		b.Components = append(b.Components, componentOf(m))
	}
	return b
}

func componentOf(m module) component {
	purl := "pkg:golang/" + m.Path + "@" + m.Version
	c := component{Type: "library", Ref: purl, Name: m.Path, Version: m.Version, Purl: purl}
	for _, id := range m.licences {
		var l licence
		l.License.ID = id
		c.Licences = append(c.Licences, l)
	}
	if sum, ok := strings.CutPrefix(m.sum, "h1:"); ok {
		if raw, err := base64.StdEncoding.DecodeString(sum); err == nil {
			c.Hashes = []hash{{"SHA-256", hex.EncodeToString(raw)}}
		}
	}
	return c
}
