package client

import (
	"context"

	"auditrelay/cli/internal/api"
)

// StartRollout starts a rollout.
func (c *Client) StartRollout(ctx context.Context, want api.StartRollout) (api.Rollout, error) {
	return call(ctx, c, api.StartRollouts, want)
}

// Rollouts returns the rollout in progress, or the last one.
func (c *Client) Rollouts(ctx context.Context) ([]api.Rollout, error) {
	return call(ctx, c, api.GetRollouts, api.None{})
}

// PromoteRollout puts a rollout's version in force for all events.
func (c *Client) PromoteRollout(ctx context.Context, filter string, why api.Why) (api.Rollout, error) {
	return call(ctx, c, api.PromoteRollout, why, filter)
}

// RollBack ends a rollout: the version in force processes all events again.
func (c *Client) RollBack(ctx context.Context, filter string, why api.Why) (api.Rollout, error) {
	return call(ctx, c, api.RollBack, why, filter)
}
