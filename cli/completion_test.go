package cli_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"auditrelay/cli"
)

// The packaged scripts equal the command's current output.
func TestPackagedCompletionsAreCurrent(t *testing.T) {
	for shell, file := range map[string]string{"bash": "auditrelay.bash", "zsh": "_auditrelay", "fish": "auditrelay.fish"} {
		var out bytes.Buffer
		if code := cli.Main([]string{"completion", shell}, cli.Options{Stdout: &out, Stderr: &out}); code != 0 {
			t.Fatal(out.String())
		}
		path := filepath.Join("..", "packaging", "completions", file)
		packaged, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(packaged, out.Bytes()) {
			t.Errorf("%s is not current: auditrelay completion %s > %s", path, shell, path)
		}
	}
}

func TestBashCompletes(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash here")
	}
	rows := []struct{ words, want string }{
		{"auditrelay s", "serve send sink store shadow\n"},
		{"auditrelay dead-letter d", "discard\n"},
		{"auditrelay callbacks pa", "pause\n"},
		{"auditrelay config translate --", "--help --version\n"},
	}
	for _, row := range rows {
		script := `source ../packaging/completions/auditrelay.bash; COMP_WORDS=(` + row.words + `); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _auditrelay; echo "${COMPREPLY[@]}"`
		got, err := exec.Command(bash, "--norc", "-c", script).Output()
		if err != nil || string(got) != row.want {
			t.Errorf("%q completes to %q, want %q (%v)", row.words, got, row.want, err)
		}
	}
}
