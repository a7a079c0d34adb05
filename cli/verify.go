package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"auditrelay/cli/internal/api"
	"auditrelay/cli/internal/app"
	"auditrelay/internal/verify"
	"auditrelay/runtime"
)

// journalPlace is the place of a configuration's journal. A folder of this name is ./journal.
const journalPlace = "journal"

type verifyCommand struct {
	Place    string   `arg:"" help:"What to verify: a folder with delivered data, s3://BUCKET/PREFIX, the data directory of a stopped relay, a backup, a store: its file, or postgres://..., or the word journal with --config: the journal of a stopped relay, on Postgres too." placeholder:"DIR|s3://BUCKET/PREFIX|STORE|journal"`
	Key      []string `help:"The public key that signed, as proof public prints it, or a file with it. Repeatable." required:"" placeholder:"PUB"`
	Pin      []string `help:"A file with a checkpoint that you kept: what it covers must still be there. Repeatable." placeholder:"FILE" type:"path"`
	From     uint64   `help:"Earlier sequences may be missing: they were deleted on purpose." placeholder:"SEQUENCE"`
	SavePin  string   `help:"Keep the newest checkpoint of each log in this folder. Those that are there already are pinned: use one folder for each place." placeholder:"DIR" type:"path"`
	Endpoint string   `help:"The URL of an S3 store other than AWS." placeholder:"URL"`
	Region   string   `help:"The bucket's region. Default: from the AWS chain." placeholder:"REGION"`
	Config   []string `help:"The configuration of the journal: where it is, and the master key of an encrypted one. Repeatable, for several files." short:"c" placeholder:"FILE" type:"path" sep:"none"`
	Faults   int      `help:"How many faults to print, and how many files that no checkpoint covers." default:"50" placeholder:"N"`
	JSON     bool     `help:"Print JSON."`

	Witness    []string      `help:"The URL of a witness (c2sp.org/tlog-witness) that is to cosign the newest checkpoints if all is well; --save-pin keeps them. Repeatable, each with its --witness-key." placeholder:"URL"`
	WitnessKey []string      `help:"The public key of a witness, or a file with it: every pinned checkpoint must have its cosignature. Repeatable." placeholder:"KEY"`
	Timestamp  string        `help:"The URL of a time-stamping authority (RFC 3161): each saved pin gets its token beside it, in FILE.tsr." placeholder:"URL"`
	Watch      time.Duration `help:"Verify again and again, so long after each end, until interrupted. Each run pins what the run before verified; --save-pin keeps that over restarts." placeholder:"DURATION"`
	ReportTo   string        `help:"Tell the relay at this URL what was found; completeness and the page show it. The token (role auditor) is in AUDITRELAY_TOKEN or --token-file." placeholder:"URL"`
	TokenFile  string        `help:"With --report-to: file with the bearer token." placeholder:"FILE"`
	CA         string        `help:"With --report-to: file of PEM certificates to trust instead of the system's." env:"AUDITRELAY_CA" placeholder:"FILE"`
	Metrics    string        `help:"With --watch: serve Prometheus metrics at this address, path /metrics." placeholder:"HOST:PORT"`
}

func (c *verifyCommand) Run(a *program) error {
	o, err := c.options()
	if err != nil {
		return err
	}
	if c.Watch > 0 {
		return c.watch(a, o)
	}
	if c.Metrics != "" {
		return usage("--metrics needs --watch")
	}
	if c.ReportTo == "" && c.TokenFile != "" {
		return usage("--token-file needs --report-to")
	}
	saved, err := c.savedPins()
	if err != nil {
		return err
	}
	for _, pin := range saved {
		o.Saved = append(o.Saved, pin)
	}
	report, err := c.verifyPlace(a, o)
	if report == nil {
		return err
	}
	told := tellReport(a, report, c.Faults, c.JSON)
	if told == nil && err == nil {
		err = c.savePins(a.ctx, report)
	}
	return errors.Join(told, err, c.report(a.ctx, report))
}

