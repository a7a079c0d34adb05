package client

import (
	"context"

	"auditrelay/cli/internal/api"
)

// Completeness says whether the record of the last days is complete.
func (c *Client) Completeness(ctx context.Context, days int) (api.Completeness, error) {
	return call(ctx, c, api.GetCompleteness, api.CompletenessQuery{Days: days})
}

// ReportVerified tells the relay what a run of auditrelay verify found.
func (c *Client) ReportVerified(ctx context.Context, report api.VerifyReport) (api.Verified, error) {
	return call(ctx, c, api.PostVerified, report)
}
