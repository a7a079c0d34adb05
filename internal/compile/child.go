package compile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"

	"github.com/tetratelabs/wazero"
)

const (
	maxWasm  = 512 << 20 // on standard input
	maxEntry = 1 << 30   // size of the entry in bytes
)

// Child is the main function of the helper. It permanently limits its own process and compiles
// the module from stdin into the directory that Fill named. It returns the process's exit code.
func Child(stdin io.Reader, stderr io.Writer, args []string) int {
	if len(args) != 3 {
		fmt.Fprintln(stderr, "this command is for the relay's own use")
		return exitUsage
	}
	memory, err := strconv.ParseInt(args[1], 10, 64)
	seconds, err2 := strconv.Atoi(args[2])
	if err != nil || err2 != nil || memory <= 0 || seconds <= 0 {
		fmt.Fprintln(stderr, "this command is for the relay's own use")
		return exitUsage
	}
	// The garbage collector tries to stay below this, before the kernel ends the process.
	debug.SetMemoryLimit(memory / 4 * 3)
	if err := lock(args[0], memory, seconds); err != nil {
		fmt.Fprintln(stderr, err)
		return exitUsage
	}
	if err := compile(stdin, args[0]); err != nil {
		fmt.Fprintln(stderr, err)
		return exitRefused
	}
	return exitOK
}

func compile(stdin io.Reader, dir string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the compiler panicked: %v", p)
		}
	}()
	module, err := io.ReadAll(io.LimitReader(stdin, maxWasm))
	if err != nil {
		return err
	}
	return compileInto(context.Background(), dir, module)
}

// compileInto writes one entry into dir: the module's code, under the name of its outline.
func compileInto(ctx context.Context, dir string, module []byte) error {
	outline, err := Outline(module)
	if err != nil {
		return err
	}
	named, err := entryOf(ctx, dir, outline)
	if err != nil {
		return err
	}
	beside := filepath.Join(dir, "code")
	code, err := entryOf(ctx, beside, module)
	if err != nil {
		return err
	}
	if err := os.Rename(code, named); err != nil {
		return err
	}
	return os.RemoveAll(beside)
}

// entryOf compiles a module into an empty directory and returns the file that contains its
// code.
func entryOf(ctx context.Context, dir string, module []byte) (string, error) {
	cache, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		return "", err
	}
	runtime := wazero.NewRuntimeWithConfig(ctx, Config(cache))
	_, err = runtime.CompileModule(ctx, module)
	if err := errors.Join(err, runtime.Close(ctx), cache.Close(ctx)); err != nil {
		return "", err
	}
	return only(dir)
}

// Config is how modules are compiled, here and wherever the cache is used. The cache would not
// find code that was compiled with another configuration.
func Config(cache wazero.CompilationCache) wazero.RuntimeConfig {
	return wazero.NewRuntimeConfig().WithCompilationCache(cache)
}
