package http

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"auditrelay/internal/auditstore"

	"github.com/tidwall/gjson"
)

// tableExport is the table_name of own records about exports.
const tableExport = "auditrelay_export"

// The trailers that say how an export ended. They follow the last byte, so a client that has
// them has everything.
const (
	trailerComplete = "Auditrelay-Export-Complete"
	trailerRecords  = "Auditrelay-Export-Records"
	trailerDamaged  = "Auditrelay-Export-Damaged"
)

// exportRecord describes an export in an own record. It names the fields that limit the export
// but not their values, which may be a person's name.
type exportRecord struct {
	Format  string   `json:"format"`
	Filters []string `json:"filters"`
	From    string   `json:"start_date,omitempty"`
	To      string   `json:"end_date,omitempty"`
	Records *int64   `json:"records,omitempty"` // in the record of its end
}

// getAuditExport streams all records that a search finds. It first records the export durably;
// if that fails, it sends nothing. It needs the memory of one record, whatever the number.
func (s *Server) getAuditExport(w *auditWriter, r *http.Request, who principal, rec recorder, from *auditstore.Store) error {
	q, refused := readAuditQuery(r.URL.RawQuery, exportParams, who.namespace)
	if refused != nil {
		return refused
	}
	wanted := exportOf(&q)
	end, refused := rec.export(wanted)
	if refused != nil {
		return refused
	}
	head := w.w.Header()
	var format exportFormat = ndjsonExport{w}
	head.Set("Content-Type", "application/x-ndjson")
	if q.format == "csv" {
		format = newCSVExport(w)
		head.Set("Content-Type", "text/csv; charset=utf-8")
	}
	head.Set("Content-Disposition", `attachment; filename="audit.`+q.format+`"`)
	head.Set("Trailer", trailerComplete+", "+trailerRecords+", "+trailerDamaged)
	n, err := s.exportAll(r.Context(), from, &q, format)
	defer func() {
		wanted.Records = &n.records
		if err := end(wanted, err); err != nil {
			s.log.Error("the end of an export is recorded at the next start", "by", who.by(), "error", err)
		}
	}()
	if err == nil && q.ending {
		err = format.end(n)
	}
	if err == nil {
		err = w.out.Flush()
	}
	if err != nil {
		for _, name := range []string{"Content-Type", "Content-Disposition", "Trailer"} {
			head.Del(name)
		}
		s.log.Warn("an export broke off", "events", n.records, "by", who.by(), "error", err)
		return err
	}
	head.Set(trailerComplete, strconv.FormatBool(n.damaged == 0))
	head.Set(trailerRecords, strconv.FormatInt(n.records, 10))
	head.Set(trailerDamaged, strconv.FormatInt(n.damaged, 10))
	s.log.Info("stored events exported", "events", n.records, "damaged", n.damaged, "format", q.format, "by", who.by())
	return nil
}

func exportOf(q *auditQuery) exportRecord {
	e := exportRecord{Format: q.format, Filters: []string{}}
	for _, f := range auditstore.Filterable() {
		if _, ok := q.Equal[f]; ok {
			e.Filters = append(e.Filters, string(f))
		}
	}
	for _, f := range auditstore.Inside() {
		if _, ok := q.Contains[f]; ok {
			e.Filters = append(e.Filters, string(f))
		}
	}
	if q.Namespace != q.confined {
		e.Filters = append(e.Filters, "namespace")
	}
	if q.Source != "" {
		e.Filters = append(e.Filters, "source")
	}
	if q.Principal != "" {
		e.Filters = append(e.Filters, "principal")
	}
	if !q.From.IsZero() {
		e.From = isoTime(q.From)
	}
	if !q.To.IsZero() {
		e.To = isoTime(q.To)
	}
	return e
}

// exported counts the sent records and the damaged ones among them. An export with a damaged
// record is not complete.
type exported struct{ records, damaged int64 }

// exportFormat writes records, one after the other.
type exportFormat interface {
	record(row *auditstore.Row) error
	end(n exported) error
}

