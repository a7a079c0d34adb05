package readmetest

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// root is the repository's path from this package.
const root = "../.."

// A block is one fenced example. name is the file in its first line, such as "#
// auditrelay.yaml", if there is one.
type block struct{ language, name, text string }

var (
	fence     = regexp.MustCompile("(?ms)^ *```([a-z]+)\n(.*?)^ *```")
	fileName  = regexp.MustCompile(`^(?:#|//) ([a-z0-9-]+\.(?:ya?ml|toml|go|c))\b`)
	serves    = regexp.MustCompile(`(?m)^auditrelay serve .*&$`)
	makesThis = regexp.MustCompile(`(?m)^make ([a-z]+)`)
)

// blocks returns the examples of a page, or of one of its sections.
func blocks(t *testing.T, file, section string) []block {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if section != "" {
		_, after, ok := strings.Cut(string(text), "\n## "+section+"\n")
		if !ok {
			t.Fatalf("%s has no section %q", file, section)
		}
		after, _, _ = strings.Cut(after, "\n## ")
		text = []byte(after)
	}
	var out []block
	for _, m := range fence.FindAllStringSubmatch(string(text), -1) {
		b := block{language: m[1], text: m[2]}
		if name := fileName.FindStringSubmatch(b.text); name != nil {
			b.name = name[1]
		}
		out = append(out, b)
	}
	return out
}

// program builds the program once and returns its folder.
func program(t *testing.T) string {
	t.Helper()
	build.Do(func() {
		if build.dir, build.err = os.MkdirTemp("", "readmetest"); build.err != nil {
			return
		}
		cmd := exec.Command("go", "build", "-o", filepath.Join(build.dir, "auditrelay"), "auditrelay/cmd/auditrelay")
		build.out, build.err = cmd.CombinedOutput()
	})
	if build.err != nil {
		t.Fatalf("build: %v\n%s", build.err, build.out)
	}
	return build.dir
}

var build struct {
	sync.Once
	dir string
	out []byte
	err error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if build.dir != "" {
		os.RemoveAll(build.dir)
	}
	os.Exit(code)
}

// A folder is the place where one page's examples run.
type folder struct{ dir, address string }

func newFolder(t *testing.T) folder {
	t.Helper()
	f := folder{t.TempDir(), freeAddress(t)}
	for _, name := range []string{"testdata", "integrations"} {
		target, err := filepath.Abs(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, filepath.Join(f.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func (f folder) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// run runs a script in one shell that stops at the first failure. It waits for relays that the
// script starts in the background, and ends them with the shell.
func (f folder) run(t *testing.T, script string) string {
	t.Helper()
	wait := "\nfor i in {1..1200}; do if (exec 3<>/dev/tcp/" + strings.Replace(f.address, ":", "/", 1) + ") 2>/dev/null; then break; fi; read -t 0.05 <> <(:) || :; done"
	script = serves.ReplaceAllStringFunc(script, func(line string) string {
		return strings.TrimSuffix(line, "&") + ">>relay.log 2>&1 &" + wait
	})
	// Where a reader waits a moment, the test waits until nothing is pending.
	script = strings.ReplaceAll(script, "\nsleep 1\n", "\nfor i in {1..600}; do if ! auditrelay callbacks --json | grep -q '\"pending\": [1-9]'; then break; fi; read -t 0.05 <> <(:) || :; done\n")
	// Readers use the default address; tests have their own.
	script = strings.ReplaceAll(script, "localhost:8787", f.address)
	cmd := exec.Command("bash", "-eu", "-o", "pipefail", "-c", "trap 'kill $(jobs -p) 2>/dev/null || :; wait' EXIT\n"+script)
	cmd.Dir = f.dir
	cmd.Env = append(os.Environ(), "PATH="+program(t)+":"+os.Getenv("PATH"),
		"AUDITRELAY_SERVER=http://"+f.address, "AUDITRELAY_URL=http://"+f.address, "PYTHONDONTWRITEBYTECODE=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = 10 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		log, _ := os.ReadFile(filepath.Join(f.dir, "relay.log"))
		t.Fatalf("%v\n%s\noutput:\n%s\nlog:\n%s", err, script, out.Bytes(), log)
	}
	return out.String()
}

// configure writes the named configurations in blocks and returns the commands. It uses the
// test's own port, so tests can run beside a relay.
func (f folder) configure(t *testing.T, examples []block) string {
	t.Helper()
	var script strings.Builder
	for _, b := range examples {
		switch {
		case b.language != "yaml" && b.name != "":
			f.write(t, b.name, b.text)
		case b.name != "":
			text := b.text
			if !isLiteLLM(text) {
				text = "listen: " + f.address + "\n" + text
			}
			f.write(t, b.name, text)
		case b.language == "sh":
			script.WriteString(b.text)
		}
	}
	return script.String()
}

// TestWalkthroughs runs the pages that start their own relay, from top to bottom, in one shell,
// in an empty folder.
func TestWalkthroughs(t *testing.T) {
	for page, wants := range map[string][]string{
		"README.md":                   {"1 accepted", "changes", "deleted"},
		"docs/start.md":               {"1 accepted", `"password":"***"`, "auditrelay_tombstone", "delivered"},
		"docs/operators/producers.md": {"1 events: 1 would be delivered", `"accepted":1`, "shop/db", "shop/api", `"schema": "kubernetes"`, `"password": "***"`},
		"docs/guests/tutorial.md":     {"3 of 3 cases passed", "asks to write", "no-passwords runs", "would be delivered", `"password": "***"`},
	} {
		t.Run(page, func(t *testing.T) {
			t.Parallel()
			f := newFolder(t)
			script := f.configure(t, blocks(t, filepath.Join(root, page), ""))
			if !serves.MatchString(script) {
				t.Fatalf("the page starts no relay:\n%s", script)
			}
			out := f.run(t, targetsOnly(t, script))
			for _, want := range wants {
				if !strings.Contains(out, want) {
					t.Errorf("the output lacks %q:\n%s", want, out)
				}
			}
		})
	}
}

// targetsOnly removes the repository's make targets, which other tests run, after checking that
// they exist.
func targetsOnly(t *testing.T, script string) string {
	t.Helper()
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range makesThis.FindAllStringSubmatch(script, -1) {
		if !bytes.Contains(makefile, []byte("\n"+m[1]+":")) {
			t.Errorf("the Makefile has no target %s", m[1])
		}
	}
	return makesThis.ReplaceAllString(script, ": $1")
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
