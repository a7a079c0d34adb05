package client

import (
	"context"
	"net/http"

	"auditrelay/cli/internal/api"
)

// LookUp returns the pseudonyms of a value.
func (c *Client) LookUp(ctx context.Context, want api.LookUp) (api.LookedUp, error) {
	var found api.LookedUp
	return found, c.do(ctx, http.MethodPost, "/v1/pseudonyms", nil, want, &found)
}
