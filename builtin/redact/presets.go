package redact

import (
	"embed"
	"fmt"
	"slices"
	"strings"
)

//go:embed presets/*.yaml
var files embed.FS

// Presets returns the names of the built-in policies.
func Presets() []string {
	entries, _ := files.ReadDir("presets") // cannot fail: the files are embedded
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".yaml"))
	}
	slices.Sort(names)
	return names
}

// Preset returns a preset's text: Options in YAML.
func Preset(name string) ([]byte, error) {
	if !slices.Contains(Presets(), name) {
		return nil, fmt.Errorf("no such preset: the presets are %s", strings.Join(Presets(), ", "))
	}
	return files.ReadFile("presets/" + name + ".yaml")
}
