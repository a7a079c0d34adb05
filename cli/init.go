package cli

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"auditrelay/cli/internal/app"
	"auditrelay/config"
)

type initCommand struct {
	File   string `arg:"" optional:"" help:"The configuration to write." default:"auditrelay.yaml" type:"path"`
	Sink   string `help:"Where events go: file, s3, splunk, datadog, webhook, sqlite, gcs, azure_blob, kafka, elastic, otlp, syslog, sentinel or secops." placeholder:"TYPE"`
	Policy string `help:"The policy that redacts: a preset (auditrelay policy show NAME prints it), or none. Default: litellm." placeholder:"NAME"`
	Listen string `help:"Where the relay listens. Default: 127.0.0.1:8787." placeholder:"HOST:PORT"`

	Path     string `help:"Of file: the file." placeholder:"FILE"`
	Bucket   string `help:"Of s3 and gcs: the bucket." placeholder:"NAME"`
	Region   string `help:"Of s3: the bucket's region. Default: from the AWS chain." placeholder:"REGION"`
	Prefix   string `help:"Of s3, gcs and azure_blob: the prefix of keys." placeholder:"TEXT"`
	Endpoint string `help:"Of s3: the URL of a store that is not AWS." placeholder:"URL"`
	URL      string `help:"Of splunk, elastic, otlp, sentinel and webhook: the URL." placeholder:"URL"`
	Index    string `help:"Of splunk and elastic: the index. Default for splunk: the token's." placeholder:"NAME"`
	Site     string `help:"Of datadog: the site. Default: datadoghq.com." placeholder:"SITE"`

	Set map[string]string `help:"A sink option without its own flag, such as topic=audit. Repeatable." placeholder:"OPTION=VALUE"`

	Force bool `help:"Replace an existing file."`
	Yes   bool `help:"Ask nothing: use the defaults of missing flags."`

	set map[string]*string // the options of --set, with the user's answers
}

// setting is a sink option that init asks for.
type setting struct {
	key      string // the sink's option; also the flag's name
	question string
	preset   string // used for an empty answer
	required bool
	value    func(*initCommand) *string // nil if it has no flag and is set with --set
}

// given returns the setting's value and the flag that sets it.
func (s setting) given(c *initCommand) (value *string, flag string) {
	if s.value != nil {
		return s.value(c), s.key
	}
	if c.set == nil {
		c.set = map[string]*string{}
	}
	if c.set[s.key] == nil {
		text := c.Set[s.key]
		c.set[s.key] = &text
	}
	return c.set[s.key], "set " + s.key + "=VALUE"
}

var (
	settingURL    = func(c *initCommand) *string { return &c.URL }
	settingBucket = func(c *initCommand) *string { return &c.Bucket }
	settingPrefix = func(c *initCommand) *string { return &c.Prefix }
	settingIndex  = func(c *initCommand) *string { return &c.Index }

	// settings are the settings of each sink, in the order of the questions.
	settings = map[string][]setting{
		"file": {{"path", "Which file", "./out/audit.ndjson", true, func(c *initCommand) *string { return &c.Path }}},
		"s3": {
			{"bucket", "Which bucket", "", true, settingBucket},
			{"region", "Its region (empty: from the AWS chain)", "", false, func(c *initCommand) *string { return &c.Region }},
			{"prefix", "Prefix of keys (may be empty)", "", false, settingPrefix},
			{"endpoint", "The store's URL (empty: AWS)", "", false, func(c *initCommand) *string { return &c.Endpoint }},
		},
		"splunk": {
			{"url", "The URL of the HTTP event collector, as https://splunk.example:8088", "", true, settingURL},
			{"index", "Which index (empty: the token's)", "", false, settingIndex},
		},
		"datadog": {{"site", "Which site", "datadoghq.com", true, func(c *initCommand) *string { return &c.Site }}},
		"webhook": {{"url", "Which URL", "", true, settingURL}},
		"gcs": {
			{"bucket", "Which bucket", "", true, settingBucket},
			{"prefix", "Prefix of keys (may be empty)", "", false, settingPrefix},
		},
		"azure_blob": {
			{"account_url", "The storage account's URL, as https://ACCOUNT.blob.core.windows.net", "", true, nil},
			{"container", "Which container", "", true, nil},
			{"prefix", "Prefix of names (may be empty)", "", false, settingPrefix},
		},
		"kafka": {
			{"brokers", "Which brokers, as broker-1.example:9093,broker-2.example:9093", "", true, nil},
			{"topic", "Which topic", "", true, nil},
		},
		"elastic": {
			{"url", "The cluster's URL, as https://elastic.example:9200", "", true, settingURL},
			{"index", "Which data stream or index", "logs-lite_llm.audit-default", true, settingIndex},
		},
		"otlp":   {{"url", "The receiver's URL, as https://collector.example:4318", "", true, settingURL}},
		"syslog": {{"address", "The receiver, as siem.example:6514", "", true, nil}},
		"sentinel": {
			{"url", "The logs endpoint, as https://NAME.eastus-1.ingest.monitor.azure.com", "", true, settingURL},
			{"rule", "The data collection rule's immutable id", "", true, nil},
			{"stream", "Which stream", "Custom-AuditRelay_CL", true, nil},
		},
		"secops": {
			{"project", "Which Google Cloud project", "", true, nil},
			{"location", "The instance's region", "", true, nil},
			{"instance", "The instance's id", "", true, nil},
			{"log_type", "Which log type", "", true, nil},
		},
		"sqlite": {},
	}
	initSinks = []string{"file", "s3", "splunk", "datadog", "webhook", "sqlite", "gcs", "azure_blob", "kafka", "elastic", "otlp", "syslog", "sentinel", "secops"}
)

