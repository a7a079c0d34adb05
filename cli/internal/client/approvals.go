package client

import (
	"context"

	"auditrelay/cli/internal/api"
)

// Approvals lists the requests for acts that need several principals.
func (c *Client) Approvals(ctx context.Context) ([]api.Approval, error) {
	return call(ctx, c, api.GetApprovals, api.None{})
}

// Approve approves the request with a digest. The last approval runs the act.
func (c *Client) Approve(ctx context.Context, id, digest string, why api.Why) (api.Approval, error) {
	return call(ctx, c.Seeing(digest), api.PostApprove, why, id)
}

// Reject closes the request with a digest.
func (c *Client) Reject(ctx context.Context, id, digest string, why api.Why) (api.Approval, error) {
	return call(ctx, c.Seeing(digest), api.PostReject, why, id)
}

// Seeing returns a client whose user has seen a version of an object.
func (c *Client) Seeing(version string) *Client {
	with := *c
	with.seen = version
	return &with
}
