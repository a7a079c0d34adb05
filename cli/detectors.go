package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"auditrelay/cli/internal/app"
	"auditrelay/internal/detect"
)

type detectorCommands struct {
	List detectorList `cmd:"" help:"List the built-in detectors and a configuration's own."`
	Show detectorShow `cmd:"" help:"Print one detector: its form, what it finds, and examples."`
	Test detectorTest `cmd:"" help:"Show what each detector finds in a file, and where. Values are never printed."`
}

type detectorConfig struct {
	Config []string `help:"A configuration with detectors of its own. Repeatable, for several files." short:"c" placeholder:"FILE" type:"path" sep:"none"`
	JSON   bool     `help:"Print JSON."`
}

type detectorList struct {
	detectorConfig

	Group string `help:"Only those of one group." placeholder:"NAME"`
}

// detectorInfo is a detector in JSON.
type detectorInfo struct {
	Name            string   `json:"name"`
	Groups          []string `json:"groups"`
	Finds           string   `json:"finds,omitempty"`
	DoesNotFind     string   `json:"does_not_find,omitempty"`
	Forms           []string `json:"forms,omitempty"`
	Prefix          []string `json:"prefix,omitempty"`
	Alphabet        string   `json:"alphabet,omitempty"`
	Keywords        []string `json:"keywords,omitempty"`
	Entropy         float64  `json:"entropy,omitempty"`
	Exact           bool     `json:"exact,omitempty"`
	Under           []string `json:"under,omitempty"`
	Check           string   `json:"check,omitempty"`
	Near            []string `json:"near,omitempty"`
	Examples        []string `json:"examples,omitempty"`
	CounterExamples []string `json:"counter_examples,omitempty"`
	Source          string   `json:"source,omitempty"`
}

func infoOf(i *detect.Info) detectorInfo {
	out := detectorInfo{Name: i.Name, Groups: i.Groups, Finds: i.Finds, DoesNotFind: i.DoesNotFind, Source: i.Source}
	if r := i.Rule; r != nil {
		out.DoesNotFind = ""
		out.Forms, out.Prefix, out.Alphabet, out.Keywords, out.Entropy, out.Exact, out.Under = r.Forms, r.Prefixes, r.Alphabet, r.Keywords, r.Entropy, r.Exact, r.Under
		out.Check, out.Near = r.Check, r.Near
		out.Examples, out.CounterExamples = r.Examples, r.CounterExamples
	} else if i.Example != "" {
		out.Examples, out.Source = []string{i.Example}, "code"
	}
	return out
}

func (c *detectorList) Run(a *program) error {
	catalogue, err := app.OpenDetectors(c.Config, makers(a.sinks))
	if err != nil {
		return err
	}
	if groups := catalogue.Groups(); c.Group != "" && !slices.Contains(groups, c.Group) {
		return fmt.Errorf("no group %q: expected one of %s", c.Group, strings.Join(groups, ", "))
	}
	all := []detectorInfo{}
	infos := catalogue.All()
	for i := range infos {
		if c.Group == "" || slices.Contains(infos[i].Groups, c.Group) {
			all = append(all, infoOf(&infos[i]))
		}
	}
	if c.JSON {
		return a.printJSON(struct {
			Pack       string          `json:"pack"`
			Digest     string          `json:"digest"`
			Detectors  []detectorInfo  `json:"detectors"`
			Exceptions []exceptionInfo `json:"exceptions,omitempty"`
		}{detect.PackVersion(), catalogue.Digest(), all, exceptionsOf(catalogue)})
	}
	fmt.Fprintf(a.stdout, "# %d detectors, shipped rules %s, digest %s\n", len(all), detect.PackVersion(), catalogue.Digest())
	for _, d := range all {
		fmt.Fprintf(a.stdout, "%-42s %-28s %s\n", d.Name, strings.Join(d.Groups, ","), firstSentence(d.Finds))
	}
	for i, e := range catalogue.Exceptions() {
		fmt.Fprintf(a.stdout, "exception %d: detector %s, path %s, sha256 %s: %s\n", i, orAny(e.Detector), orAny(e.Path), orAny(e.SHA256), printable(e.Reason))
	}
	return nil
}

// exceptionInfo is an exception in JSON. A metric of the running relay counts its uses; this
// command only reads the configuration.
type exceptionInfo struct {
	Detector string `json:"detector,omitempty"`
	Path     string `json:"path,omitempty"`
	SHA256   string `json:"sha256,omitempty"`
	Reason   string `json:"reason"`
}

func exceptionsOf(c *detect.Catalogue) (all []exceptionInfo) {
	for _, e := range c.Exceptions() {
		all = append(all, exceptionInfo{e.Detector, e.Path, e.SHA256, e.Reason})
	}
	return all
}

