package compile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"auditrelay/internal/confine"
)

// Exit codes of the helper.
const (
	exitOK      = 0
	exitRefused = 10 // the compiler refused; standard error contains its message
	exitUsage   = 11
	exitGo      = 2 // exit code of Go's runtime when it cannot get memory
)

// Marker is set in the helper's environment. A program that is started as a helper and does not
// know that it is one must not start another.
const Marker = "AUDITRELAY_COMPILING"

// run runs the helper and reports how it ended.
func run(ctx context.Context, wasm []byte, dir string, o Options) error {
	if len(o.Command) == 0 {
		return errors.New("compile: no helper is named")
	}
	bounded, cancel := context.WithTimeout(ctx, o.wall())
	defer cancel()
	words := &head{}
	cmd, _, err := confine.Start(func() (*exec.Cmd, error) {
		cmd := exec.CommandContext(bounded, o.Command[0], append(o.Command[1:len(o.Command):len(o.Command)], o.arguments(dir, len(wasm))...)...) //nolint:gosec // the operator's own program
		cmd.Env = []string{"GOTRACEBACK=none", "GOMAXPROCS=1", Marker + "=1"}
		cmd.Stdin = bytes.NewReader(wasm)
		cmd.Stderr = words
		cmd.WaitDelay = 5 * time.Second
		return cmd, nil
	})
	if err == nil {
		err = cmd.Wait()
	}
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
	case exit.UserTime()+exit.SystemTime() >= o.cpu(len(wasm))*4/5 && !exit.Exited(): // the kernel counts the limit in ticks
		return &LimitError{"CPU time", o.cpu(len(wasm)).String()}
	case exit.ExitCode() == exitRefused:
		return fmt.Errorf("compile: %s", words)
	case exit.ExitCode() == exitGo && strings.Contains(words.String(), "out of memory"), strings.Contains(words.String(), "cannot allocate memory"):
		return &LimitError{"memory", o.memory().String()}
	}
	return fmt.Errorf("the helper that compiles ended after %v of processor time with %w: %s", exit.UserTime()+exit.SystemTime(), err, words)
}

// head keeps the first bytes written to it.
type head struct{ text []byte }

const maxWords = 2 << 10

func (t *head) Write(p []byte) (int, error) {
	t.text = append(t.text, p[:min(len(p), maxWords-len(t.text))]...)
	return len(p), nil
}

func (t *head) String() string { return strings.ToValidUTF8(strings.TrimSpace(string(t.text)), "?") }