// exportAll reads page by page, and one record at a time.
func (s *Server) exportAll(ctx context.Context, from *auditstore.Store, q *auditQuery, to exportFormat) (n exported, err error) {
	// It excludes records that arrive meanwhile, so that it ends.
	bound, cancel := context.WithTimeout(ctx, auditTime)
	newest, err := from.Newest(bound)
	err = timedOut(bound, err)
	cancel()
	if err != nil {
		return n, err
	}
	bounded := *q
	bounded.Through = max(newest, 1)
	one := func(position int64) error {
		row, ok, err := s.readRow(ctx, from, position)
		if err != nil || !ok { // deleted meanwhile
			return err
		}
		if err := to.record(&row); err != nil {
			return err
		}
		n.records++
		if row.Integrity == auditstore.Damaged {
			n.damaged++
		}
		return nil
	}
	if bounded.Scattered() {
		err := exportScattered(ctx, from, &bounded, one)
		return n, err // in this order, since n is counted meanwhile
	}
	var after *auditstore.Place
	for {
		page, err := exportPage(ctx, from, &bounded, after)
		if err != nil {
			return n, err
		}
		for i := range page.Places {
			if err := one(page.Places[i].Position); err != nil {
				return n, err
			}
		}
		if !page.More {
			return n, nil
		}
		after = &page.Places[len(page.Places)-1]
	}
}

// exportScattered first finds all positions, sorts them once, and stores them in a file. The
// client may be slow, and the database would have to keep its result meanwhile.
func exportScattered(ctx context.Context, from *auditstore.Store, q *auditQuery, one func(position int64) error) error {
	f, err := os.CreateTemp("", "auditrelay-export-*")
	if err != nil {
		return err
	}
	defer f.Close()
	if err := os.Remove(f.Name()); err != nil { // the file exists while it is open
		return err
	}
	w := bufio.NewWriterSize(f, 64<<10)
	sorting, cancel := context.WithTimeout(ctx, exportSort)
	defer cancel()
	err = from.Positions(sorting, q.Query, func(position int64) error {
		var b [8]byte
		binary.BigEndian.PutUint64(b[:], uint64(position))
		_, err := w.Write(b[:])
		return err
	})
	if err = timedOut(sorting, err); err == nil {
		err = w.Flush()
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return err
	}
	for r := bufio.NewReaderSize(f, 64<<10); ; {
		var b [8]byte
		if _, err := io.ReadFull(r, b[:]); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := one(int64(binary.BigEndian.Uint64(b[:]))); err != nil {
			return err
		}
	}
}

// exportSort limits the sorting of an export's records before the first is sent.
const exportSort = 2 * time.Minute

func exportPage(ctx context.Context, from *auditstore.Store, q *auditQuery, after *auditstore.Place) (page auditstore.Page, err error) {
	// An export may take longer for a page, since no user waits for it.
	ctx, cancel := context.WithTimeout(ctx, 6*auditTime)
	defer cancel()
	if after == nil {
		page, err = from.Skip(ctx, q.Query, 0, auditstore.MaxPage)
	} else {
		page, err = from.After(ctx, q.Query, *after, auditstore.MaxPage)
	}
	return page, timedOut(ctx, err)
}

type ndjsonExport struct{ w *auditWriter }

func (e ndjsonExport) record(row *auditstore.Row) error {
	_, err := e.w.out.Write(append(auditLog(row), '\n'))
	return err
}

func (e ndjsonExport) end(n exported) error {
	damaged := ""
	if n.damaged > 0 {
		damaged = `,"damaged":` + strconv.FormatInt(n.damaged, 10)
	}
	_, err := fmt.Fprintf(e.w.out, `{"auditrelay_export":{"complete":%t,"records":%d%s}}`+"\n", n.damaged == 0, n.records, damaged)
	return err
}

// csvColumns are the columns of a CSV export. other has the event's other fields as JSON.
var csvColumns = []string{
	"id", "updated_at", "changed_by", "changed_by_api_key", "action", "table_name", "object_id", "before_value", "updated_values",
	"other", "namespace", "journal", "sequence", "received", "tombstone", "integrity", "conflict", "source", "principal",
}

