package cli

import (
	"math"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"auditrelay"
	"auditrelay/cli/internal/app"
)

type serveCommand struct {
	configFile
	Listen      string              `help:"Listen on this address instead of the configuration's." placeholder:"HOST:PORT"`
	DataDir     string              `help:"Use this data directory instead of the configuration's." placeholder:"DIR" type:"path"`
	MemoryLimit auditrelay.ByteSize `help:"Memory target of the garbage collector, unless GOMEMLIMIT is set; 0 for no limit." default:"160MiB" placeholder:"SIZE"`
	AddressFile string              `help:"Write the listening address to this file; useful with port 0." placeholder:"FILE" type:"path"`
}

func (c *serveCommand) Run(a *program) error {
	if os.Getenv("GOMEMLIMIT") == "" && c.MemoryLimit > 0 {
		defer debug.SetMemoryLimit(debug.SetMemoryLimit(int64(min(c.MemoryLimit, math.MaxInt64))))
	}
	// If the reader of standard output or of the log is gone, the write fails but the process
	// continues.
	signal.Ignore(syscall.SIGPIPE)
	defer signal.Reset(syscall.SIGPIPE)
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	files, err := c.files()
	if err != nil {
		return err
	}
	return app.Run(a.ctx, app.Options{
		ConfigFile: files[0], MoreConfig: files[1:], Listen: c.Listen, DataDir: c.DataDir,
		Sinks: makers(a.sinks), Compiler: compiler(), Worker: guestWorker(),
		AddressFile: c.AddressFile, Reload: hangups, Version: a.version, Log: a.stderr,
	})
}

func makers(sinks map[string]SinkMaker) map[string]app.SinkMaker {
	out := make(map[string]app.SinkMaker, len(sinks))
	for name, maker := range sinks {
		out[name] = maker
	}
	return out
}
