package redact

import (
	"embed"
	"fmt"
	"slices"
	"strings"
)

//go:embed presets/*.yaml
var files embed.FS

// Presets returns the names of the policies that come with the relay.
func Presets() []string {
	entries, _ := files.ReadDir("presets") // embedded: it is there
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".yaml"))
	}
	slices.Sort(names)
	return names
}

// Preset returns the text of a preset, YAML of Options.
func Preset(name string) ([]byte, error) {
	if !slices.Contains(Presets(), name) {
		return nil, fmt.Errorf("there is no such preset: there are %s", strings.Join(Presets(), ", "))
	}
	return files.ReadFile("presets/" + name + ".yaml")
}
