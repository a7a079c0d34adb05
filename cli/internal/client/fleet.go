package client

import (
	"context"

	"auditrelay/cli/internal/api"
)

// Fleet returns the fleet as the responding relay last saw it.
func (c *Client) Fleet(ctx context.Context) (api.Fleet, error) {
	return call(ctx, c, api.GetFleet, api.None{})
}

// DrainRelay makes a relay of the fleet give up the lead.
func (c *Client) DrainRelay(ctx context.Context, name string, why api.Why) (api.Fleet, error) {
	return call(ctx, c, api.DrainRelay, why, name)
}

// UndrainRelay lets a drained relay lead again.
func (c *Client) UndrainRelay(ctx context.Context, name string, why api.Why) (api.Fleet, error) {
	return call(ctx, c, api.UndrainRelay, why, name)
}
