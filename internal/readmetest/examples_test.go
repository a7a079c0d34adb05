package readmetest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

func isLiteLLM(yaml string) bool { return strings.Contains(yaml, "litellm_settings:") }

// Pages whose commands are run by other tests.
var runElsewhere = map[string]bool{"docs/operators/litellm.md": true}

// TestCommands runs the commands of every page that starts no relay. The relay in testdata has
// delivered events, dead-lettered one and quarantined another.
func TestCommands(t *testing.T) {
	for _, page := range documents(t) {
		f := newFolder(t)
		script := f.configure(t, blocks(t, filepath.Join(root, page), ""))
		if script == "" || serves.MatchString(script) || runElsewhere[page] {
			continue
		}
		t.Run(page, func(t *testing.T) {
			t.Parallel()
			f.atWork(t)
			f.run(t, script)
		})
	}
}

// atWork starts the relay of testdata in the folder and waits until it has processed its
// events.
func (f folder) atWork(t *testing.T) {
	t.Helper()
	s3Address := freeAddress(t)
	for _, name := range []string{"auditrelay.yaml", "events.ndjson"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		f.write(t, name, strings.NewReplacer("LISTEN", f.address, "S3\n", s3Address+"\n", "SECRET", secretOf("s3")).Replace(string(text)))
	}
	for _, name := range []string{"people.key", "master.key"} {
		f.write(t, name, secretOf(name))
	}
	relay := exec.Command(filepath.Join(program(t), "auditrelay"), "serve", "--config", "auditrelay.yaml")
	relay.Dir = f.dir
	log, err := os.Create(filepath.Join(f.dir, "relay.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	relay.Stderr = log
	if err := relay.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		relay.Process.Signal(os.Interrupt)
		relay.Wait()
	})
	f.until(t, "auditrelay callbacks", `(?m)^archive `)
	f.run(t, "auditrelay send events.ndjson")
	client := s3.New(s3.Options{
		Region: "us-east-1", BaseEndpoint: aws.String("http://" + s3Address), UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider("LITELLMTORELAY", secretOf("s3"), ""),
	})
	if _, err := client.PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: aws.String("audit"), Key: aws.String("audit_logs/2026-01-31/13-00-00_evt-4.json"),
		Body: strings.NewReader(`{"id": "evt-4", "actoin": "created"}`),
	}); err != nil {
		t.Fatal(err)
	}
	f.until(t, "auditrelay quarantine list", `(?m)^1 `)
	f.until(t, "auditrelay explain evt-3", `(?m)^store +delivered`)
	f.until(t, "auditrelay explain evt-2", `(?m)^siem +dead_lettered`)
}

// until repeats a command until its output matches.
func (f folder) until(t *testing.T, command, pattern string) {
	t.Helper()
	want := regexp.MustCompile(pattern)
	var out string
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) { // poll another process
		if out = f.run(t, command+" 2>&1 || :"); want.MatchString(out) {
			return
		}
	}
	log, _ := os.ReadFile(filepath.Join(f.dir, "relay.log"))
	t.Fatalf("%s never shows %s:\n%s\n%s", command, pattern, out, log)
}

// documents lists the README and the pages of docs, from the repository's root.
func documents(t *testing.T) []string {
	t.Helper()
	found := []string{"README.md"}
	for _, page := range pages(t, filepath.Join(root, "docs")) {
		name, err := filepath.Rel(root, page)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, filepath.ToSlash(name))
	}
	return found
}

// TestConfigurations checks every YAML example of every page with the program. It completes
// partial configurations.
func TestConfigurations(t *testing.T) {
	checked := 0
	for _, page := range documents(t) {
		all := blocks(t, filepath.Join(root, page), "")
		for i, b := range all {
			if b.language != "yaml" {
				continue
			}
			checked++
			t.Run(page+"/"+strconv.Itoa(i), func(t *testing.T) {
				t.Parallel()
				f := newFolder(t)
				f.write(t, "example.yaml", f.whole(t, b.text))
				f.write(t, "people.key", valueOf("people"))
				for _, file := range all { // named by the example
					if file.language == "toml" && file.name != "" {
						f.write(t, file.name, file.text)
					}
				}
				cmd := exec.Command(filepath.Join(program(t), "auditrelay"), "validate", "example.yaml")
				cmd.Dir = f.dir
				cmd.Env = os.Environ()
				for _, m := range variable.FindAllStringSubmatch(b.text, -1) {
					cmd.Env = append(cmd.Env, m[1]+m[2]+"="+valueOf(m[1]+m[2]))
				}
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%v\n%s\n%s", err, out, f.whole(t, b.text))
				}
			})
		}
	}
	if checked < 15 {
		t.Errorf("only %d examples were found", checked)
	}
}

var (
	variable  = regexp.MustCompile(`os\.environ/([A-Z0-9_]+)|\$\{([A-Z0-9_]+)\}`)
	secret    = regexp.MustCompile(`file:/[a-z0-9/.-]+`)
	authority = regexp.MustCompile(`(\bca: "?)file:/[a-z0-9/.-]+`)
	commented = regexp.MustCompile(`(?m)^#.*\n`)
)

