package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"auditrelay/cli/internal/api"
	"auditrelay/cli/internal/app"
	"auditrelay/cli/internal/client"
	"auditrelay/internal/verify"
)

type auditCommands struct {
	List   auditList   `cmd:"" help:"List stored events, newest first."`
	Show   auditShow   `cmd:"" help:"Show one stored event."`
	Export auditExport `cmd:"" help:"Export all matches as CSV or NDJSON; the export is recorded."`
}

// auditFilters are the flags that narrow a search.
type auditFilters struct {
	ID        string `help:"Only with this id." placeholder:"ID"`
	ChangedBy string `help:"Only changes by this user." placeholder:"USER"`
	APIKey    string `name:"changed-by-api-key" help:"Only changes made with this key, as stored." placeholder:"KEY"`
	Action    string `help:"With this action: created, updated, deleted, blocked, unblocked, rotated." placeholder:"ACTION"`
	Table     string `name:"table-name" help:"Only of this table." placeholder:"TABLE"`
	Object    string `name:"object-id" help:"Only of this object." placeholder:"ID"`
	Start     string `name:"start-date" help:"From this time, such as 2026-01-31T00:00:00Z or 2026-01-31." placeholder:"TIME"`
	End       string `name:"end-date" help:"To this time, or to the end of this day." placeholder:"TIME"`
	SortBy    string `help:"Sort by this field; default: updated_at." placeholder:"FIELD"`
	SortOrder string `help:"asc or desc; default: desc." placeholder:"ORDER"`
}

func (f *auditFilters) query() url.Values {
	query := url.Values{}
	for name, value := range map[string]string{
		"id": f.ID, "changed_by": f.ChangedBy, "changed_by_api_key": f.APIKey, "action": f.Action, "table_name": f.Table, "object_id": f.Object,
		"start_date": f.Start, "end_date": f.End, "sort_by": f.SortBy, "sort_order": f.SortOrder,
	} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return query
}

type auditList struct {
	remote
	auditFilters
	Limit  int    `help:"Maximum number, 1 to 100." default:"20"`
	Cursor string `help:"Continue after an earlier list." placeholder:"CURSOR"`
	JSON   bool   `help:"Print JSON."`
}

func (c *auditList) Run(a *program) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	query := c.query()
	query.Set("page_size", strconv.Itoa(c.Limit))
	if c.Cursor != "" {
		query.Set("cursor", c.Cursor)
	}
	page, err := cl.Audit(a.ctx, query)
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(page)
	}
	rows := [][]string{{"UPDATED", "ID", "ACTION", "TABLE", "OBJECT", "BY"}}
	for _, text := range page.Logs {
		var l struct {
			ID        any `json:"id"`
			UpdatedAt any `json:"updated_at"`
			ChangedBy any `json:"changed_by"`
			Action    any `json:"action"`
			Table     any `json:"table_name"`
			Object    any `json:"object_id"`
		}
		if err := json.Unmarshal(text, &l); err != nil {
			return fmt.Errorf("%s sent an invalid audit log: %w", cl.Server(), err)
		}
		row := make([]string, 0, 6)
		for _, v := range []any{l.UpdatedAt, l.ID, l.Action, l.Table, l.Object, l.ChangedBy} {
			if v == nil {
				v = ""
			}
			row = append(row, fmt.Sprint(v))
		}
		rows = append(rows, row)
	}
	if err := a.table(rows); err != nil {
		return err
	}
	if page.NextCursor != "" {
		fmt.Fprintf(a.stderr, "there are more; continue with: --cursor %s\n", page.NextCursor)
	}
	return nil
}

type auditShow struct {
	remote
	ID string `arg:"" help:"The event's id."`
}

func (c *auditShow) Run(a *program) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	log, err := cl.AuditLog(a.ctx, c.ID)
	if err != nil {
		return err
	}
	return a.printJSON(log)
}