// options reads the keys and the pins.
func (c *verifyCommand) options() (verify.Options, error) {
	o := verify.Options{From: c.From}
	if c.Timestamp != "" && c.SavePin == "" {
		return o, usage("--timestamp needs --save-pin")
	}
	if len(c.Witness) > len(c.WitnessKey) {
		return o, usage("each --witness needs a --witness-key")
	}
	for _, key := range c.Key {
		text, err := keyText(key)
		if err != nil {
			return o, err
		}
		o.Keys = append(o.Keys, text)
	}
	for _, key := range c.WitnessKey {
		text, err := keyText(key)
		if err != nil {
			return o, err
		}
		o.Witnesses = append(o.Witnesses, text)
	}
	for _, name := range c.Pin {
		pin, err := os.ReadFile(name)
		if err != nil {
			return o, fmt.Errorf("read a pinned checkpoint: %w", err)
		}
		o.Pins = append(o.Pins, pin)
	}
	return o, nil
}

// verifyPlace verifies once, and lets the witnesses cosign if there is no fault. If a witness
// fails, the report is valid all the same.
func (c *verifyCommand) verifyPlace(a *program, o verify.Options) (*verify.Report, error) {
	report, err := c.verify(a, o)
	if err != nil {
		return nil, fmt.Errorf("verify %s: %w", c.place(), err)
	}
	if report.FaultCount == 0 {
		err = c.cosign(a.ctx, report, o.Witnesses)
	}
	return report, err
}

// place returns the verified place in a form for people.
func (c *verifyCommand) place() string {
	if u, err := url.Parse(c.Place); err == nil && u.User != nil {
		return u.Redacted()
	}
	return c.Place
}

// report sends the result to a relay.
func (c *verifyCommand) report(ctx context.Context, report *verify.Report) error {
	if c.ReportTo == "" {
		return nil
	}
	r := remote{Server: c.ReportTo, TokenFile: c.TokenFile, CA: c.CA}
	cl, err := r.client()
	if err != nil {
		return err
	}
	place := c.place()
	if !strings.Contains(place, "://") && place != journalPlace {
		host, _ := os.Hostname() // a path has no meaning without its machine
		if path, err := filepath.Abs(place); err == nil {
			place = path
		}
		place = host + ":" + place
	}
	told := api.VerifyReport{Place: place[:min(len(place), runtime.MaxPlace)], Records: report.Records, Uncovered: uint64(len(report.Unattested)), Faults: map[string]int{}}
	for category, n := range report.FaultCounts {
		told.Faults[string(category)] = n
	}
	for _, l := range report.Logs {
		if l.Checkpoint != "" && len(told.Checkpoints) < runtime.MaxCheckpoints {
			told.Checkpoints = append(told.Checkpoints, l.Checkpoint)
		}
	}
	if _, err := cl.ReportVerified(ctx, told); err != nil {
		return fmt.Errorf("tell the relay what was found: %w", err)
	}
	return nil
}

func (c *verifyCommand) verify(a *program, o verify.Options) (*verify.Report, error) {
	var place runtime.JournalPlace
	if len(c.Config) > 0 {
		var err error
		if place, err = app.JournalOf(c.Config, makers(a.sinks)); err != nil {
			return nil, err
		}
	}
	if c.Place == journalPlace {
		switch {
		case len(c.Config) == 0:
			return nil, errors.New("name the configuration: --config FILE; a folder of that name is ./journal")
		case place.Postgres.URL == "":
			return runtime.VerifyJournal(place.DataDir, place.Encryption, o)
		}
		return runtime.VerifyPostgres(place, o)
	}
	if runtime.JournalIn(c.Place) != "" {
		return runtime.VerifyJournal(c.Place, place.Encryption, o)
	}
	if app.IsStore(c.Place) {
		return app.VerifyStoreAt(a.ctx, c.Place, o)
	}
	files, err := c.files(a.ctx)
	if err != nil {
		return nil, err
	}
	return verify.Verify(files, o)
}

