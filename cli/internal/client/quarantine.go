package client

import (
	"context"
	"strconv"

	"auditrelay/cli/internal/api"
)

// Quarantine lists the items in quarantine without their contents.
func (c *Client) Quarantine(ctx context.Context, q api.QuarantineQuery) ([]api.QuarantineItem, error) {
	return call(ctx, c, api.GetQuarantine, q)
}

// QuarantineItem returns one item with its contents.
func (c *Client) QuarantineItem(ctx context.Context, number uint64) (api.QuarantineContents, error) {
	return call(ctx, c, api.GetQuarantined, api.None{}, strconv.FormatUint(number, 10))
}

// ReplayQuarantine accepts items as events.
func (c *Client) ReplayQuarantine(ctx context.Context, which api.QuarantineChange) (api.QuarantineChanged, error) {
	return c.changeQuarantine(ctx, api.ReplayQuarantine, which)
}

// DeleteQuarantine deletes items permanently.
func (c *Client) DeleteQuarantine(ctx context.Context, which api.QuarantineChange) (api.QuarantineChanged, error) {
	return c.changeQuarantine(ctx, api.DeleteQuarantine, which)
}

// changeQuarantine makes several requests if there are many items.
func (c *Client) changeQuarantine(ctx context.Context, e api.Endpoint[api.QuarantineChange, api.QuarantineChanged], which api.QuarantineChange) (total api.QuarantineChanged, err error) {
	for {
		some, err := call(ctx, c, e, which)
		if err != nil {
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

// ReplaceQuarantined replays one item with other contents.
func (c *Client) ReplaceQuarantined(ctx context.Context, number uint64, contents []byte, why api.Why) (api.QuarantineChanged, error) {
	e := api.ReplaceQuarantined
	return exchange[api.QuarantineChanged](ctx, c, e.Method, e.URL(strconv.FormatUint(number, 10)), api.Query(why), "application/octet-stream", contents)
}