func orAny(s string) string {
	if s == "" {
		return "any"
	}
	return s
}

// firstSentence returns the part that fits on a line of a list.
func firstSentence(s string) string {
	s, _, _ = strings.Cut(s, ". ")
	if runes := []rune(s); len(runes) > 100 {
		return string(runes[:97]) + "..."
	}
	return s
}

type detectorShow struct {
	detectorConfig

	Name string `arg:"" help:"A detector's name, as list prints it."`
}

func (c *detectorShow) Run(a *program) error {
	catalogue, err := app.OpenDetectors(c.Config, makers(a.sinks))
	if err != nil {
		return err
	}
	infos := catalogue.All()
	i := slices.IndexFunc(infos, func(d detect.Info) bool { return d.Name == c.Name })
	if i < 0 {
		if _, err := catalogue.Set(c.Name); err == nil {
			return fmt.Errorf("%s is a group: see auditrelay detectors list --group %s", c.Name, c.Name)
		}
		return fmt.Errorf("no detector %q: see auditrelay detectors list", c.Name)
	}
	d := infoOf(&infos[i])
	if c.JSON {
		return a.printJSON(d)
	}
	for _, line := range []struct {
		title string
		texts []string
	}{
		{"name", []string{d.Name}}, {"groups", d.Groups}, {"finds", []string{d.Finds}}, {"does not find", []string{d.DoesNotFind}}, {"form", d.Forms},
		{"prefix", d.Prefix}, {"alphabet", []string{d.Alphabet}}, {"keyword", d.Keywords}, {"under", d.Under}, {"check", []string{d.Check}}, {"near", d.Near}, {"example", d.Examples},
		{"counter-example", d.CounterExamples}, {"source", []string{d.Source}},
	} {
		for _, text := range line.texts {
			if text != "" {
				fmt.Fprintf(a.stdout, "%-16s %s\n", line.title, printable(text))
			}
		}
	}
	if d.Entropy > 0 {
		fmt.Fprintf(a.stdout, "%-16s %v bits a character\n", "least entropy", d.Entropy)
	}
	return nil
}

type detectorTest struct {
	detectorConfig

	File      string   `arg:"" help:"A file of events, one a line, or of text; - for standard input."`
	Detectors []string `help:"Which detectors or groups to use. Default: secrets." placeholder:"NAME"`
}

// maxTestFile limits the size of a tested file, in bytes.
const maxTestFile = 64 << 20

func (c *detectorTest) Run(a *program) error {
	catalogue, err := app.OpenDetectors(c.Config, makers(a.sinks))
	if err != nil {
		return err
	}
	if len(c.Detectors) == 0 {
		c.Detectors = []string{"secrets"}
	}
	set, err := catalogue.Set(c.Detectors...)
	if err != nil {
		return err
	}
	in := a.stdin
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	found, lines, err := findInFile(catalogue, set, in)
	if err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	if c.JSON {
		return a.printJSON(found)
	}
	for _, f := range found {
		where := "text"
		if f.Path != "" {
			where = printable(f.Path)
		}
		fmt.Fprintf(a.stdout, "line %d: %s: %s, bytes %d to %d, sha256 %s\n", f.Line, where, f.Detector, f.Start, f.Start+f.Bytes, f.SHA256)
	}
	fmt.Fprintf(a.stdout, "%d findings in %d lines\n", len(found), lines)
	return nil
}

// findInFile searches events, one a line, or a text as a whole, since a key in PEM has several
// lines.
func findInFile(catalogue *detect.Catalogue, set *detect.Set, in io.Reader) (found []app.Found, lines int, err error) {
	data, err := io.ReadAll(io.LimitReader(in, maxTestFile+1))
	switch {
	case err != nil:
		return nil, 0, err
	case len(data) > maxTestFile:
		return nil, 0, fmt.Errorf("larger than %d MiB", maxTestFile>>20)
	}
	found = []app.Found{}
	if trimmed := bytes.TrimSpace(data); len(trimmed) == 0 || trimmed[0] != '{' {
		for _, f := range app.FindIn(catalogue, set, 0, data) {
			f.Line = bytes.Count(data[:f.Start], []byte("\n")) + 1
			f.Start -= bytes.LastIndexByte(data[:f.Start], '\n') + 1
			found = append(found, f)
		}
		return found, bytes.Count(data, []byte("\n")), nil
	}
	for line := range bytes.Lines(data) {
		lines++
		found = append(found, app.FindIn(catalogue, set, lines, line)...)
	}
	return found, lines, nil
}