// secretOptions are the options for a sink's secret, given as a reference.
var secretOptions = map[string][2]string{"splunk": {"token", "SPLUNK_HEC_TOKEN"}, "datadog": {"api_key", "DD_API_KEY"}, "elastic": {"api_key", "ELASTIC_API_KEY"}}

func (c *initCommand) Run(a *program) error {
	if err := c.free(); err != nil {
		return err
	}
	if err := c.complete(a); err != nil {
		return err
	}
	made, err := c.tokens()
	if err == nil {
		err = c.write(a)
	}
	if err != nil {
		for _, name := range made {
			err = errors.Join(err, os.Remove(name))
		}
		return err
	}
	for _, name := range made {
		fmt.Fprintf(a.stdout, "wrote %s\n", name)
	}
	fmt.Fprintf(a.stdout, "wrote %s\n", c.File)
	if secret, ok := secretOptions[c.Sink]; ok {
		if _, set := os.LookupEnv(secret[1]); !set {
			fmt.Fprintf(a.stdout, "set the variable %s before the next steps\n", secret[1])
		}
	}
	_, err = fmt.Fprintf(a.stdout, "next: auditrelay validate %s --online\n      auditrelay serve %s\n", c.File, c.File)
	return err
}

// free returns an error if a name is taken.
func (c *initCommand) free() error {
	info, err := os.Lstat(c.File)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s exists and is not a regular file: give another name", c.File)
	case !c.Force:
		return fmt.Errorf("%s exists already: use --force to replace it, or give another name", c.File)
	}
	return nil
}

