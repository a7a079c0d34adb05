package client

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"

	"auditrelay/cli/internal/api"
)

// maxTapLine limits one line of a tap, in bytes.
const maxTapLine = 1 << 20

// Tap calls fn with each line until ctx ends, fn returns an error, or the relay ends the tap,
// which is no error.
func (c *Client) Tap(ctx context.Context, q api.TapQuery, fn func(*api.TapLine) error) error {
	resp, err := c.open(ctx, api.GetTap.Path, api.Query(q))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxTapLine)
	for lines.Scan() {
		var line api.TapLine
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return fmt.Errorf("%s sent an invalid line: %w", c.name, err)
		}
		if err := fn(&line); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return c.unreachable(ctx, err)
	}
	return nil
}
