package client

import (
	"context"

	"auditrelay/cli/internal/api"
)

// Completeness returns whether the records of the last days are complete.
func (c *Client) Completeness(ctx context.Context, days int) (api.Completeness, error) {
	return call(ctx, c, api.GetCompleteness, api.CompletenessQuery{Days: days})
}

// ReportVerified reports the result of a run of auditrelay verify to the relay.
func (c *Client) ReportVerified(ctx context.Context, report api.VerifyReport) (api.Verified, error) {
	return call(ctx, c, api.PostVerified, report)
}
