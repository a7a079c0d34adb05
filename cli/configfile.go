package cli

import (
	"fmt"
	"os"
	"slices"
)

// configFile names the configuration, by position or by flag. All commands with no other
// positional argument use it.
type configFile struct {
	Path   []string `arg:"" optional:"" name:"file" help:"The configuration, auditrelay's or LiteLLM's, a directory of files, or several files. Default: auditrelay.yaml." type:"path"`
	Config []string `help:"The same, as a flag. Repeatable." short:"c" placeholder:"FILE" type:"path" sep:"none"`
}

// defaultConfig is the default configuration.
const defaultConfig = "auditrelay.yaml"

// files returns the configuration's files. It returns an error if one does not exist.
func (c configFile) files() ([]string, error) {
	if len(c.Path) > 0 && len(c.Config) > 0 && !slices.Equal(c.Path, c.Config) {
		return nil, usage("%s and --config %s both name a configuration: give all files in one of the two ways", c.Path[0], c.Config[0])
	}
	if len(c.Path) > 0 {
		return readable(c.Path)
	}
	return configFlag{c.Config}.files()
}

// configFlag names the configuration if the positional argument has another meaning.
type configFlag struct {
	Config []string `help:"The configuration, auditrelay's or LiteLLM's, or a directory of files. Repeatable, for several files. Default: auditrelay.yaml." short:"c" placeholder:"FILE" type:"path" sep:"none"`
}

func (c configFlag) files() ([]string, error) {
	if len(c.Config) == 0 {
		return readable([]string{defaultConfig})
	}
	return readable(c.Config)
}

// readable distinguishes a missing configuration from an invalid one.
func readable(files []string) ([]string, error) {
	for _, file := range files {
		if _, err := os.Stat(file); err != nil {
			return nil, fmt.Errorf("%w; name the configuration: FILE or --config FILE", err)
		}
	}
	return files, nil
}