// The first cell of the last row: the export is complete, or the number of records in the third
// cell is damaged.
const (
	csvEnd     = "#end"
	csvDamaged = "#damaged"
)

type csvExport struct {
	out   *csv.Writer
	begun bool
}

func newCSVExport(w *auditWriter) *csvExport { return &csvExport{out: csv.NewWriter(w.out)} }

func (e *csvExport) row(cells []string) error {
	if !e.begun {
		e.begun = true
		if err := e.out.Write(csvColumns); err != nil {
			return err
		}
	}
	if err := e.out.Write(cells); err != nil {
		return err
	}
	e.out.Flush()
	return e.out.Error()
}

func (e *csvExport) record(row *auditstore.Row) error {
	cells := make([]string, len(csvColumns))
	other := map[string]json.RawMessage{}
	data := row.Data
	if row.Integrity == auditstore.Damaged {
		data = nil // as in JSON, its data is not shown
	} else if row.Mapping != nil {
		data = asLiteLLM(row)
	}
	gjson.ParseBytes(data).ForEach(func(key, value gjson.Result) bool {
		name := key.String()
		at := slices.Index(csvColumns[:9], name)
		switch {
		case at < 0:
			other[name] = json.RawMessage(value.Raw)
		case value.Type == gjson.Null:
		case at >= 7:
			cells[at] = string(asObject(value))
			if value.Type == gjson.String && cells[at] == value.Raw {
				cells[at] = value.String()
			}
		default:
			cells[at] = value.String()
		}
		return true
	})
	if cells[0] == "" {
		cells[0] = row.ID
	}
	if cells[1] == "" {
		cells[1] = isoTime(row.Time)
	}
	if len(other) > 0 {
		var b bytes.Buffer
		encoder := json.NewEncoder(&b)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(other); err != nil {
			return err
		}
		cells[9] = strings.TrimSuffix(b.String(), "\n")
	}
	cells[10], cells[11], cells[12] = row.Namespace, row.Journal, strconv.FormatUint(row.Sequence, 10)
	cells[13], cells[14] = isoTime(row.Received), strconv.FormatBool(row.Tombstone)
	cells[15], cells[16] = string(row.Integrity), strconv.FormatBool(row.Conflict)
	cells[17], cells[18] = row.Source, row.Principal
	for i, cell := range cells {
		cells[i] = guarded(cell)
	}
	return e.row(cells)
}

func (e *csvExport) end(n exported) error {
	cells := make([]string, len(csvColumns))
	cells[0], cells[1] = csvEnd, strconv.FormatInt(n.records, 10)
	if n.damaged > 0 {
		cells[0], cells[2] = csvDamaged, strconv.FormatInt(n.damaged, 10)
	}
	return e.row(cells)
}

// guarded prevents a spreadsheet from treating a cell, or a part of it, as a formula. It adds
// an apostrophe before characters that could start one: at the start, and after each ; and tab,
// where spreadsheets of some languages split a line, with or without spaces in between. It also
// adds one before an apostrophe, so that removing one at these places restores the text. A # at
// the start would look like the last row.
func guarded(cell string) string {
	var out strings.Builder
	for start := 0; ; {
		end := strings.IndexAny(cell[start:], ";\t")
		part := cell[start:]
		if end >= 0 {
			part = cell[start : start+end]
		}
		if formula(part) || start == 0 && strings.HasPrefix(strings.TrimLeft(cell, " "), "\t") {
			out.WriteByte('\'')
		}
		out.WriteString(part)
		if end < 0 {
			return out.String()
		}
		out.WriteByte(cell[start+end])
		start += end + 1
	}
}

// formula reports whether a spreadsheet could treat text as a formula.
func formula(text string) bool {
	text = strings.TrimLeft(text, " \u00a0")
	first, _ := utf8.DecodeRuneInString(text)
	return text != "" && strings.ContainsRune("=+-@\r\n'#\uff1d\uff0b\uff0d\uff20", first)
}