// complete asks for everything not set by flags, if somebody can answer, and checks it.
func (c *initCommand) complete(a *program) error {
	q := &questions{out: a.stdout, ask: !c.Yes && terminal(a.stdin), in: bufio.NewReader(a.stdin)}
	if err := q.answer(&c.Sink, "sink", "Where do events go ("+strings.Join(initSinks, ", ")+")", "file", !c.Yes); err != nil {
		return err
	}
	if !slices.Contains(initSinks, c.Sink) {
		return usage("--sink: expected one of %s", strings.Join(initSinks, ", "))
	}
	own := map[string]bool{}
	for _, s := range settings[c.Sink] {
		own[s.key] = true
		value, flag := s.given(c)
		if err := q.answer(value, flag, s.question, s.preset, s.required && s.preset == ""); err != nil {
			return err
		}
	}
	for _, sink := range initSinks {
		for _, s := range settings[sink] {
			if s.value != nil && !own[s.key] && *s.value(c) != "" {
				return usage("--%s: it is an option of %s, not of %s", s.key, sink, c.Sink)
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(c.Set)) {
		if !slices.ContainsFunc(settings[c.Sink], func(s setting) bool { return s.key == key && s.value == nil }) {
			return usage("--set %s: init does not know this option of %s; write it into the configuration", key, c.Sink)
		}
	}
	policies := append(app.Presets(), "none")
	if err := q.answer(&c.Policy, "policy", "Which policy redacts ("+strings.Join(policies, ", ")+")", "litellm", false); err != nil {
		return err
	}
	if !slices.Contains(policies, c.Policy) {
		return usage("--policy: expected one of %s", strings.Join(policies, ", "))
	}
	return q.answer(&c.Listen, "listen", "Where does the relay listen", "127.0.0.1:8787", false)
}

// questions asks questions on a terminal.
type questions struct {
	in  *bufio.Reader
	out io.Writer
	ask bool
}

// answer sets a value that no flag set. A required value has no default if nobody can answer.
func (q *questions) answer(value *string, flag, question, preset string, required bool) error {
	for *value == "" {
		if !q.ask {
			if required {
				return usage("give --%s, or run it on a terminal to enter it", flag)
			}
			*value = preset
			return nil
		}
		shown := ""
		if preset != "" {
			shown = " [" + preset + "]"
		}
		fmt.Fprintf(q.out, "%s%s: ", question, shown)
		line, err := q.in.ReadString('\n')
		if *value = strings.TrimSpace(line); *value == "" {
			*value = preset
		}
		if err != nil { // nobody can answer
			q.ask = false
			fmt.Fprintln(q.out)
		} else if *value == "" && !required {
			return nil
		}
	}
	return nil
}

// beyond reports whether other machines may reach the address. The relay then needs tokens.
func (c *initCommand) beyond() bool {
	host, _, err := net.SplitHostPort(c.Listen)
	return err == nil && !config.Loopback(host)
}

// initTokens are the tokens that init creates, by role.
var initTokens = []string{"ingest", "admin"}

// tokens creates the token files that the relay needs and keeps existing ones. It returns the
// created ones.
func (c *initCommand) tokens() (made []string, err error) {
	if !c.beyond() {
		return nil, nil
	}
	for _, role := range initTokens {
		name := filepath.Join(filepath.Dir(c.File), role+".token")
		secret := make([]byte, 24)
		if _, err := rand.Read(secret); err != nil {
			return made, err
		}
		f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return made, err
		}
		made = append(made, name)
		_, err = f.WriteString(hex.EncodeToString(secret) + "\n")
		if err := errors.Join(err, f.Close()); err != nil {
			return made, err
		}
	}
	return made, nil
}

// write checks the configuration and writes it atomically.
func (c *initCommand) write(a *program) error {
	text := []byte(c.text())
	notes, err := app.CheckText(c.File, text, makers(a.sinks))
	if err != nil {
		return err
	}
	a.printNotes(notes)
	f, err := os.CreateTemp(filepath.Dir(c.File), ".auditrelay-init-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if c.Force {
		return os.Rename(f.Name(), c.File)
	}
	if err := os.Link(f.Name(), c.File); err != nil { // never overwrite another file
		return fmt.Errorf("write %s: %w", c.File, err)
	}
	return nil
}

// text returns the configuration.
func (c *initCommand) text() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# A configuration of auditrelay, written by auditrelay init. Every key, its default and its")
	line("# limits: docs/reference/configuration.md, or auditrelay config show %s.", filepath.Base(c.File))
	line("")
	line("listen: %s", strconv.Quote(c.Listen))
	if c.beyond() {
		line("tokens:   # Authorization: Bearer ...; the command line takes one by --token-file")
		for _, role := range initTokens {
			line("  - {name: %s, token: file:./%s.token, roles: [%s]}", role, role, role)
		}
		line("# tls: {cert: server.pem, key: server.key}   # without it tokens and events pass in clear text")
	} else {
		line("# Every process of this machine may send events and operate the relay. Other addresses need")
		line("# tokens: [{name: litellm, token: file:./litellm.token, roles: [ingest]}]")
	}
	line("")
	line("# Accepted events stay here until every callback has an outcome for them.")
	line("data_dir: ./data")
	line("# journal: {quota: 20GiB, retention: {age: 30d}}   # room for outages, and time for replays")
	if c.Policy != "none" {
		line("")
		line("filters:")
		line("  redact:")
		line("    # auditrelay policy show %s prints the rules; add your own under rules.", c.Policy)
		line("    redact: {preset: %s}", c.Policy)
	}
	line("")
	line("callbacks:")
	line("  # Keep the name: the position in the journal is stored under it.")
	line("  - name: %s", c.Sink)
	line("    # when: {action: [created, updated, deleted]}   # default: every event")
	if c.Policy != "none" {
		line("    filters: [redact]")
		line("    # The last check of every outgoing event. An event with a secret becomes a dead letter.")
		line("    must_not_leave: {detectors: [secrets]}")
	}
	line("    sink:")
	c.sink(line)
	return b.String()
}

func (c *initCommand) sink(line func(format string, args ...any)) {
	given := false
	option := func(format string, args ...any) {
		if !given {
			line("      %s:", c.Sink)
			given = true
		}
		line("        "+format, args...)
	}
	for _, s := range settings[c.Sink] {
		switch v, _ := s.given(c); {
		case *v == "":
		case s.key == "brokers":
			var brokers []string
			for one := range strings.SplitSeq(*v, ",") {
				brokers = append(brokers, strconv.Quote(strings.TrimSpace(one)))
			}
			option("%s: [%s]", s.key, strings.Join(brokers, ", "))
		default:
			option("%s: %s", s.key, strconv.Quote(*v))
		}
	}
	if secret, ok := secretOptions[c.Sink]; ok {
		option("%s: os.environ/%s   # or file:/path", secret[0], secret[1])
	}
	switch c.Sink {
	case "s3":
		option("# credentials: by default the AWS chain: environment, shared files, roles")
	case "gcs", "secops":
		option("# credentials_file: /run/secrets/google.json   # by default Google's own search, such as workload identity")
	case "azure_blob":
		option("# sas_token_file: /run/secrets/azure   # or account_key_file; by default Azure's own search, such as managed identity")
	case "sentinel":
		option("# tenant_id, client_id and client_secret_file: by default Azure's own search, such as managed identity")
	case "kafka":
		option("# sasl: {mechanism: scram-sha-512, username: relay, password_file: /run/secrets/kafka}")
	case "otlp":
		option("# token_file: /run/secrets/otlp")
	case "webhook":
		option("# secrets: [os.environ/WEBHOOK_SECRET]   # whsec_...: signs each request")
	case "file":
		option("rotate: {bytes: 256MiB}")
	case "sqlite":
		line("      sqlite: {}   # a searchable store below data_dir: GET /audit, auditrelay audit")
	}
}
