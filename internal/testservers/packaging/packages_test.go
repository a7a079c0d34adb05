// Package packaging tests what packaging/ describes: the packages, the image and the chart.
package packaging

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb"
	_ "github.com/goreleaser/nfpm/v2/rpm"
	"github.com/sassoftware/go-rpmutils"
)

// binary is the program, built by the Dockerfile's own command.
var binary string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "packaging")
	if err == nil {
		defer os.RemoveAll(dir)
		if err = os.Chdir("../../../packaging"); err == nil { // paths in nfpm.yaml begin there
			binary, err = build(dir)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func build(dir string) (string, error) {
	text, err := os.ReadFile("Dockerfile")
	if err != nil {
		return "", err
	}
	m := regexp.MustCompile(`(?m)^RUN (CGO_ENABLED=0 go build .*) -o /out/auditrelay (\S+)$`).FindSubmatch(text)
	if m == nil {
		return "", errors.New("the Dockerfile builds no /out/auditrelay")
	}
	name := filepath.Join(dir, "auditrelay")
	// With -trimpath nothing that other tests have built could be used.
	command := strings.Replace(string(m[1]), "-trimpath ", "", 1)
	cmd := exec.Command("sh", "-c", fmt.Sprintf("%s -o %s %s", command, name, m[2]))
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "VERSION=v1.2.3")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", command, err, out)
	}
	return name, nil
}

func run(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// pack makes a package.
func pack(t *testing.T, format string) string {
	t.Helper()
	config, err := nfpm.ParseFileWithEnvMapping("nfpm.yaml", func(name string) string {
		return map[string]string{"VERSION": "v1.2.3", "ARCH": "amd64", "BIN": binary}[name]
	})
	if err != nil {
		t.Fatal(err)
	}
	info, err := config.Get(format)
	if err != nil {
		t.Fatal(err)
	}
	info = nfpm.WithDefaults(info)
	if err := nfpm.Validate(info); err != nil {
		t.Fatal(err)
	}
	packager, err := nfpm.Get(format)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), packager.ConventionalFileName(info))
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(packager.Package(info, f), f.Close()); err != nil {
		t.Fatal(err)
	}
	return name
}

// installed are the files that both packages have, with their modes.
var installed = map[string]string{
	"/usr/bin/auditrelay":                                  "-rwxr-xr-x",
	"/usr/lib/systemd/system/auditrelay.service":           "-rw-r--r--",
	"/usr/lib/sysusers.d/auditrelay.conf":                  "-rw-r--r--",
	"/etc/auditrelay/auditrelay.yaml":                      "-rw-r-----",
	"/usr/share/bash-completion/completions/auditrelay":    "-rw-r--r--",
	"/usr/share/doc/auditrelay/reference/configuration.md": "-rw-r--r--",
	"/usr/share/doc/auditrelay/monitoring/grafana.json":    "-rw-r--r--",
}

func TestDeb(t *testing.T) {
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("dpkg-deb is not installed")
		}
		t.Skip("dpkg-deb is not installed")
	}
	name := pack(t, "deb")
	if want := "auditrelay_1.2.3_amd64.deb"; filepath.Base(name) != want {
		t.Errorf("the package is %s, not %s", filepath.Base(name), want)
	}
	contents := run(t, nil, "dpkg-deb", "--contents", name)
	for file, mode := range installed {
		if !regexp.MustCompile(`(?m)^` + mode + ` root/root .* \.` + regexp.QuoteMeta(file) + `$`).MatchString(contents) {
			t.Errorf("%s %s is missing in\n%s", mode, file, contents)
		}
	}
	if !regexp.MustCompile(`(?m)^drwxr-x--- root/root .* \./etc/auditrelay/$`).MatchString(contents) {
		t.Error("/etc/auditrelay is not as it should be")
	}
	if got := run(t, nil, "dpkg-deb", "--field", name, "Package", "Version", "Architecture", "Recommends"); got != "Package: auditrelay\nVersion: 1.2.3\nArchitecture: amd64\nRecommends: ca-certificates\n" {
		t.Error(got)
	}
	dir := t.TempDir()
	run(t, nil, "dpkg-deb", "--control", name, filepath.Join(dir, "control"))
	if text, err := os.ReadFile(filepath.Join(dir, "control", "conffiles")); err != nil || strings.TrimSpace(string(text)) != "/etc/auditrelay/auditrelay.yaml" {
		t.Errorf("the configuration is replaced by an upgrade: %q, %v", text, err)
	}
	run(t, nil, "dpkg-deb", "--extract", name, dir)
	relay := filepath.Join(dir, "usr/bin/auditrelay")
	if got := run(t, nil, relay, "version"); !strings.Contains(got, "v1.2.3") {
		t.Errorf("the packaged program is %s", got)
	}
	run(t, nil, relay, "validate", filepath.Join(dir, "etc/auditrelay/auditrelay.yaml"))
	// What the service starts is what is installed.
	unit, err := os.ReadFile(filepath.Join(dir, "usr/lib/systemd/system/auditrelay.service"))
	if err != nil || !bytes.Contains(unit, []byte("\nExecStart=/usr/bin/auditrelay serve --config /etc/auditrelay/auditrelay.yaml\n")) {
		t.Errorf("the unit starts something else: %v", err)
	}
	for _, script := range []string{"postinst", "prerm", "postrm"} {
		if _, err := os.Stat(filepath.Join(dir, "control", script)); err != nil {
			t.Error(err)
		}
	}
}