type auditExport struct {
	remote
	auditFilters
	Namespace string `help:"Only of this namespace." placeholder:"NAME"`
	Source    string `help:"Only events from this kind of source: http, s3, postgres, relay and so on." placeholder:"SOURCE"`
	Principal string `help:"Only events sent with the token or key of this name." placeholder:"NAME"`

	Format string `help:"csv or ndjson." enum:"csv,ndjson" default:"ndjson"`
	Output string `help:"Write to this file. It appears only when the export is complete. Default: standard output." short:"o" type:"path" placeholder:"FILE"`
	Ending bool   `help:"End with a line that marks the export as complete." default:"true" negatable:""`
}

func (c *auditExport) Run(a *program) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	query := c.query()
	for name, value := range map[string]string{"namespace": c.Namespace, "source": c.Source, "principal": c.Principal} {
		if value != "" {
			query.Set(name, value)
		}
	}
	query.Set("format", c.Format)
	query.Set("ending", strconv.FormatBool(c.Ending))
	if c.Output == "" {
		w, done := a.exact()
		return errors.Join(cl.AuditExport(a.ctx, query, w), done())
	}
	f, err := os.CreateTemp(filepath.Dir(c.Output), "."+filepath.Base(c.Output)+"-*") // mode 0600, since it has contents
	if err != nil {
		return err
	}
	err = cl.AuditExport(a.ctx, query, f)
	damaged := errors.Is(err, client.ErrDamaged) // the export is complete nevertheless
	if err == nil || damaged {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), c.Output)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	if damaged {
		return client.ErrDamaged
	}
	return nil
}

type storeCommands struct {
	Verify  storeVerify  `cmd:"" help:"Check every row of the configuration's stores against the signed proofs, and report rows that are only in the store."`
	Rebuild storeRebuild `cmd:"" help:"Replay all events of the journal into the store (role admin)."`
}

type storeVerify struct {
	configFlag
	Key    []string `help:"The public key that signs, or a file with it. Repeatable. Default: the configuration's, or that of the data directory." placeholder:"PUB"`
	From   uint64   `help:"Rows of earlier sequences may be missing, since keep deleted them." placeholder:"SEQUENCE"`
	Faults int      `help:"How many faults to print, and how many rows that no checkpoint covers." default:"50" placeholder:"N"`
	JSON   bool     `help:"Print JSON."`
}

func (c *storeVerify) Run(a *program) error {
	files, err := c.files()
	if err != nil {
		return err
	}
	o := verify.Options{From: c.From}
	for _, key := range c.Key {
		public, err := keyText(key)
		if err != nil {
			return err
		}
		o.Keys = append(o.Keys, public)
	}
	var worst error
	err = app.VerifyStores(a.ctx, files, makers(a.sinks), o, func(callback string, r *verify.Report) error {
		if !c.JSON {
			fmt.Fprintf(a.stdout, "store of callback %s\n", callback)
		}
		err := tellReport(a, r, c.Faults, c.JSON)
		if v, ok := errors.AsType[verdictError](err); ok {
			if w, ok := errors.AsType[verdictError](worst); !ok || slices.Index(verify.Categories, v.worst) < slices.Index(verify.Categories, w.worst) {
				worst = err
			}
			return nil
		}
		return err
	})
	return errors.Join(err, worst)
}

type storeRebuild struct {
	remote
	why
	DryRun bool `help:"Only show the number of events; start nothing."`
	JSON   bool `help:"Print JSON."`
}

func (c *storeRebuild) Run(a *program) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	started, err := cl.RebuildStore(a.ctx, api.Rebuild{DryRun: c.DryRun, Reason: c.Reason})
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(started)
	}
	if c.DryRun {
		_, err = fmt.Fprintf(a.stdout, "would deliver %[2]d events to callback %[1]s again, sequences %[3]d to %[4]d\n", started.Callback, started.Events, started.From, started.To)
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "rebuilding: replay %[1]s delivers %[3]d events to callback %[2]s again, sequences %[4]d to %[5]d; auditrelay callbacks shows its progress\n",
		started.ID, started.Callback, started.Events, started.From, started.To)
	return err
}
