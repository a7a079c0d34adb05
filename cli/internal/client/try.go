package client

import (
	"context"

	"auditrelay/cli/internal/api"
)

// Try asks what a callback would do to events.
func (c *Client) Try(ctx context.Context, want api.Try) ([]api.Tried, error) {
	return call(ctx, c, api.PostTry, want)
}

// Policies lists the policies in force.
func (c *Client) Policies(ctx context.Context) ([]api.PolicyInForce, error) {
	return call(ctx, c, api.GetPolicies, api.None{})
}

// PolicyHistory lists the texts of present and past policies, without the texts themselves.
func (c *Client) PolicyHistory(ctx context.Context) ([]api.KeptText, error) {
	return call(ctx, c, api.GetPolicyHistory, api.None{})
}

// PolicyDiff asks what another policy would change.
func (c *Client) PolicyDiff(ctx context.Context, want api.PolicyDiff) (api.PolicyChange, error) {
	return call(ctx, c, api.PostPolicyDiff, want)
}
