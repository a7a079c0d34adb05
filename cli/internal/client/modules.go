package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"auditrelay/cli/internal/api"
	"auditrelay/runtime"
)

// Push sends a module. With a filter named it must also load as that one.
func (c *Client) Push(ctx context.Context, name, filter string, wasm []byte) (api.Pushed, error) {
	var pushed api.Pushed
	query := url.Values{"name": {name}}
	if filter != "" {
		query.Set("filter", filter)
	}
	answer, e, err := c.roundTrip(ctx, http.MethodPost, "/v1/modules", query, "application/wasm", "", wasm)
	if err != nil {
		return pushed, err
	}
	if e != nil {
		return pushed, e
	}
	if err := json.Unmarshal(answer, &pushed); err != nil {
		return pushed, fmt.Errorf("%s answered what is no JSON of ours; is it an auditrelay? (%w)", c.base, err)
	}
	return pushed, nil
}

// Modules returns all uploaded modules.
func (c *Client) Modules(ctx context.Context) ([]api.Module, error) {
	var all []api.Module
	return all, c.do(ctx, http.MethodGet, "/v1/modules", nil, nil, &all)
}

// InspectModule says what can be told of an uploaded module.
func (c *Client) InspectModule(ctx context.Context, digest string) (api.Inspection, error) {
	var i api.Inspection
	return i, c.do(ctx, http.MethodGet, modulePath(digest), nil, nil, &i)
}

// ModuleContent returns an uploaded module's bytes.
func (c *Client) ModuleContent(ctx context.Context, digest string) ([]byte, error) {
	answer, e, err := c.roundTrip(ctx, http.MethodGet, modulePath(digest)+"/content", nil, "", "", nil)
	if err != nil {
		return nil, err
	}
	if e != nil {
		return nil, e
	}
	return answer, nil
}

// DeleteModule deletes an uploaded module that nothing uses.
func (c *Client) DeleteModule(ctx context.Context, digest string) (runtime.StoredModule, error) {
	var stored runtime.StoredModule
	return stored, c.do(ctx, http.MethodDelete, modulePath(digest), nil, nil, &stored)
}

// Filters returns the guest filters that run.
func (c *Client) Filters(ctx context.Context) ([]api.Filter, error) {
	var all []api.Filter
	return all, c.do(ctx, http.MethodGet, "/v1/filters", nil, nil, &all)
}

// UseModule switches a filter to another module.
func (c *Client) UseModule(ctx context.Context, filter string, want api.Use) (api.Used, error) {
	var used api.Used
	return used, c.do(ctx, http.MethodPost, "/v1/filters/"+url.PathEscape(filter)+"/module", nil, want, &used)
}

// ResetFilter has a filter's module judge again at once after its breaker opened.
func (c *Client) ResetFilter(ctx context.Context, filter string) error {
	return c.do(ctx, http.MethodPost, "/v1/filters/"+url.PathEscape(filter)+"/reset", nil, nil, nil)
}

func modulePath(digest string) string { return "/v1/modules/" + url.PathEscape(digest) }

// Stored returns accepted events, contents included, from a sequence on.
func (c *Client) Stored(ctx context.Context, from uint64, limit int) (api.Stored, error) {
	var s api.Stored
	query := url.Values{"from": {strconv.FormatUint(from, 10)}, "limit": {strconv.Itoa(limit)}}
	return s, c.do(ctx, http.MethodGet, "/v1/stored", query, nil, &s)
}
