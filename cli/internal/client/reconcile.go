package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"auditrelay/cli/internal/api"
)

// maxDifference limits one line of a comparison, in bytes.
const maxDifference = 64 << 10

// Reconcile compares LiteLLM's table with the journal and calls fn with each difference. A
// response that breaks off is an error.
func (c *Client) Reconcile(ctx context.Context, want api.Reconcile, fn func(api.Difference) error) (done api.Reconciled, err error) {
	body, err := json.Marshal(want)
	if err != nil {
		return done, err
	}
	resp, err := c.send(ctx, api.PostReconcile.Method, api.PostReconcile.Path, nil, "application/json", "", body)
	if err != nil {
		return done, err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		_, failed, err := c.read(ctx, resp)
		if failed != nil {
			return done, failed
		}
		return done, err
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxDifference)
	for lines.Scan() {
		var line api.ReconcileLine
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return done, c.unreachable(ctx, fmt.Errorf("the comparison broke off: %w", err))
		}
		switch {
		case line.Error != nil:
			return done, line.Error
		case line.Done != nil:
			return *line.Done, nil
		case line.Difference != nil:
			if err := fn(*line.Difference); err != nil {
				return done, err
			}
		}
	}
	err = lines.Err()
	if err == nil {
		err = errors.New("it has no end")
	}
	return done, c.unreachable(ctx, fmt.Errorf("the comparison broke off: %w", err))
}
