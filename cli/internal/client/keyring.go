package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"auditrelay/cli/internal/api"
	"auditrelay/runtime"
)

// Keyring lists the periods whose keys events are stored under.
func (c *Client) Keyring(ctx context.Context) ([]runtime.Period, error) {
	var periods []runtime.Period
	return periods, c.do(ctx, http.MethodGet, "/v1/keyring", nil, nil, &periods)
}

// DestroyPeriod destroys a period's key, with deadLetters after its dead letters were
// discarded.
func (c *Client) DestroyPeriod(ctx context.Context, number uint64, deadLetters bool) (runtime.Period, error) {
	query := url.Values{}
	if deadLetters {
		query.Set("dead_letters", api.DiscardDeadLetters)
	}
	var gone runtime.Period
	return gone, c.do(ctx, http.MethodDelete, "/v1/keyring/"+strconv.FormatUint(number, 10), query, nil, &gone)
}
