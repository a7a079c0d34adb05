// Package readmetest runs what the README says.
package readmetest

import (
	"bytes"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

type block struct{ language, text string }

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
	for _, m := range regexp.MustCompile("(?s)```([a-z]*)\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		out = append(out, block{m[1], m[2]})
	}
	return out
}

// TestReadme writes the README's configurations into a folder and runs its
// commands there with the program as it is built from this checkout. What the
// make targets do is tested elsewhere; that they are there is tested here.
func TestReadme(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	bin := filepath.Join(dir, "bin")
	if out, err := exec.Command("go", "build", "-o", filepath.Join(bin, "auditrelay"), "auditrelay/cmd/auditrelay").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	if err := os.Symlink(filepath.Join(root, "testdata"), filepath.Join(dir, "testdata")); err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	ran := 0
	for _, b := range blocks(t, "../../README.md", "") {
		switch {
		case b.language == "yaml":
			name := strings.TrimSpace(strings.TrimPrefix(b.text[:strings.Index(b.text, "\n")], "#"))
			// The port is the test's own, so that tests may run beside a relay.
			if err := os.WriteFile(filepath.Join(dir, name), []byte("listen: "+address+"\n"+b.text), 0o600); err != nil {
				t.Fatal(err)
			}
		case b.language == "sh" && strings.Contains(b.text, "make "):
			makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range regexp.MustCompile(`(?m)^make ([a-z]+)`).FindAllStringSubmatch(b.text, -1) {
				if !bytes.Contains(makefile, []byte("\n"+m[1]+":")) {
					t.Errorf("the Makefile has no target %s", m[1])
				}
			}
		case b.language == "sh":
			ran++
			shell(t, dir, bin, address, b.text)
		}
	}
	if ran != 1 {
		t.Errorf("%d blocks of commands were run, want 1", ran)
	}
	validate := exec.Command(filepath.Join(bin, "auditrelay"), "validate", "s3.yaml")
	validate.Dir = dir
	if out, err := validate.CombinedOutput(); err != nil {
		t.Errorf("validate s3.yaml: %v\n%s", err, out)
	}
}

// shell runs the block's commands; a relay that one of them starts is waited for,
// and stopped at the end.
func shell(t *testing.T, dir, bin, address, text string) {
	t.Helper()
	script := strings.Replace(text, "auditrelay.yaml &\n", "auditrelay.yaml >relay.log 2>&1 &\nuntil [ -e go ]; do read -t 0.05 <> <(:) || :; done\n", 1)
	cmd := exec.Command("bash", "-e", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "AUDITRELAY_SERVER=http://"+address)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
	for deadline := time.Now().Add(time.Minute); ; {
		resp, err := http.Get("http://" + address + "/readyz")
		if err == nil {
			resp.Body.Close()
			break
		}
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(filepath.Join(dir, "relay.log"))
			t.Fatalf("the relay of the README does not start:\n%s\n%s", out.Bytes(), log)
		}
		time.Sleep(20 * time.Millisecond) // polling another process
	}
	if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the README's commands: %v\n%s", err, out.Bytes())
	}
	for _, want := range []string{"1 accepted", "changes", "deleted"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the README's commands do not print %q:\n%s", want, out.Bytes())
		}
	}
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

// TestTutorial runs the guests' tutorial command by command, in one shell, in an
// empty folder.
func TestTutorial(t *testing.T) {
	dir := t.TempDir()
	bin := filepath.Join(dir, "bin")
	if out, err := exec.Command("go", "build", "-o", filepath.Join(bin, "auditrelay"), "auditrelay/cmd/auditrelay").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	address := freeAddress(t)
	var script strings.Builder
	commands := 0
	for _, b := range blocks(t, "../../docs/guests/tutorial.md", "Ten minutes from nothing to a filter that runs") {
		switch b.language {
		case "yaml":
			name := strings.TrimSpace(strings.TrimPrefix(b.text[:strings.Index(b.text, "\n")], "#"))
			if err := os.WriteFile(filepath.Join(dir, name), []byte("listen: "+address+"\n"+b.text), 0o600); err != nil {
				t.Fatal(err)
			}
		case "sh":
			script.WriteString(b.text)
			commands += strings.Count(b.text, "\n")
		}
	}
	if commands < 12 {
		t.Fatalf("only %d commands were found", commands)
	}
	text := strings.Replace(script.String(), "auditrelay.yaml &\n",
		"auditrelay.yaml >relay.log 2>&1 &\ntrap 'kill %1' EXIT\nuntil (exec 3<>/dev/tcp/"+strings.Replace(address, ":", "/", 1)+") 2>/dev/null; do read -t 0.05 <> <(:) || :; done\n", 1)
	cmd := exec.Command("bash", "-eu", "-o", "pipefail", "-c", text)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "AUDITRELAY_SERVER=http://"+address)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.CombinedOutput()
	if err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "relay.log"))
		t.Fatalf("%v\n%s\n%s", err, out, log)
	}
	for _, want := range []string{"3 of 3 cases as wanted", "asks to write", "no-passwords runs", "would be delivered", `"password": "***"`} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the output lacks %q:\n%s", want, out)
		}
	}
}