// tellReport prints a report with at most most faults and files. If there are faults, it
// returns a verdictError.
func tellReport(a *program, report *verify.Report, most int, asJSON bool) error {
	if asJSON {
		if err := a.printJSON(report); err != nil {
			return err
		}
	} else {
		for i, f := range report.Faults {
			if i == most {
				fmt.Fprintf(a.stdout, "... and %d more\n", report.FaultCount-i)
				break
			}
			fmt.Fprintf(a.stdout, "%s\n", escaped([]byte(f.String())))
		}
		for i, name := range report.Unattested {
			if i == most {
				fmt.Fprintf(a.stdout, "... and %d more\n", len(report.Unattested)-i)
				break
			}
			fmt.Fprintf(a.stdout, "not covered: %s\n", escaped([]byte(name)))
		}
		for i, name := range report.GivenUp {
			if i == most {
				fmt.Fprintf(a.stdout, "... and %d more\n", len(report.GivenUp)-i)
				break
			}
			fmt.Fprintf(a.stdout, "given up, and there: %s\n", escaped([]byte(name)))
		}
		for i, l := range report.Logs {
			if i == most {
				fmt.Fprintf(a.stdout, "... and %d more\n", len(report.Logs)-i)
				break
			}
			if l.SignedUntil > 0 {
				fmt.Fprintf(a.stdout, "signed until %s: %s\n", time.Unix(l.SignedUntil, 0).UTC().Format(time.RFC3339), escaped([]byte(l.Origin)))
			}
		}
		fmt.Fprintln(a.stdout, report.Verdict())
	}
	if worst := report.Worst(); worst != "" {
		return verdictError{worst}
	}
	return nil
}

// pinSuffix is the suffix of saved pins.
const pinSuffix = ".checkpoint"

// pinFile returns the file with the newest checkpoint of a log.
func (c *verifyCommand) pinFile(origin string) string {
	return filepath.Join(c.SavePin, strings.NewReplacer("/", "_", "%", "_").Replace(origin)+pinSuffix)
}

// savedPins returns the checkpoints saved by an earlier run, by file.
func (c *verifyCommand) savedPins() (map[string][]byte, error) {
	pins := map[string][]byte{}
	if c.SavePin == "" {
		return pins, nil
	}
	entries, err := os.ReadDir(c.SavePin)
	if errors.Is(err, os.ErrNotExist) {
		return pins, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the saved pins: %w", err)
	}
	for _, entry := range entries {
		if name := filepath.Join(c.SavePin, entry.Name()); strings.HasSuffix(name, pinSuffix) {
			if pins[name], err = os.ReadFile(name); err != nil {
				return nil, fmt.Errorf("read a saved pin: %w", err)
			}
		}
	}
	return pins, nil
}

// savePins writes the newest verified checkpoints, each before its time stamp: without a pin the
// next run would miss nothing.
func (c *verifyCommand) savePins(ctx context.Context, report *verify.Report) error {
	if c.SavePin == "" {
		return nil
	}
	if err := os.MkdirAll(c.SavePin, 0o700); err != nil {
		return fmt.Errorf("write the pins: %w", err)
	}
	var failed error
	for _, l := range report.Logs {
		if l.Checkpoint == "" {
			continue
		}
		name := c.pinFile(l.Origin)
		if err := app.WriteFile(name, []byte(l.Checkpoint)); err != nil {
			return fmt.Errorf("write the pins: %w", err)
		}
		failed = errors.Join(failed, c.stamp(ctx, name, []byte(l.Checkpoint)))
	}
	return failed
}

// keyText returns a public key, or the content of the file of that name.
func keyText(key string) (string, error) {
	if text, err := os.ReadFile(key); err == nil {
		return strings.TrimSpace(string(text)), nil
	} else if !strings.Contains(key, "+") {
		return "", fmt.Errorf("read the public key: %w", err)
	}
	return key, nil
}

func (c *verifyCommand) files(ctx context.Context) (verify.Files, error) {
	if place, ok := strings.CutPrefix(c.Place, "s3://"); ok {
		return newBucket(ctx, place, c.Endpoint, c.Region)
	}
	info, err := os.Stat(c.Place)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is neither a folder nor a store", c.Place)
	}
	if err != nil {
		return nil, err
	}
	return folder(c.Place), nil
}

// verdictError reports that the verified data has faults, which are already printed.
type verdictError struct{ worst verify.Category }

func (e verdictError) Error() string { return "verification failed: " + string(e.worst) }
