package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"auditrelay/cli/internal/api"
)

// Audit searches the store for one page.
func (c *Client) Audit(ctx context.Context, query url.Values) (api.AuditPage, error) {
	return exchange[api.AuditPage](ctx, c, api.GetAudit.Method, api.GetAudit.Path, query, "", nil)
}

// AuditLog returns the stored event with an id.
func (c *Client) AuditLog(ctx context.Context, id string) (json.RawMessage, error) {
	// Uses the filter, since some ids cannot be in a path.
	page, err := c.Audit(ctx, url.Values{"id": {id}, "page_size": {"1"}})
	if err != nil {
		return nil, err
	}
	if len(page.Logs) == 0 {
		return nil, &api.Error{Status: http.StatusNotFound, Reason: api.ReasonNotFound, Message: "no stored event has this id", Hint: "auditrelay explain ID says what became of an event"}
	}
	return page.Logs[0], nil
}

// ErrCut: an export broke off, so the output is incomplete.
var ErrCut = errors.New("the export broke off: it is incomplete")

// ErrDamaged: an export is complete, but some of its records differ from what was stored.
var ErrDamaged = errors.New("the export is whole, and some of its records are damaged: they are marked (integrity), and nothing of them is shown; auditrelay store rebuild replaces them as far back as the journal reaches")

// The endings of an export with damaged records, by format.
var damagedEnds = [][]byte{[]byte(`{"auditrelay_export":{"complete":false`), []byte("#damaged,")}

// The endings of a complete export, by format.
var exportEnds = [][]byte{[]byte(`{"auditrelay_export":{"complete":true`), []byte("#end,")}

// AuditExport writes an export to w as it arrives. It returns nil only if the export is
// complete. It returns ErrDamaged if it is complete and contains damaged records.
func (c *Client) AuditExport(ctx context.Context, query url.Values, w io.Writer) error {
	resp, err := c.send(ctx, api.GetAuditExport.Method, api.GetAuditExport.Path, query, "", "", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		_, failed, err := c.read(ctx, resp)
		if failed != nil {
			return failed
		}
		return err
	}
	last := &tail{}
	if _, err := io.Copy(io.MultiWriter(w, last), resp.Body); err != nil {
		return c.unreachable(ctx, fmt.Errorf("%w (%w)", ErrCut, err))
	}
	// A proxy may drop the trailers. The last line has the same information.
	if resp.Trailer.Get("Auditrelay-Export-Complete") == "true" {
		return nil
	}
	if damaged := resp.Trailer.Get("Auditrelay-Export-Damaged"); damaged != "" && damaged != "0" {
		return ErrDamaged
	}
	for _, end := range damagedEnds {
		if bytes.HasPrefix(last.line(), end) {
			return ErrDamaged
		}
	}
	for _, end := range exportEnds {
		if bytes.HasPrefix(last.line(), end) {
			return nil
		}
	}
	return ErrCut
}

// tail keeps the end of the written data.
type tail struct{ b []byte }

func (t *tail) Write(p []byte) (int, error) {
	const most = 512
	t.b = append(t.b, p...)
	if len(t.b) > most {
		t.b = append(t.b[:0], t.b[len(t.b)-most:]...)
	}
	return len(p), nil
}

// line returns the last complete line.
func (t *tail) line() []byte {
	whole, ok := bytes.CutSuffix(t.b, []byte("\n"))
	if !ok {
		return nil
	}
	return whole[bytes.LastIndexByte(whole, '\n')+1:]
}

// RebuildStore fills the store from the journal.
func (c *Client) RebuildStore(ctx context.Context, r api.Rebuild) (api.Rebuilt, error) {
	return call(ctx, c, api.RebuildStore, r)
}
