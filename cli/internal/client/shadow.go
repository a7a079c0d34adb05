package client

import (
	"context"

	"auditrelay/cli/internal/api"
)

// StartShadow starts a shadow.
func (c *Client) StartShadow(ctx context.Context, want api.StartShadow) (api.Shadow, error) {
	return call(ctx, c, api.StartShadows, want)
}

// Shadows returns all shadows.
func (c *Client) Shadows(ctx context.Context) ([]api.Shadow, error) {
	return call(ctx, c, api.GetShadows, api.None{})
}

// Shadow returns a callback's shadow.
func (c *Client) Shadow(ctx context.Context, callback string) (api.Shadow, error) {
	return call(ctx, c, api.GetShadow, api.None{}, callback)
}

// UseShadow puts a shadow's module or policy in force.
func (c *Client) UseShadow(ctx context.Context, callback string, why api.Why) (api.ShadowUsed, error) {
	return call(ctx, c, api.UseShadow, why, callback)
}

// DropShadow ends a shadow and deletes its result.
func (c *Client) DropShadow(ctx context.Context, callback string, why api.Why) error {
	_, err := call(ctx, c, api.DropShadow, why, callback)
	return err
}

// UsePolicy puts another policy of a native filter in force.
func (c *Client) UsePolicy(ctx context.Context, filter string, want api.UsePolicy) (api.PolicyUsed, error) {
	return call(ctx, c, api.SetPolicy, want, filter)
}
