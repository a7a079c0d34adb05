package cli

import (
	"fmt"
	"math"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"auditrelay"
	"auditrelay/cli/internal/app"
)

type serveCommand struct {
	Config      string              `help:"The configuration, auditrelay's or LiteLLM's." short:"c" default:"auditrelay.yaml" placeholder:"FILE" type:"path"`
	Listen      string              `help:"Listen on this address instead of the configuration's." placeholder:"HOST:PORT"`
	DataDir     string              `help:"Use this data directory instead of the configuration's." placeholder:"DIR" type:"path"`
	MemoryLimit auditrelay.ByteSize `help:"Memory target of the garbage collector, unless GOMEMLIMIT is set; 0 for no limit." default:"160MiB" placeholder:"SIZE"`
	AddressFile string              `help:"Write the listening address to this file; useful with port 0." placeholder:"FILE" type:"path"`
}

func (c *serveCommand) Run(a *program) error {
	if os.Getenv("GOMEMLIMIT") == "" && c.MemoryLimit > 0 {
		defer debug.SetMemoryLimit(debug.SetMemoryLimit(int64(min(c.MemoryLimit, math.MaxInt64))))
	}
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	if err := readable(c.Config); err != nil {
		return err
	}
	return app.Run(a.ctx, app.Options{
		ConfigFile: c.Config, Listen: c.Listen, DataDir: c.DataDir,
		Sinks: makers(a.sinks), Compiler: compiler(),
		AddressFile: c.AddressFile, Reload: hangups, Version: a.version, Log: a.stderr,
	})
}

// readable tells a missing configuration from a bad one.
func readable(file string) error {
	if _, err := os.Stat(file); err != nil {
		return fmt.Errorf("%w; give the configuration by --config", err)
	}
	return nil
}

func makers(sinks map[string]SinkMaker) map[string]app.SinkMaker {
	out := make(map[string]app.SinkMaker, len(sinks))
	for name, maker := range sinks {
		out[name] = maker
	}
	return out
}
