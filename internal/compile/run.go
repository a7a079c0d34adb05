package compile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	goruntime "runtime"
	"strings"
	"time"
)

// Exit codes of the helper.
const (
	exitOK      = 0
	exitRefused = 10 // the compiler said no; standard error has its words
	exitUsage   = 11
	exitGo      = 2 // Go's runtime, when it can get no memory
)

// Marker is set in the helper's environment: a program that is run as one and does
// not know it must not run another in its turn.
const Marker = "AUDITRELAY_COMPILING"

// run runs the helper and tells how it ended.
func run(ctx context.Context, wasm []byte, dir string, o Options) error {
	if len(o.Command) == 0 {
		return errors.New("compile: no helper is named")
	}
	bounded, cancel := context.WithTimeout(ctx, o.wall())
	defer cancel()
	cmd := exec.CommandContext(bounded, o.Command[0], append(o.Command[1:len(o.Command):len(o.Command)], o.arguments(dir)...)...) //nolint:gosec // the operator's own program
	cmd.Env = []string{"GOTRACEBACK=none", "GOMAXPROCS=1", Marker + "=1"}
	cmd.Stdin = bytes.NewReader(wasm)
	words := &head{}
	cmd.Stderr = words
	cmd.WaitDelay = 5 * time.Second
	isolate(cmd)
	// The helper ends with the thread that started it, on systems that can do that.
	goruntime.LockOSThread()
	defer goruntime.UnlockOSThread()
	err := cmd.Run()
	if err == nil {
		return nil
	}
	exit, ended := errors.AsType[*exec.ExitError](err)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("compile: %w", ctx.Err())
	case bounded.Err() != nil:
		return &LimitError{"time", o.wall().String()}
	case !ended:
		return fmt.Errorf("start the helper that compiles: %w", err)
	case exit.UserTime()+exit.SystemTime() >= o.cpu()-200*time.Millisecond && !exit.Exited():
		return &LimitError{"CPU time", o.cpu().String()}
	case exit.ExitCode() == exitRefused:
		return fmt.Errorf("compile: %s", words)
	case exit.ExitCode() == exitGo && strings.Contains(words.String(), "out of memory"), strings.Contains(words.String(), "cannot allocate memory"):
		return &LimitError{"memory", o.memory().String()}
	}
	return fmt.Errorf("the helper that compiles ended with %w: %s", err, words)
}

// head keeps the first bytes of what is written to it.
type head struct{ text []byte }

const maxWords = 2 << 10

func (t *head) Write(p []byte) (int, error) {
	t.text = append(t.text, p[:min(len(p), maxWords-len(t.text))]...)
	return len(p), nil
}

func (t *head) String() string { return strings.ToValidUTF8(strings.TrimSpace(string(t.text)), "?") }
