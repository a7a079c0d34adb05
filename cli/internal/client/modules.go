package client

import (
	"context"

	"auditrelay/cli/internal/api"
)

// Push sends a module.
func (c *Client) Push(ctx context.Context, q api.PushQuery, wasm []byte) (api.Pushed, error) {
	e := api.PushModule
	return exchange[api.Pushed](ctx, c, e.Method, e.Path, api.Query(q), "application/wasm", wasm)
}

// Modules returns all uploaded modules.
func (c *Client) Modules(ctx context.Context) ([]api.Module, error) {
	return call(ctx, c, api.GetModules, api.None{})
}

// InspectModule returns the properties of an uploaded module.
func (c *Client) InspectModule(ctx context.Context, digest string) (api.Inspection, error) {
	return call(ctx, c, api.InspectModule, api.None{}, digest)
}

// CheckModule runs all checks of an uploaded module, as a filter if one is named.
func (c *Client) CheckModule(ctx context.Context, digest, filter string) (api.ModuleChecked, error) {
	return call(ctx, c, api.CheckModules, api.CheckModule{Filter: filter}, digest)
}

// ModuleContent returns an uploaded module's bytes.
func (c *Client) ModuleContent(ctx context.Context, digest string) ([]byte, error) {
	answer, e, err := c.roundTrip(ctx, api.GetModuleContent.Method, api.GetModuleContent.URL(digest), nil, "", "", nil)
	if err != nil {
		return nil, err
	}
	if e != nil {
		return nil, e
	}
	return answer, nil
}

// DeleteModule deletes an uploaded module that nothing uses.
func (c *Client) DeleteModule(ctx context.Context, digest string, why api.Why) (api.StoredModule, error) {
	return call(ctx, c, api.DeleteModule, why, digest)
}

// Filters returns the running guest filters.
func (c *Client) Filters(ctx context.Context) ([]api.Filter, error) {
	return call(ctx, c, api.GetFilters, api.None{})
}

// UseModule switches a filter to another module.
func (c *Client) UseModule(ctx context.Context, filter string, want api.Use) (api.Used, error) {
	return call(ctx, c, api.UseModule, want, filter)
}

// ResetFilter closes the breaker of a filter's module at once.
func (c *Client) ResetFilter(ctx context.Context, filter string, why api.Why) error {
	_, err := call(ctx, c, api.ResetBreaker, why, filter)
	return err
}

// Config returns the text of a configuration, or of a callback's, by digest.
func (c *Client) Config(ctx context.Context, digest string) (api.KeptText, error) {
	return call(ctx, c, api.GetConfig, api.None{}, digest)
}

// Policy returns the text of a policy, a must_not_leave or the detectors by digest.
func (c *Client) Policy(ctx context.Context, digest string) (api.KeptText, error) {
	return call(ctx, c, api.GetPolicy, api.None{}, digest)
}