func TestRPM(t *testing.T) {
	f, err := os.Open(pack(t, "rpm"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rpm, err := rpmutils.ReadRpm(f)
	if err != nil {
		t.Fatal(err)
	}
	if nevra, err := rpm.Header.GetNEVRA(); err != nil || nevra.Name != "auditrelay" || nevra.Version != "1.2.3" || nevra.Arch != "x86_64" {
		t.Errorf("%v, %v", nevra, err)
	}
	files, err := rpm.Header.GetFiles()
	if err != nil {
		t.Fatal(err)
	}
	for name, mode := range installed {
		i := slices.IndexFunc(files, func(f rpmutils.FileInfo) bool { return f.Name() == name })
		if i < 0 {
			t.Errorf("%s is missing", name)
		} else if got := os.FileMode(files[i].Mode() & 0o777).String(); got != mode || files[i].UserName() != "root" {
			t.Errorf("%s is %s of %s, not %s", name, got, files[i].UserName(), mode)
		}
	}
	const noReplace = 1 << 4
	for _, f := range files {
		if f.Name() == "/etc/auditrelay/auditrelay.yaml" && f.Flags()&noReplace == 0 {
			t.Error("the configuration is replaced by an upgrade")
		}
	}
	for _, tag := range []int{rpmutils.POSTIN, rpmutils.PREUN, rpmutils.POSTUN} {
		if script, err := rpm.Header.GetString(tag); err != nil || !strings.Contains(script, "systemctl") {
			t.Errorf("script %d: %q, %v", tag, script, err)
		}
	}
}

// The scripts do what the packages promise: a user, no start at the first installation, a stop at a
// removal and none at an upgrade, and never a word against the data.
func TestPackageScripts(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	for _, name := range []string{"systemctl", "systemd-sysusers", "useradd", "chgrp", "rm"} {
		script := "#!/bin/sh\necho " + name + " \"$@\" >>" + log + "\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "getent"), []byte("#!/bin/sh\nexit 2\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	running := t.TempDir() // stands for /run/systemd/system
	for _, c := range []struct{ script, args, want string }{
		{"postinstall.sh", "configure", "systemd-sysusers auditrelay.conf\nchgrp auditrelay /etc/auditrelay /etc/auditrelay/auditrelay.yaml\nsystemctl daemon-reload\nsystemctl try-restart auditrelay.service\n"},
		{"postinstall.sh", "1", "systemd-sysusers auditrelay.conf\nchgrp auditrelay /etc/auditrelay /etc/auditrelay/auditrelay.yaml\nsystemctl daemon-reload\nsystemctl try-restart auditrelay.service\n"},
		{"preremove.sh", "remove", "systemctl disable --now auditrelay.service\n"},
		{"preremove.sh", "0", "systemctl disable --now auditrelay.service\n"},
		{"preremove.sh", "upgrade 1.2.4", ""},
		{"preremove.sh", "1", ""},
		{"postremove.sh", "remove", "systemctl daemon-reload\n"},
		{"postremove.sh", "purge", "systemctl daemon-reload\n"},
		{"postremove.sh", "0", "systemctl daemon-reload\n"},
	} {
		text, err := os.ReadFile(filepath.Join("scripts", c.script))
		if err != nil {
			t.Fatal(err)
		}
		os.Remove(log)
		cmd := exec.Command("sh", append([]string{"-s", "--"}, strings.Fields(c.args)...)...)
		cmd.Stdin = strings.NewReader(strings.ReplaceAll(string(text), "/run/systemd/system", running))
		cmd.Env = []string{"PATH=" + dir + ":/usr/bin:/bin"}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s %s: %v\n%s", c.script, c.args, err, out)
		}
		if got, _ := os.ReadFile(log); string(got) != c.want {
			t.Errorf("%s %s did\n%swant\n%s", c.script, c.args, got, c.want)
		}
	}
}

// The image runs a static program as nobody in particular, without a shell.
func TestDockerfile(t *testing.T) {
	text, err := os.ReadFile("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	var instructions []string
	for line := range strings.SplitSeq(strings.ReplaceAll(string(text), "\\\n", ""), "\n") {
		if line != "" && !strings.HasPrefix(line, "#") {
			instructions = append(instructions, strings.Join(strings.Fields(line), " "))
		}
	}
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(mod)
	last := slices.Index(instructions, "FROM scratch")
	if len(instructions) == 0 || instructions[0] != "FROM golang:"+string(version[1])+" AS build" || last < 0 {
		t.Fatalf("%q", instructions)
	}
	for _, want := range []string{
		"COPY --from=build /out/auditrelay /auditrelay", "USER 65532:65532", "VOLUME /var/lib/auditrelay",
		`ENTRYPOINT ["/auditrelay"]`, `CMD ["serve", "--config", "/etc/auditrelay/auditrelay.yaml"]`,
	} {
		if !slices.Contains(instructions[last:], want) {
			t.Errorf("%s is missing", want)
		}
	}
	for _, i := range instructions[last:] {
		if strings.HasPrefix(i, "RUN ") {
			t.Errorf("scratch has no shell: %s", i)
		}
	}
	program, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	if libraries, err := program.ImportedLibraries(); err != nil || len(libraries) > 0 {
		t.Errorf("it is not static: %v, %v", libraries, err)
	}
	for _, p := range program.Progs {
		if p.Type == elf.PT_INTERP {
			interpreter, _ := io.ReadAll(p.Open())
			t.Errorf("it needs %s", interpreter)
		}
	}
}
