package crashtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"auditrelay/internal/verify"
)

// oftenSigned makes a relay sign and publish its logs during these tests.
const oftenSigned = "proofs: {every: 1s}"

// auditor repeatedly verifies the journal of a relay and its destinations with the program's
// own command. It keeps the newest checkpoints it saw: no later state may contradict them or be
// behind them, whatever happens to the relay.
type auditor struct {
	key, config string   // files: the signing key and the configuration
	places      []string // in the form for verify; the journal is the last
	pins        string   // a folder for each place
}

// newAuditor returns an auditor of a relay that created its key in its data directory.
func newAuditor(t *testing.T, dataDir, config string, places ...string) *auditor {
	t.Helper()
	return &auditor{key: filepath.Join(dataDir, "proof.key"), config: config, places: append(places, dataDir), pins: t.TempDir()}
}

// left verifies the data of a relay that ended abruptly: nothing is missing, altered or forged.
// Its unsigned data is in no log.
func (a *auditor) left(t *testing.T) (err error) {
	t.Helper()
	for i, place := range a.places {
		report, pinned := a.verify(t, i)
		if pinned == 0 && report.Checkpoints == 0 {
			continue // nothing was delivered there yet
		}
		for _, f := range report.Faults {
			err = errors.Join(err, fmt.Errorf("verify %s after it ended: %s", filepath.Base(place), f))
		}
	}
	return err
}

// whole stops a settled relay and verifies everything: no faults after all that happened, no
// file without a checkpoint, and every event stated.
func (a *auditor) whole(t *testing.T, r *relay) (err error) {
	t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-r.done:
	case <-time.After(time.Minute):
		t.Fatal("it does not stop")
	}
	for i, place := range a.places {
		report, pinned := a.verify(t, i)
		verdict := report.Verdict()
		complete := "complete from 1 to "
		if i == len(a.places)-1 {
			complete = "complete from " // retention removes events from a journal
		}
		if report.FaultCount > 0 || len(report.Unattested) > 0 || !strings.Contains(verdict, complete) {
			err = errors.Join(err, fmt.Errorf("verify %s: %s\n%v\n%v", filepath.Base(place), verdict, report.Faults, report.Unattested))
			continue
		}
		t.Logf("verify %s with %d pins: %s", filepath.Base(place), pinned, verdict)
	}
	return err
}

// verify verifies one place with its stored pins, and stores its newest checkpoints.
func (a *auditor) verify(t *testing.T, i int) (report *verify.Report, pinned int) {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	key, err := exec.Command(path, "proof", "public", a.key).Output()
	if err != nil {
		t.Fatalf("its public key: %v", err)
	}
	saved := filepath.Join(a.pins, fmt.Sprint(i))
	args := []string{"verify", a.places[i], "--key", strings.TrimSpace(string(key)), "--json", "--save-pin", saved}
	if i == len(a.places)-1 {
		args = append(args, "--config", a.config)
	}
	pins, err := filepath.Glob(filepath.Join(saved, "*.checkpoint"))
	if err != nil {
		t.Fatal(err)
	}
	for _, pin := range pins {
		args = append(args, "--pin", pin)
	}
	if _, err := os.Stat(a.places[i]); errors.Is(err, os.ErrNotExist) && a.places[i] != "journal" && len(pins) == 0 {
		return new(verify.Report), 0 // nothing was delivered yet
	}
	cmd := exec.Command(path, args...)
	out, err := cmd.Output()
	report = new(verify.Report)
	if jsonErr := json.Unmarshal(out, report); jsonErr != nil {
		t.Fatalf("verify %s: %v, %v: %s", a.places[i], err, jsonErr, out)
	}
	return report, len(pins)
}
