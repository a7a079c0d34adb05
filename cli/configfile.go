package cli

import (
	"fmt"
	"os"
)

// configFile names the configuration, by position or by flag, alike in every command
// that needs nothing else.
type configFile struct {
	Path   string `arg:"" optional:"" name:"file" help:"The configuration, auditrelay's or LiteLLM's, or a directory of files. Default: auditrelay.yaml." type:"path"`
	Config string `help:"The same, as a flag." short:"c" placeholder:"FILE" type:"path"`
}

// defaultConfig is the configuration that is read where none is named.
const defaultConfig = "auditrelay.yaml"

// file returns the configuration's name. It is an error if there is no such file.
func (c configFile) file() (string, error) {
	name := c.Path
	switch {
	case c.Path != "" && c.Config != "" && c.Path != c.Config:
		return "", usage("two configurations are named, %s and --config %s: give one", c.Path, c.Config)
	case c.Path == "":
		name = c.Config
	}
	if name == "" {
		name = defaultConfig
	}
	return name, readable(name)
}

// readable tells a missing configuration from a bad one.
func readable(file string) error {
	if _, err := os.Stat(file); err != nil {
		return fmt.Errorf("%w; name the configuration: FILE or --config FILE", err)
	}
	return nil
}