func valueOf(name string) string {
	if strings.HasSuffix(name, "URL") {
		return "postgres://auditrelay:secret@localhost:5432/litellm"
	}
	return secretOf(name)
}

// certificate returns a certificate in PEM.
func certificate(t *testing.T) string {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
}

// secretOf returns a secret that no check considers guessable.
func secretOf(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:])
}

// whole completes an example to a configuration: it adds a callback to a sink, removes the
// indentation of an indented part, and adds named things that are missing.
func (f folder) whole(t *testing.T, text string) string {
	t.Helper()
	text = dedent(text)
	if isLiteLLM(text) {
		return text
	}
	f.write(t, "ca.pem", certificate(t))
	text = authority.ReplaceAllString(text, "${1}file:./ca.pem")
	n := 0
	text = secret.ReplaceAllStringFunc(text, func(string) string {
		n++
		name := "secret" + strconv.Itoa(n)
		f.write(t, name, secretOf(name))
		return "file:./" + name
	})
	has := func(key string) bool { return regexp.MustCompile(`(?m)^` + key + `:`).MatchString(text) }
	if key, _, _ := strings.Cut(commented.ReplaceAllString(text, ""), ":"); !has("sink") {
		if _, err := os.Stat(filepath.Join(root, "builtin", key)); err == nil {
			text = "sink:\n  " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ") + "\n"
		}
	}
	switch {
	case has("sink"):
		text = "callbacks:\n  - name: example\n    " + strings.ReplaceAll(strings.TrimSpace(commented.ReplaceAllString(text, "")), "\n", "\n    ") + "\n"
	case has("encryption"):
		text = "journal:\n  " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ") + "\n"
	}
	for key, section := range map[string]string{
		"data_dir":  "data_dir: ./data\n",
		"tokens":    "tokens:\n  - {name: example, token: " + secretOf("token") + ", roles: [admin]}\n",
		"callbacks": "callbacks:\n  - {name: example, sink: {stdout: {}}}\n",
		"filters":   "filters:\n  no-secrets: {redact: {preset: litellm}}\n  house: {redact: {preset: secrets}}\n",
	} {
		if !has(key) {
			text += section
		}
	}
	return text
}

func dedent(text string) string {
	indent := len(text) - len(strings.TrimLeft(text, " "))
	if indent == 0 {
		return text
	}
	return strings.TrimPrefix(strings.ReplaceAll("\n"+text, "\n"+text[:indent], "\n"), "\n")
}

// TestCommandsInSentences checks the commands in sentences and tables: the command and each of
// its flags must exist.
func TestCommandsInSentences(t *testing.T) {
	inline := regexp.MustCompile("`auditrelay ([a-z][^`\n]*)`")
	word, flag := regexp.MustCompile(`^[a-z][a-z-]*$`), regexp.MustCompile(`--[a-z-]+`)
	help := map[string]string{}
	checked := 0
	for _, page := range append(documents(t), "CHANGELOG.md", "CONTRIBUTING.md", "integrations/litellm/README.md") {
		for _, m := range inline.FindAllStringSubmatch(withoutCode(t, filepath.Join(root, page)), -1) {
			var words []string
			for _, w := range strings.Fields(m[1]) {
				if !word.MatchString(w) {
					break
				}
				words = append(words, w)
			}
			command := strings.Join(words, " ")
			text, known := help[command]
			if !known {
				out, err := exec.Command(filepath.Join(program(t), "auditrelay"), append(words, "--help")...).CombinedOutput()
				if err != nil {
					out = nil
				}
				text = string(out)
				help[command] = text
			}
			checked++
			if !strings.Contains(text, "auditrelay "+words[0]) {
				t.Errorf("%s: there is no command `auditrelay %s`", page, m[1])
				continue
			}
			for _, f := range flag.FindAllString(m[1], -1) {
				if !strings.Contains(text, f) && (words[0] == "callbacks" || words[0] == "receipts") { // list is their default
					out, _ := exec.Command(filepath.Join(program(t), "auditrelay"), words[0], "list", "--help").Output()
					text += string(out)
				}
				if !strings.Contains(text, f) && !strings.Contains(text, strings.Replace(f, "--", "--[no-]", 1)) {
					t.Errorf("%s: `auditrelay %s` has no flag %s", page, m[1], f)
				}
			}
		}
	}
	if checked < 50 {
		t.Errorf("only %d commands were found", checked)
	}
}

// TestEveryPageIsListed checks that docs/README.md links to every page.
func TestEveryPageIsListed(t *testing.T) {
	index, err := os.ReadFile(filepath.Join(root, "docs", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range documents(t) {
		name, ok := strings.CutPrefix(page, "docs/")
		if ok && name != "README.md" && !strings.Contains(string(index), "]("+name+")") {
			t.Errorf("docs/README.md does not list %s", name)
		}
		text, err := os.ReadFile(filepath.Join(root, page))
		if err != nil {
			t.Fatal(err)
		}
		if beginning, _, _ := strings.Cut(string(text), "\n## "); ok && !regexp.MustCompile(`(?m)^\*(For|This is) `).MatchString(beginning) {
			t.Errorf("%s does not begin with whom it is for", page)
		}
	}
}
