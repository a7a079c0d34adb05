// Package child runs the servers of tests as processes that do not outlive them.
package child

import (
	"os/exec"
	"runtime"
	"testing"
)

// Start starts cmd. It is killed when the test ends, and, on Linux, when the test's
// process dies. ended is closed once it has ended.
func Start(t testing.TB, cmd *exec.Cmd) (ended <-chan struct{}, err error) {
	t.Helper()
	dieWithParent(cmd)
	// A signal at the parent's death follows the thread that started the child: the thread
	// is kept until the child has ended.
	started, done := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(done)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-done
	})
	return done, nil
}
