package client

import (
	"context"

	"auditrelay/cli/internal/api"
)

// Searches lists the saved searches of the store.
func (c *Client) Searches(ctx context.Context) ([]api.SavedSearch, error) {
	return call(ctx, c, api.GetSearches, api.None{})
}

// SaveSearch saves a search of the store under a name.
func (c *Client) SaveSearch(ctx context.Context, want api.SaveSearch) (api.SavedSearch, error) {
	return call(ctx, c, api.SaveSearches, want)
}

// ForgetSearch deletes a saved search.
func (c *Client) ForgetSearch(ctx context.Context, want api.ForgetSearch) error {
	_, err := call(ctx, c, api.ForgetSearches, want)
	return err
}
