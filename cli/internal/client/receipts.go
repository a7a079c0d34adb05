package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"auditrelay/cli/internal/api"
)

// maxReceipt limits one line of receipts, in bytes.
const maxReceipt = 4 << 20

// Receipts calls fn with the receipts that q selects. line is the JSON that the relay sent,
// without its line feed, and is valid until fn returns. A response that breaks off is an error.
func (c *Client) Receipts(ctx context.Context, q api.ReceiptQuery, fn func(line []byte) error) error {
	resp, err := c.open(ctx, api.GetReceipts.Path, api.Query(q))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := bufio.NewReaderSize(resp.Body, 64<<10)
	var line []byte
	for {
		part, err := lines.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull) && len(line) <= maxReceipt:
			continue
		case errors.Is(err, io.EOF) && len(line) == 0:
			return nil
		case err != nil:
			return c.unreachable(ctx, fmt.Errorf("the receipts broke off: %w", err))
		}
		var last api.Failure
		if json.Unmarshal(line, &last) == nil && last.Error != nil {
			return last.Error
		}
		if err := fn(line[:len(line)-1]); err != nil {
			return err
		}
		line = line[:0]
	}
}
