// Package child runs servers for tests as processes that do not outlive them.
package child

import (
	"os/exec"
	"runtime"
	"testing"
)

// Start starts cmd. It is killed when the test ends and, on Linux, when the test's process
// dies. ended is closed once it has ended.
func Start(t testing.TB, cmd *exec.Cmd) (ended <-chan struct{}, err error) {
	t.Helper()
	dieWithParent(cmd)
	// The signal for the parent's death is tied to the thread that started the child. Keep that
	// thread until the child has ended.
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
