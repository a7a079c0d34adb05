// Package cli is auditrelay's command line. A program with its own sinks calls Main with them:
//
//	os.Exit(cli.Main(os.Args[1:], cli.Options{Sinks: map[string]cli.SinkMaker{"mine": newMine}}))
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	goruntime "runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"auditrelay"
	"auditrelay/builtin/wasm"
	"auditrelay/cli/internal/api"
	"auditrelay/config"

	"github.com/alecthomas/kong"
)

// SinkMaker creates a sink from its options in the configuration. It must do no I/O: to check a
// configuration, the command line creates its sinks and closes them again if they are
// io.Closers. Errors of single options are *auditrelay.OptionError, joined; the command line
// adds file and line to them.
type SinkMaker = func(config.Section) (auditrelay.Sink, error)

// Options extend the command line. The zero value is auditrelay itself.
type Options struct {
	// Sinks has sinks in addition to the built-in ones, by their name in YAML.
	Sinks map[string]SinkMaker
	// Version is the output of the version command. Default: what the build recorded.
	Version string

	// Stdin, Stdout and Stderr; default: the process's own.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// program is one call of Main.
type program struct {
	ctx     context.Context
	parser  *kong.Kong
	sinks   map[string]SinkMaker
	version api.Version
	stdin   io.Reader
	stdout  io.Writer
	stderr  io.Writer
}

// grammar defines the command line.
type grammar struct {
	PrintVersion kong.VersionFlag `name:"version" help:"Print the version and exit."`

	Serve      serveCommand      `cmd:"" help:"Run the relay."`
	Init       initCommand       `cmd:"" help:"Write a configuration: by flags, or asking on a terminal."`
	Validate   validateCommand   `cmd:"" help:"Check a configuration, and with --online its destinations."`
	Config     configCommands    `cmd:"" help:"Work on configurations."`
	Send       sendCommand       `cmd:"" help:"Send events from a file to a relay."`
	Callbacks  callbackCommands  `cmd:"" aliases:"callback" help:"Show callbacks with their accounts; pause, resume, detach, attach one."`
	Sink       sinkCommands      `cmd:"" help:"Send a marked test event to a callback's destination."`
	Deliveries deliveriesCommand `cmd:"" aliases:"delivery" help:"Show payloads with their attempts: bytes sent, the answer, the time of the next try."`
	DeadLetter deadLetterCommand `cmd:"" help:"Show, replay or discard dead letters."`
	Quarantine quarantineCommand `cmd:"" help:"Show, replay or delete invalid input."`
	Replay     replayCommands    `cmd:"" help:"Deliver a range of events again, or cancel such a replay."`
	Explain    explainCommand    `cmd:"" help:"Show one event's outcome on each callback."`
	Audit      auditCommands     `cmd:"" help:"Search and export the store (role comply)."`
	Store      storeCommands     `cmd:"" help:"Verify the store against its proofs, and rebuild it from the journal."`
	Prove      proveCommand      `cmd:"" help:"Write files that prove an event's outcomes (role comply)."`
	Proven     provenCommand     `cmd:"" name:"verify-proof" help:"Check a proof that prove wrote, offline."`
	Report     reportCommand     `cmd:"" help:"Report on a period: accepted, delivered and withheld events, reasons, operators' acts, and how to verify them."`
	Complete   completeCommand   `cmd:"" name:"completeness" help:"Show by day whether every event has its outcome, and whether the logs of proofs match their signatures."`
	Receipts   receiptsCommands  `cmd:"" help:"Show each event's filters, versions, edits, outcomes and digests."`
	Reconcile  reconcileCommand  `cmd:"" help:"Compare LiteLLM's table with the journal, both ways (role comply)."`
	Tap        tapCommand        `cmd:"" help:"Show events as they pass (role comply; needs tap in the configuration)."`
	Test       testCommand       `cmd:"" help:"Run a configuration's tests of its callbacks."`
	Try        tryCommand        `cmd:"" help:"Show what a callback's filters do to sample or stored events."`
	Guest      guestCommands     `cmd:"" help:"Create, inspect, pack and test WebAssembly guests."`
	Module     moduleCommands    `cmd:"" help:"Upload WebAssembly modules, and switch filters between them."`
	Detectors  detectorCommands  `cmd:"" help:"List and show detectors, and try them on a file."`
	Shadow     shadowCommands    `cmd:"" help:"Try another module or policy on live events without delivering, and compare."`
	Rollout    rolloutCommands   `cmd:"" help:"Roll a new version of a filter out to a share of the events, with automatic rollback."`
	Policy     policyCommands    `cmd:"" help:"Show policies, and compare two of them on events."`
	Decrypt    decryptCommand    `cmd:"" help:"Print a text with its encrypted values decrypted; needs the key, works offline."`
	Pseudonym  pseudonymCommand  `cmd:"" help:"Find a value's pseudonyms; the look-up is recorded (role comply)."`
	Verify     verifyCommand     `cmd:"" help:"Check delivered data against its signed proofs, offline."`
	Proof      proofCommands     `cmd:"" help:"Make keys that sign proofs."`
	Fleet      fleetCommands     `cmd:"" help:"Show the relays that share a journal; drain one before you stop it."`
	Control    controlCommands   `cmd:"" help:"Read the relay's own records of all acts."`
	Approvals  approvalsCommands `cmd:"" help:"Approve or reject acts that need several principals."`
	Keyring    keyringCommands   `cmd:"" help:"List encryption periods, and erase one by destroying its key."`
	Reload     reloadCommand     `cmd:"" help:"Make a running relay read its configuration again."`
	Backup     backupCommands    `cmd:"" help:"Back up a running relay's journal and store, on its machine; verify a backup."`
	Restore    restoreCommand    `cmd:"" help:"Create a data directory from a backup."`
	Journal    journalCommands   `cmd:"" help:"Recover a journal whose files are damaged."`
	Migrate    migrateCommand    `cmd:"" help:"Convert a data directory to this program's format."`
	Version    versionCommand    `cmd:"" help:"Print the version."`
	Completion completionCommand `cmd:"" help:"Print a completion script for a shell."`
}

// Main runs one command and returns the process's exit code. To compile a guest, the relay runs
// its own program again. So args must be the process's own, os.Args[1:], and the program must
// do nothing before that prevents this.
func Main(args []string, o Options) int {
	a := &program{sinks: o.Sinks, version: version(o.Version), stdin: o.Stdin, stdout: o.Stdout, stderr: o.Stderr}
	if a.stdin == nil {
		a.stdin = os.Stdin
	}
	if a.stdout == nil {
		a.stdout = os.Stdout
	}
	if a.stderr == nil {
		a.stderr = os.Stderr
	}
	if len(args) > 0 && args[0] == guestCommand {
		return wasm.RunWorker(args[1:])
	}
	if len(args) > 0 && args[0] == compileCommand {
		return a.compile(args[1:])
	}
	err := a.run(args)
	code := exitCode(err)
	switch {
	case err == nil:
	case code == ExitInterrupted:
		fmt.Fprintln(a.stderr, "auditrelay: interrupted")
	default:
		within(5*time.Second, func() { a.tell(err) })
	}
	return code
}

// tell writes err for users: one line for each fault.
func (a *program) tell(err error) {
	if all, ok := errors.AsType[config.Errors](err); ok && err.Error() == all.Error() {
		for _, one := range all {
			fmt.Fprintf(a.stderr, "%s\n", escaped([]byte(one.Error())))
		}
		return
	}
	fmt.Fprintf(a.stderr, "auditrelay: %s\n", escaped([]byte(strings.ReplaceAll(err.Error(), "\n", "\n  "))))
	if h := hint(err); h != "" {
		fmt.Fprintf(a.stderr, "  hint: %s\n", h)
	}
}

func (a *program) run(args []string) error {
	var g grammar
	exited := false
	parser, err := kong.New(&g,
		kong.Name("auditrelay"),
		kong.Description("Accepts audit events, stores them durably, and delivers them through filters to their destinations."),
		kong.Writers(a.stdout, a.stderr),
		kong.Exit(func(int) { exited = true }), // --help was handled
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.Vars{"server": "http://127.0.0.1:8787", "version": a.version.String()},
	)
	if err != nil {
		return err
	}
	a.parser = parser
	parsed, err := parser.Parse(args)
	if exited {
		return nil
	}
	if err != nil {
		return usageError{fmt.Errorf("%w (see %s --help)", err, commandOf(err))}
	}
	ctx, stop := a.untilSignal()
	defer stop()
	a.ctx = ctx
	return parsed.Run(a)
}

// commandOf returns the command to which a command line error belongs, as far as it was parsed.
func commandOf(err error) string {
	name := "auditrelay"
	if fault, ok := errors.AsType[*kong.ParseError](err); ok {
		for _, at := range fault.Context.Path {
			if at.Command != nil && at.Command.Tag.Default == "" { // otherwise the user may not have given it
				name += " " + at.Command.Name
			}
		}
	}
	return name
}

// untilSignal returns a context that the first signal ends. The second signal ends the process
// at any point, since accepted events are durable.
func (a *program) untilSignal() (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		select {
		case <-signals:
			cancel()
		case <-done:
			return
		}
		select {
		case <-signals:
			a.lastWord("auditrelay: a second signal ended it at once")
			os.Exit(ExitInterrupted)
		case <-done:
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel()
	}
}

// lastWord writes a line to standard error. It gives up at once if the reader is blocked.
func (a *program) lastWord(line string) {
	within(100*time.Millisecond, func() { fmt.Fprintln(a.stderr, line) })
}

// within waits at most d for write, which a blocked reader may delay.
func within(d time.Duration, write func()) {
	written := make(chan struct{})
	go func() {
		defer close(written)
		write()
	}()
	select {
	case <-written:
	case <-time.After(d):
	}
}

type versionCommand struct {
	JSON bool `help:"Print JSON."`
}

func (c *versionCommand) Run(a *program) error {
	if c.JSON {
		return a.printJSON(a.version)
	}
	_, err := fmt.Fprintln(a.stdout, a.version.String())
	return err
}

// version returns the given version, or what the build recorded.
func version(given string) api.Version {
	v := api.Version{Version: given, Go: goruntime.Version()}
	info, ok := debug.ReadBuildInfo()
	if ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				v.Revision = s.Value
			}
		}
	}
	if v.Version == "" && ok && info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	if v.Version == "" {
		v.Version = "(devel)"
	}
	return v
}
