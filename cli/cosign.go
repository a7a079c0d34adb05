package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"auditrelay/cli/internal/app"
	"auditrelay/internal/timestamp"
	"auditrelay/internal/verify"
	"auditrelay/internal/witness"
)

// cosign makes each witness cosign the checkpoints of a report without faults. If a witness
// knows more leaves of a log, or other ones, that is a fault of the report.
func (c *verifyCommand) cosign(ctx context.Context, report *verify.Report, keys []string) error {
	for i, address := range c.Witness {
		key, err := witness.NewVerifier(keys[i])
		if err != nil {
			return err
		}
		w := &witness.Witness{URL: address, Key: key}
		for at := range report.Logs {
			l := &report.Logs[at]
			if l.Size == 0 {
				continue
			}
			cosigned, err := w.Cosign(ctx, witness.Log{Signed: []byte(l.Checkpoint), Size: l.Size, Known: c.pinnedSize(l), Consistency: l.Consistency})
			switch {
			case errors.Is(err, witness.ErrAhead):
				report.Fault(verify.Fault{Category: verify.Truncated, Object: l.Origin, What: err.Error()})
			case err != nil:
				return fmt.Errorf("%s: %w", l.Origin, err)
			default:
				l.Checkpoint = string(cosigned)
			}
		}
	}
	return nil
}

// pinnedSize returns the size of a log's saved pin, which is usually what the witnesses
// cosigned last. 0: there is none.
func (c *verifyCommand) pinnedSize(l *verify.Log) uint64 {
	if c.SavePin == "" {
		return 0
	}
	text, err := os.ReadFile(c.pinFile(l.Origin))
	if err != nil {
		return 0
	}
	lines := strings.SplitN(string(text), "\n", 3)
	if len(lines) < 3 || lines[0] != l.Origin {
		return 0
	}
	n, err := strconv.ParseUint(lines[1], 10, 63)
	if err != nil || n > l.Size {
		return 0
	}
	return n
}

// stamp gets a token of the time-stamping authority for a pin, unless the pin has one. If that
// fails, the pin has none.
func (c *verifyCommand) stamp(ctx context.Context, name string, pin []byte) error {
	if c.Timestamp == "" {
		return nil
	}
	token := name + ".tsr"
	if answer, err := os.ReadFile(token); err == nil {
		if _, err := timestamp.Read(answer, pin); err == nil {
			return nil
		}
	}
	answer, _, err := (&timestamp.Authority{URL: c.Timestamp}).Stamp(ctx, pin)
	if err != nil {
		_ = os.Remove(token) // of an earlier pin
		return err
	}
	if err := app.WriteFile(token, answer); err != nil {
		return fmt.Errorf("write the time stamp: %w", err)
	}
	return nil
}
