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
	// By the filter, since an id may be no part of a path.
	page, err := c.Audit(ctx, url.Values{"id": {id}, "page_size": {"1"}})
	if err != nil {
		return nil, err
	}
	if len(page.Logs) == 0 {
		return nil, &api.Error{Status: http.StatusNotFound, Reason: api.ReasonNotFound, Message: "no stored event has this id", Hint: "auditrelay explain ID says what became of an event"}
	}
	return page.Logs[0], nil
}

// ErrCut says that an export broke off: what was written is a part of it.
var ErrCut = errors.New("the export broke off: it is incomplete")

// ErrDamaged says that an export is whole, and that some of its records are not what was
// stored.
var ErrDamaged = errors.New("the export is whole, and some of its records are damaged: they are marked (integrity), and nothing of them is shown; auditrelay store rebuild replaces them as far back as the journal reaches")

// The ends of an export with damaged records, by format.
var damagedEnds = [][]byte{[]byte(`{"auditrelay_export":{"complete":false`), []byte("#damaged,")}

// The ends of a whole export, by format.
var exportEnds = [][]byte{[]byte(`{"auditrelay_export":{"complete":true`), []byte("#end,")}

// AuditExport writes an export to w as it comes. It returns without an error only when
// all of it did; ErrDamaged where all of it did, and some of it is damaged.
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
	// A proxy may have kept the trailers to itself; the last line says the same.
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

// tail keeps the end of what is written to it.
type tail struct{ b []byte }

func (t *tail) Write(p []byte) (int, error) {
	const most = 512
	t.b = append(t.b, p...)
	if len(t.b) > most {
		t.b = append(t.b[:0], t.b[len(t.b)-most:]...)
	}
	return len(p), nil
}

// line is the last whole line.
func (t *tail) line() []byte {
	whole, ok := bytes.CutSuffix(t.b, []byte("\n"))
	if !ok {
		return nil
	}
	return whole[bytes.LastIndexByte(whole, '\n')+1:]
}

// RebuildStore has the store filled from the journal.
func (c *Client) RebuildStore(ctx context.Context, r api.Rebuild) (api.Rebuilt, error) {
	return call(ctx, c, api.RebuildStore, r)
}
