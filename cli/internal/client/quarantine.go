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

// Quarantine lists what is in quarantine, without contents.
func (c *Client) Quarantine(ctx context.Context, q runtime.QuarantineQuery) ([]runtime.QuarantineItem, error) {
	query := url.Values{"after": {strconv.FormatUint(q.After, 10)}, "limit": {strconv.Itoa(q.Limit)}}
	if q.Reason != "" {
		query.Set("reason", q.Reason)
	}
	if q.Source != "" {
		query.Set("source", q.Source)
	}
	var items []runtime.QuarantineItem
	return items, c.do(ctx, http.MethodGet, "/v1/quarantine", query, nil, &items)
}

// QuarantineItem returns one item, contents included.
func (c *Client) QuarantineItem(ctx context.Context, number uint64) (api.QuarantineItem, error) {
	var item api.QuarantineItem
	return item, c.do(ctx, http.MethodGet, "/v1/quarantine/"+strconv.FormatUint(number, 10), nil, nil, &item)
}

// ChangeQuarantine replays or deletes items, one request after the other where there
// are many.
func (c *Client) ChangeQuarantine(ctx context.Context, change string, which api.QuarantineChange) (api.QuarantineChanged, error) {
	var total api.QuarantineChanged
	for {
		var some api.QuarantineChanged
		if err := c.do(ctx, http.MethodPost, "/v1/quarantine/"+change, nil, which, &some); err != nil {
			return total, err
		}
		total.Changed += some.Changed
		total.Events += some.Events
		total.Failed = append(total.Failed, some.Failed...)
		if some.Next <= which.After {
			return total, nil
		}
		which.After = some.Next
	}
}

// ReplaceQuarantined replays one item with other contents in its place.
func (c *Client) ReplaceQuarantined(ctx context.Context, number uint64, contents []byte) (api.QuarantineChanged, error) {
	var changed api.QuarantineChanged
	answer, e, err := c.roundTrip(ctx, http.MethodPost, "/v1/quarantine/"+strconv.FormatUint(number, 10)+"/replay", nil, "application/octet-stream", "", contents)
	if err != nil {
		return changed, err
	}
	if e != nil {
		return changed, e
	}
	if err := json.Unmarshal(answer, &changed); err != nil {
		return changed, fmt.Errorf("%s answered what is no JSON of ours; is it an auditrelay? (%w)", c.base, err)
	}
	return changed, nil
}

// Sources returns the ways in that events are awaited from.
func (c *Client) Sources(ctx context.Context) ([]api.Source, error) {
	var sources []api.Source
	return sources, c.do(ctx, http.MethodGet, "/v1/sources", nil, nil, &sources)
}

// Stats returns figures about the journal, what was accepted and the quarantine.
func (c *Client) Stats(ctx context.Context) (runtime.Stats, error) {
	var s runtime.Stats
	return s, c.do(ctx, http.MethodGet, "/v1/stats", nil, nil, &s)
}
